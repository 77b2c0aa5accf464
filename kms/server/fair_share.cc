#include "kms/server/fair_share.h"

#include <sys/types.h>

#include <algorithm>
#include <map>

namespace kekd {
namespace {

// The key that occurs most, if it does so at least twice more often than `mine`.
template <typename Key>
std::optional<Key> Crowd(const std::map<Key, int>& counts, const Key& mine) {
  const auto most =
      std::max_element(counts.begin(), counts.end(),
                       [](const auto& a, const auto& b) { return a.second < b.second; });
  if (most == counts.end()) return std::nullopt;
  const auto own = counts.find(mine);
  const int own_count = own == counts.end() ? 0 : own->second;
  return most->second >= own_count + 2 ? std::optional<Key>(most->first) : std::nullopt;
}

}  // namespace

std::optional<uint64_t> ChooseVictim(const std::vector<Occupant>& occupants,
                                     const PeerCredentials& newcomer) {
  std::map<uid_t, int> users;
  for (const Occupant& occupant : occupants) ++users[occupant.who.uid];
  const std::optional<uid_t> crowd = Crowd(users, newcomer.uid);
  const uid_t user = crowd.value_or(newcomer.uid);
  std::map<pid_t, int> processes;
  for (const Occupant& occupant : occupants) {
    if (occupant.who.uid == user) ++processes[occupant.who.pid];
  }
  // Another user gives one up whichever of its processes it is.
  const std::optional<pid_t> process = Crowd(processes, crowd ? pid_t{-1} : newcomer.pid);
  if (!process.has_value() && !crowd.has_value()) return std::nullopt;
  std::optional<uint64_t> newest;
  for (const Occupant& occupant : occupants) {
    if (occupant.who.uid != user) continue;
    if (process.has_value() && occupant.who.pid != *process) continue;
    newest = std::max(newest.value_or(0), occupant.id);
  }
  return newest;
}

}  // namespace kekd
