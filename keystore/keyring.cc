#include "keystore/keyring.h"

#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace kekd {
namespace {

// The record keeps milliseconds; rounding here keeps a ring in memory equal to what is read back.
absl::Time ToMillisecond(absl::Time time) { return absl::FromUnixMillis(absl::ToUnixMillis(time)); }

absl::Status CheckVersion(const KeyVersion& version, uint32_t expected_number) {
  if (version.number != expected_number) {
    return absl::InvalidArgumentError(absl::StrCat("key version ", version.number, " stands where ",
                                                   expected_number,
                                                   " should: numbers go up from 1 without gaps"));
  }
  if (version.key_id.text().empty() || version.backend.empty() || version.canary.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("key version ", version.number, " lacks its key id, backend or canary"));
  }
  const bool destroyed = version.state == KeyState::kDestroyed;
  if (version.material.custody == Custody::kEnvelope &&
      version.material.wraps.empty() != destroyed) {
    return absl::InvalidArgumentError(
        absl::StrCat("key version ", version.number, " is ", ToString(version.state), " and has ",
                     version.material.wraps.size(), " wraps: only a destroyed one has none"));
  }
  if (version.material.wraps.size() > Keyring::kMaxWraps) {
    return absl::InvalidArgumentError(
        absl::StrCat("key version ", version.number, " has too many wraps"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::string_view ToString(WrapType type) {
  switch (type) {
    case WrapType::kRingKey:
      return "ring key";
    case WrapType::kKeyFile:
      return "key file";
  }
  return "?";
}

absl::StatusOr<Keyring> Keyring::Create(Parts parts) {
  KEKD_RETURN_IF_ERROR(ValidateKeyringName(parts.identity.name));
  if (parts.identity.cluster_id.IsNil() || parts.identity.ring_uuid.IsNil()) {
    return absl::InvalidArgumentError("the cluster id or the ring UUID is missing");
  }
  if (parts.versions.size() > kMaxVersions || parts.ring_key_wraps.size() > kMaxWraps ||
      parts.applied_requests.size() > kMaxAppliedRequests) {
    return absl::InvalidArgumentError("the keyring has too many versions, wraps or requests");
  }
  absl::flat_hash_map<absl::string_view, uint32_t> numbers;  // by key id
  uint32_t number = 0;
  bool was_activated = false;
  int active = 0;
  for (const KeyVersion& version : parts.versions) {
    KEKD_RETURN_IF_ERROR(CheckVersion(version, ++number));
    if (version.state == KeyState::kActive) ++active;
    if (version.activation_time != absl::InfiniteFuture()) was_activated = true;
    const auto [earlier, is_new] = numbers.emplace(version.key_id.text(), number);
    if (!is_new) {
      return absl::InvalidArgumentError(
          absl::StrCat("key versions ", earlier->second, " and ", number, " share a key id"));
    }
  }
  if (active > 1 || (was_activated && active != 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat(active, " key versions are active; exactly one must be"));
  }
  return Keyring(std::move(parts));
}

const KeyVersion* Keyring::Primary() const {
  for (const KeyVersion& version : parts_.versions) {
    if (version.state == KeyState::kActive) return &version;
  }
  return nullptr;
}

const KeyVersion* Keyring::Find(uint32_t number) const {
  if (number == 0 || number > parts_.versions.size()) return nullptr;
  return &parts_.versions[number - 1];
}

const KeyVersion* Keyring::Find(const KeyId& key_id) const {
  for (const KeyVersion& version : parts_.versions) {
    if (version.key_id == key_id) return &version;
  }
  return nullptr;
}

const AppliedRequest* Keyring::FindApplied(const Uuid& request_id) const {
  for (const AppliedRequest& applied : parts_.applied_requests) {
    if (applied.request_id == request_id) return &applied;
  }
  return nullptr;
}

uint32_t Keyring::NextVersionNumber() const {
  return static_cast<uint32_t>(parts_.versions.size()) + 1;
}

absl::StatusOr<Keyring::Parts> Keyring::PartsFor(uint32_t number) const {
  if (Find(number) == nullptr) {
    return absl::NotFoundError(absl::StrCat("keyring \"", parts_.identity.name,
                                            "\" has no key version ", number, " (it has 1 to ",
                                            parts_.versions.size(), ")"));
  }
  return parts_;
}

absl::StatusOr<Keyring> Keyring::WithNewVersion(KeyVersion version) const {
  if (parts_.versions.size() >= kMaxVersions) {
    return absl::FailedPreconditionError(absl::StrCat(
        "keyring \"", parts_.identity.name, "\" is full: it has ", kMaxVersions, " key versions"));
  }
  version.state = KeyState::kPreActivation;
  version.creation_time = ToMillisecond(version.creation_time);
  Parts next = parts_;
  next.versions.push_back(std::move(version));
  return Create(std::move(next));
}

absl::StatusOr<Keyring> Keyring::WithPromoted(uint32_t number, absl::Time now) const {
  KEKD_ASSIGN_OR_RETURN(Parts next, PartsFor(number));
  KeyVersion& promoted = next.versions[number - 1];
  if (promoted.state == KeyState::kActive) {
    return absl::FailedPreconditionError(
        absl::StrCat("key version ", number, " is the primary already"));
  }
  if (promoted.state != KeyState::kPreActivation) {
    return absl::FailedPreconditionError(absl::StrCat(
        "key version ", number, " is ", ToString(promoted.state),
        "; only a pre-activation version can be promoted, because the API server must never see a "
        "former key_id again: make a new one with 'kekctl key create'"));
  }
  if (promoted.IsCompromised()) {
    return absl::FailedPreconditionError(
        absl::StrCat("key version ", number, " is marked compromised and can't be promoted"));
  }
  for (KeyVersion& version : next.versions) {
    if (version.state != KeyState::kActive) continue;
    version.state = KeyState::kDeactivated;
    version.deactivation_time = ToMillisecond(now);
  }
  promoted.state = KeyState::kActive;
  promoted.activation_time = ToMillisecond(now);
  return Create(std::move(next));
}

absl::StatusOr<Keyring> Keyring::WithCompromised(uint32_t number, absl::Time now) const {
  KEKD_ASSIGN_OR_RETURN(Parts next, PartsFor(number));
  KeyVersion& version = next.versions[number - 1];
  if (!version.IsCompromised()) version.compromise_time = ToMillisecond(now);
  return Create(std::move(next));
}

absl::StatusOr<Keyring> Keyring::WithDestroyed(uint32_t number, absl::Time now) const {
  KEKD_ASSIGN_OR_RETURN(Parts next, PartsFor(number));
  KeyVersion& version = next.versions[number - 1];
  if (version.state == KeyState::kActive) {
    return absl::FailedPreconditionError(absl::StrCat(
        "key version ", number, " is the primary and can't be destroyed: promote another first"));
  }
  if (version.state == KeyState::kDestroyed) {
    return absl::FailedPreconditionError(
        absl::StrCat("key version ", number, " is destroyed already"));
  }
  version.state = KeyState::kDestroyed;
  version.destruction_time = ToMillisecond(now);
  version.material.wraps.clear();
  return Create(std::move(next));
}

Keyring Keyring::WithApplied(const Uuid& request_id, uint32_t version) const {
  Parts next = parts_;
  next.applied_requests.push_back({request_id, 0, version});
  if (next.applied_requests.size() > kMaxAppliedRequests) {
    next.applied_requests.erase(next.applied_requests.begin());
  }
  return Keyring(std::move(next));
}

absl::Status Keyring::CheckSucceeds(const Keyring& before) const {
  if (!(identity() == before.identity())) {
    return absl::FailedPreconditionError("a keyring can't be replaced by another ring");
  }
  if (ring_key_wraps().empty()) {
    return absl::FailedPreconditionError(
        "a keyring can't be replaced by one without ring key wraps: nothing would open it");
  }
  if (versions().size() < before.versions().size()) {
    return absl::FailedPreconditionError(absl::StrCat("a keyring of ", before.versions().size(),
                                                      " key versions can't be replaced by one of ",
                                                      versions().size()));
  }
  for (size_t i = 0; i < before.versions().size(); ++i) {
    const KeyVersion& was = before.versions()[i];
    const KeyVersion& is = versions()[i];
    if (is.number != was.number || !(is.key_id == was.key_id) || is.canary != was.canary) {
      return absl::FailedPreconditionError(
          absl::StrCat("key version ", was.number, " can't be replaced by another key"));
    }
  }
  return absl::OkStatus();
}

Keyring Keyring::WithGeneration(uint64_t generation) const {
  Parts next = parts_;
  next.generation = generation;
  for (AppliedRequest& applied : next.applied_requests) {
    if (applied.generation == 0) applied.generation = generation;
  }
  return Keyring(std::move(next));
}

}  // namespace kekd
