#include "keystore/keyring.h"

#include <set>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "keystore/digest.h"

namespace kekd {
namespace {

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
  for (const Wrap& wrap : version.material.wraps) {
    if (wrap.type == WrapType::kPkcs11 && version.material.key_reference.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("key version ", version.number, " does not say which key wraps it"));
    }
    if (wrap.kdf.has_value() || wrap.number != 0 || wrap.creation_time != absl::InfiniteFuture()) {
      return absl::InvalidArgumentError(
          absl::StrCat("a wrap of key version ", version.number, " is one of a ring key"));
    }
  }
  if (version.material.wraps.size() > Keyring::kMaxWraps) {
    return absl::InvalidArgumentError(
        absl::StrCat("key version ", version.number, " has too many wraps"));
  }
  return absl::OkStatus();
}

// What record format 1 has no room for.
bool FitsFormat1(const Keyring::Parts& parts) {
  for (size_t i = 0; i < parts.ring_key_wraps.size(); ++i) {
    const Wrap& wrap = parts.ring_key_wraps[i];
    if (wrap.type != WrapType::kKeyFile || wrap.number != i + 1 ||
        wrap.creation_time != absl::InfiniteFuture()) {
      return false;
    }
  }
  for (const AppliedRequest& applied : parts.applied_requests) {
    if (!applied.digest.empty()) return false;
  }
  return parts.next_wrap_number == parts.ring_key_wraps.size() + 1 && parts.ring_key_number == 1 &&
         parts.former_ring_key.empty();
}

// What record format 2 has no room for: a reader of it does not know these types, nor the
// algorithm.
bool FitsFormat2(const Keyring::Parts& parts) {
  for (const Wrap& wrap : parts.ring_key_wraps) {
    if (wrap.type == WrapType::kPkcs11) return false;
  }
  for (const KeyVersion& version : parts.versions) {
    if (version.material.algorithm == Algorithm::kAes256GcmWrappedKey) return false;
    for (const Wrap& wrap : version.material.wraps) {
      if (wrap.type == WrapType::kPkcs11) return false;
    }
  }
  return true;
}

absl::Status CheckRingKeyWraps(const Keyring::Parts& parts) {
  uint32_t before = 0;
  for (const Wrap& wrap : parts.ring_key_wraps) {
    if (wrap.number <= before || wrap.number >= parts.next_wrap_number) {
      return absl::InvalidArgumentError(
          absl::StrCat("wrap ", wrap.number, " of the ring key is out of order"));
    }
    before = wrap.number;
    if (wrap.type == WrapType::kRingKey || wrap.blob.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("wrap ", wrap.number, " does not wrap a ring key"));
    }
    if (wrap.type == WrapType::kPkcs11 && wrap.reference.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("wrap ", wrap.number, " does not say which key of the token made it"));
    }
    if (wrap.kdf.has_value() != (wrap.type == WrapType::kPassphrase)) {
      return absl::InvalidArgumentError(
          absl::StrCat("wrap ", wrap.number, " lacks, or has in vain, a passphrase's parameters"));
    }
    if (wrap.kdf.has_value()) KEKD_RETURN_IF_ERROR(CheckKdfParameters(*wrap.kdf));
  }
  return absl::OkStatus();
}

// Every start tries wraps for a passphrase: what may be asked of it is not for whoever adds one to
// say.
absl::Status CheckCost(const Wrap& wrap) {
  if (!wrap.kdf.has_value() || HasUsualCost(*wrap.kdf)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("wrap ", wrap.number, " costs to open what no wrap of this kekd costs"));
}

// How a rotation stands to the versions that it is between.
absl::Status CheckRotation(const Keyring::Parts& parts) {
  if (!parts.rotation.has_value()) return absl::OkStatus();
  const RotationRecord& rotation = *parts.rotation;
  KEKD_RETURN_IF_ERROR(CheckRotationRecord(rotation));
  if (rotation.to > parts.versions.size()) {
    return absl::InvalidArgumentError("a rotation leads to a key version that there is not");
  }
  const KeyState state = parts.versions[rotation.to - 1].state;
  const bool fits = rotation.step == RotationStep::kAborted   ? true
                    : rotation.step <= RotationStep::kPromote ? state == KeyState::kPreActivation
                    : rotation.IsRunning()                    ? state == KeyState::kActive
                                                              : state != KeyState::kPreActivation;
  if (fits) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(DescribeRotation(rotation), ", leads to a version that is ", ToString(state)));
}

absl::Status CheckFormat(const Keyring::Parts& parts) {
  if (parts.format < Keyring::kOldestFormat || parts.format > Keyring::kFormat) {
    return absl::InvalidArgumentError(absl::StrCat("no record has format ", parts.format));
  }
  if (parts.format == 1 && !FitsFormat1(parts)) {
    return absl::InvalidArgumentError("the keyring does not fit in a record of format 1");
  }
  if (parts.format <= 2 && !FitsFormat2(parts)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the keyring does not fit in a record of format ", parts.format));
  }
  if (parts.format <= 3 && parts.rotation.has_value()) {
    return absl::InvalidArgumentError(
        absl::StrCat("a record of format ", parts.format, " tells of no rotation"));
  }
  if (parts.ring_key_number == 0) {
    return absl::InvalidArgumentError("the ring key has no number");
  }
  for (const AppliedRequest& applied : parts.applied_requests) {
    if (!applied.digest.empty() && applied.digest.size() != sizeof(Sha256Digest)) {
      return absl::InvalidArgumentError("a request's digest has not the size of one");
    }
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
    case WrapType::kPassphrase:
      return "passphrase";
    case WrapType::kCredential:
      return "credential";
    case WrapType::kPkcs11:
      return "pkcs11 key";
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
  KEKD_RETURN_IF_ERROR(CheckFormat(parts));
  KEKD_RETURN_IF_ERROR(CheckRingKeyWraps(parts));
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
  KEKD_RETURN_IF_ERROR(CheckRotation(parts));
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

const Wrap* Keyring::FindWrap(uint32_t number) const {
  for (const Wrap& wrap : parts_.ring_key_wraps) {
    if (wrap.number == number) return &wrap;
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
  if (version.material.algorithm == Algorithm::kAes256GcmWrappedKey) {
    KEKD_RETURN_IF_ERROR(ExpectFormat(3, "a key that wraps one-time keys"));
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
  if (next.rotation.has_value() && next.rotation->IsRunning()) {
    KEKD_ASSIGN_OR_RETURN(RotationRecord rotation, RunningTo(number));
    if (rotation.step != RotationStep::kPromote) {
      return absl::FailedPreconditionError(absl::StrCat(
          "key version ", number, " can't be promoted yet: ", DescribeRotation(rotation),
          ": 'kekctl rotate resume' goes on with it"));
    }
    rotation.step = RotationStep::kObserve;
    rotation.step_time = ToMillisecond(now);
    next.rotation = std::move(rotation);
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
  if (next.rotation.has_value() && next.rotation->IsRunning() &&
      (number == next.rotation->from || number == next.rotation->to)) {
    return absl::FailedPreconditionError(absl::StrCat(
        "key version ", number, " can't be destroyed during ", DescribeRotation(*next.rotation)));
  }
  version.state = KeyState::kDestroyed;
  version.destruction_time = ToMillisecond(now);
  version.material.wraps.clear();
  return Create(std::move(next));
}

absl::Status Keyring::ExpectFormat(uint16_t format, absl::string_view what) const {
  if (parts_.format >= format) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "keyring \"", parts_.identity.name, "\" has record format ", parts_.format, ", and ", what,
      " needs format ", format, ": 'kekctl keyring upgrade' raises it"));
}

absl::StatusOr<Keyring> Keyring::WithWrap(Wrap wrap, absl::Time now) const {
  KEKD_RETURN_IF_ERROR(ExpectFormat(2, "another wrap of the ring key"));
  if (wrap.type == WrapType::kPkcs11) {
    KEKD_RETURN_IF_ERROR(ExpectFormat(3, "a wrap of the ring key by a token"));
  }
  if (wrap.number != parts_.next_wrap_number) {
    return absl::InvalidArgumentError(absl::StrCat("the next wrap of the ring key has number ",
                                                   parts_.next_wrap_number, ", not ", wrap.number));
  }
  KEKD_RETURN_IF_ERROR(CheckCost(wrap));
  if (parts_.ring_key_wraps.size() >= kMaxWraps) {
    return absl::FailedPreconditionError(
        absl::StrCat("the ring key has ", kMaxWraps, " wraps, the most there can be: remove one"));
  }
  Parts next = parts_;
  wrap.creation_time = ToMillisecond(now);
  next.ring_key_wraps.push_back(std::move(wrap));
  ++next.next_wrap_number;
  return Create(std::move(next));
}

absl::Status Keyring::CheckNewWraps(const std::vector<uint32_t>& removed,
                                    const std::vector<Wrap>& wraps) const {
  KEKD_RETURN_IF_ERROR(ExpectFormat(2, "a new ring key"));
  std::set<uint32_t> numbers;
  for (const uint32_t number : removed) {
    if (FindWrap(number) == nullptr) {
      return absl::NotFoundError(absl::StrCat("the ring key has no wrap ", number,
                                              "; 'kekctl keyring wrap list' shows those it has"));
    }
    numbers.insert(number);
  }
  if (wraps.empty()) {
    return absl::FailedPreconditionError(
        "the last wrap can't be removed: nothing would open the keyring; add another first");
  }
  for (const Wrap& wrap : wraps) {
    const Wrap* const was = FindWrap(wrap.number);
    if (was == nullptr || was->type != wrap.type || was->blob == wrap.blob ||
        !numbers.insert(wrap.number).second) {
      return absl::FailedPreconditionError(
          absl::StrCat("wrap ", wrap.number, " is none that stays under the new ring key"));
    }
    KEKD_RETURN_IF_ERROR(CheckCost(wrap));
  }
  if (removed.size() + wraps.size() == parts_.ring_key_wraps.size() &&
      numbers.size() == parts_.ring_key_wraps.size()) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      "the wraps of the new ring key are not those of the former one without the removed ones");
}

absl::StatusOr<Keyring> Keyring::WithNewRingKey(NewRingKey change) const {
  KEKD_RETURN_IF_ERROR(CheckNewWraps(change.removed, change.wraps));
  if (change.version_wraps.size() != parts_.versions.size()) {
    return absl::InternalError("a new ring key needs the wraps of every key version");
  }
  Parts next = parts_;
  for (Wrap& wrap : change.wraps) wrap.creation_time = FindWrap(wrap.number)->creation_time;
  next.ring_key_wraps = std::move(change.wraps);
  for (size_t i = 0; i < next.versions.size(); ++i) {
    next.versions[i].material.wraps = std::move(change.version_wraps[i]);
  }
  next.former_ring_key = std::move(change.former_ring_key);
  ++next.ring_key_number;
  return Create(std::move(next));
}

absl::StatusOr<Keyring> Keyring::WithFormat(uint16_t format) const {
  if (format <= parts_.format) {
    return absl::FailedPreconditionError(absl::StrCat("keyring \"", parts_.identity.name,
                                                      "\" has record format ", parts_.format,
                                                      " already; there is nothing to upgrade"));
  }
  Parts next = parts_;
  next.format = format;
  return Create(std::move(next));
}

Keyring Keyring::WithApplied(const Uuid& request_id, uint32_t version,
                             absl::string_view digest) const {
  Parts next = parts_;
  AppliedRequest& applied = next.applied_requests.emplace_back();
  applied.request_id = request_id;
  applied.version = version;
  if (parts_.format >= 2) applied.digest = std::string(digest);
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
  if (format() < before.format() || next_wrap_number() < before.next_wrap_number() ||
      ring_key_number() < before.ring_key_number()) {
    return absl::FailedPreconditionError(
        "a keyring can't be replaced by one of an older format or with an older ring key");
  }
  if (before.rotation().has_value() &&
      (!rotation().has_value() || rotation()->to < before.rotation()->to ||
       (rotation()->to == before.rotation()->to && rotation()->step < before.rotation()->step))) {
    return absl::FailedPreconditionError(
        "a keyring can't be replaced by one with an earlier step of its rotation");
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
