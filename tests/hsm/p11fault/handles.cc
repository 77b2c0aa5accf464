#include "tests/hsm/p11fault/handles.h"

#include <unistd.h>

namespace kekd::p11fault {
namespace {

using Lock = std::lock_guard<std::mutex>;

template <typename Map>
std::optional<typename Map::mapped_type> Get(const Map& map, typename Map::key_type key) {
  const auto found = map.find(key);
  if (found == map.end()) return std::nullopt;
  return found->second;
}

}  // namespace

void Handles::Reset() {
  const Lock lock(mu_);
  ++initialised_;
  outer_slots_.clear();
  real_slots_.clear();
  sessions_.clear();
  ForgetObjectsIfLast();
}

CK_SLOT_ID Handles::OuterSlot(CK_SLOT_ID real, bool renumber) {
  if (!renumber) return real;
  const Lock lock(mu_);
  if (const auto known = Get(outer_slots_, real)) return *known;
  // Never the same in two processes of one test, nor twice in one of them.
  const CK_SLOT_ID outer =
      static_cast<CK_SLOT_ID>(getpid()) * 10000 + initialised_ % 100 * 100 + outer_slots_.size();
  outer_slots_[real] = outer;
  real_slots_[outer] = real;
  return outer;
}

std::optional<CK_SLOT_ID> Handles::RealSlot(CK_SLOT_ID outer, bool renumber) const {
  if (!renumber) return outer;
  const Lock lock(mu_);
  return Get(real_slots_, outer);
}

CK_SESSION_HANDLE Handles::AddSession(CK_SESSION_HANDLE real, CK_SLOT_ID slot) {
  const Lock lock(mu_);
  const CK_SESSION_HANDLE outer = next_session_++;
  sessions_[outer] = {.real = real, .slot = slot, .token_iv = std::nullopt};
  return outer;
}

std::optional<Session> Handles::Find(CK_SESSION_HANDLE outer) const {
  const Lock lock(mu_);
  return Get(sessions_, outer);
}

void Handles::SetTokenIv(CK_SESSION_HANDLE outer, std::optional<TokenIv> token_iv) {
  const Lock lock(mu_);
  const auto found = sessions_.find(outer);
  if (found != sessions_.end()) found->second.token_iv = token_iv;
}

void Handles::RemoveSession(CK_SESSION_HANDLE outer) {
  const Lock lock(mu_);
  sessions_.erase(outer);
  ForgetObjectsIfLast();
}

void Handles::RemoveSessionsOf(CK_SLOT_ID slot) {
  const Lock lock(mu_);
  std::erase_if(sessions_, [&](const auto& entry) { return entry.second.slot == slot; });
  ForgetObjectsIfLast();
}

std::vector<CK_SESSION_HANDLE> Handles::RemoveAll() {
  const Lock lock(mu_);
  std::vector<CK_SESSION_HANDLE> real;
  real.reserve(sessions_.size());
  for (const auto& [outer, session] : sessions_) real.push_back(session.real);
  sessions_.clear();
  ForgetObjectsIfLast();
  return real;
}

size_t Handles::sessions() const {
  const Lock lock(mu_);
  return sessions_.size();
}

void Handles::ForgetObjectsIfLast() {
  if (!sessions_.empty()) return;
  outer_objects_.clear();
  real_objects_.clear();
}

CK_OBJECT_HANDLE Handles::OuterObject(CK_OBJECT_HANDLE real, bool renumber) {
  if (!renumber) return real;
  const Lock lock(mu_);
  if (const auto known = Get(outer_objects_, real)) return *known;
  const CK_OBJECT_HANDLE outer = next_object_++;
  outer_objects_[real] = outer;
  real_objects_[outer] = real;
  return outer;
}

std::optional<CK_OBJECT_HANDLE> Handles::RealObject(CK_OBJECT_HANDLE outer, bool renumber) const {
  const Lock lock(mu_);
  if (const auto known = Get(real_objects_, outer)) return known;
  if (renumber) return std::nullopt;
  return outer;
}

}  // namespace kekd::p11fault
