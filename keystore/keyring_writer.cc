#include "keystore/keyring_writer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "keystore/canary.h"
#include "keystore/device_wrap.h"

namespace kekd {
namespace {

// The wraps of a version, those of the former ring key made anew and opened again: what a commit
// replaces is gone afterwards.
absl::StatusOr<std::vector<Wrap>> RewrapKeks(const KeyVersion& version, const RingIdentity& ring,
                                             const RingKey& former, const RingKey& ring_key) {
  const KeySpec spec{ring, version.number};
  std::vector<Wrap> wraps = version.material.wraps;
  for (Wrap& wrap : wraps) {
    if (wrap.type != WrapType::kRingKey) continue;
    KEKD_ASSIGN_OR_RETURN(const SecretBytes kek, former.UnwrapKek(wrap, spec));
    KEKD_ASSIGN_OR_RETURN(wrap, ring_key.WrapKek(kek, spec));
    KEKD_ASSIGN_OR_RETURN(const SecretBytes again, ring_key.UnwrapKek(wrap, spec));
    if (!SecretBytes::ConstantTimeEquals(kek, again)) {
      return absl::InternalError(absl::StrCat("the key of version ", version.number,
                                              " was not wrapped as it is; nothing was changed"));
    }
  }
  return wraps;
}

}  // namespace

KeyringWriter::KeyringWriter(Options options, std::shared_ptr<const OpenKeyring> opened)
    : options_(std::move(options)), current_(std::make_shared<CurrentKeyring>(std::move(opened))) {}

absl::StatusOr<std::unique_ptr<KeyringWriter>> KeyringWriter::Create(Options options,
                                                                     absl::Time deadline) {
  KEKD_ASSIGN_OR_RETURN(std::shared_ptr<const Keyring> keyring, options.store->Load());
  std::shared_ptr<const OpenKeyring> opened =
      OpenKeyring::Open(std::move(keyring), *options.backends, nullptr,
                        std::min(deadline, absl::Now() + options.open_timeout));
  std::unique_ptr<KeyringWriter> writer(new KeyringWriter(std::move(options), std::move(opened)));
  writer->RefreshBackups();
  return writer;
}

absl::StatusOr<KeyringWriter::Applied> KeyringWriter::Apply(const Transition& transition,
                                                            uint64_t expected_generation,
                                                            const Uuid& request_id,
                                                            absl::Time deadline,
                                                            absl::string_view who) {
  MutexLock lock(&mu_);
  if (unconfirmed_) {
    KEKD_RETURN_IF_ERROR(ConfirmLocked(deadline));
  }
  const std::shared_ptr<const OpenKeyring> before = current_->Get();
  KEKD_ASSIGN_OR_RETURN(const std::string digest, DigestOf(transition));
  if (const AppliedRequest* applied = before->keyring().FindApplied(request_id)) {
    if (!applied->digest.empty() && applied->digest != digest) {
      return absl::InvalidArgumentError(
          "this request id was used for another change already; use a new one");
    }
    return Applied{before, applied->version};
  }
  if (before->keyring().generation() != expected_generation) {
    return TooLateLocked(before->keyring().generation(), expected_generation);
  }
  KEKD_ASSIGN_OR_RETURN(const Change change, ChangedLocked(*before, transition, deadline));
  const uint32_t version = change.version;
  const Keyring next = change.next.WithApplied(request_id, version, digest);
  absl::StatusOr<std::shared_ptr<const Keyring>> committed =
      change.ring_key == nullptr
          ? options_.store->Commit(next, expected_generation)
          : options_.store->CommitWithRingKey(next, expected_generation, change.ring_key);
  if (!committed.ok()) {
    absl::StatusOr<Applied> applied =
        AfterFailedCommitLocked(committed.status(), request_id, deadline);
    if (change.made_key) SettleMadeKeyLocked(change);
    return applied;
  }
  last_change_ = {std::string(who), DescribeChange(transition, version), options_.clock->Now()};
  PublishLocked(*std::move(committed), deadline);
  Applied applied{current_->Get(), version};
  if (!change.ends_key) return applied;
  // The record is the truth: what is left on a device opens nothing that the ring may still need.
  const absl::Status ended = EndKeyLocked(next, version, deadline);
  if (!ended.ok()) {
    applied.warning =
        absl::StrCat("key version ", version, " is destroyed by the record, but what its device ",
                     "holds of it could not be: ", ended.message(), "; 'kekctl retire ", version,
                     "' tries it again");
    LogWarning("a destroyed key is still on its device",
               {{"version", version}, {"error", ended.message()}});
  }
  return applied;
}

absl::Status KeyringWriter::TooLateLocked(uint64_t generation, uint64_t expected_generation) const {
  std::string changed = "somebody changed it";
  if (last_change_.has_value()) {
    const int64_t seconds = absl::ToInt64Seconds(options_.clock->Now() - last_change_->time);
    changed = absl::StrCat("changed ", std::max<int64_t>(0, seconds), " s ago",
                           last_change_->who.empty() ? "" : " by ", last_change_->who, ": ",
                           last_change_->what);
  }
  return absl::AbortedError(absl::StrCat("the keyring is of generation ", generation, ", not ",
                                         expected_generation, ": ", changed,
                                         "; look at it again and repeat"));
}

absl::StatusOr<KeyringWriter::Applied> KeyringWriter::AfterFailedCommitLocked(
    const absl::Status& failure, const Uuid& request_id, absl::Time deadline) {
  // The store decides what there is now: a commit that failed late may have taken place.
  const uint64_t served = current_->Get()->keyring().generation();
  absl::StatusOr<std::shared_ptr<const Keyring>> stored = options_.store->Load();
  if (!stored.ok()) {
    return WithContext(failure,
                       "whether the change was made is not known ('kekctl keyring verify' tells)");
  }
  if ((*stored)->generation() <= served) return failure;
  PublishLocked(*std::move(stored), deadline);
  unconfirmed_ = true;
  const absl::Status confirmed = ConfirmLocked(deadline);
  const std::shared_ptr<const OpenKeyring> now = current_->Get();
  const AppliedRequest* applied = now->keyring().FindApplied(request_id);
  if (applied == nullptr) return failure;
  if (!confirmed.ok()) {
    return WithContext(confirmed,
                       "the change was made, but it is not known whether it would survive a power "
                       "cut; mend the cause and repeat it");
  }
  LogWarning("a change of the keyring was made at the second try", {{"error", failure.message()}});
  return Applied{now, applied->version};
}

absl::Status KeyringWriter::ConfirmLocked(absl::Time deadline) {
  const std::shared_ptr<const OpenKeyring> opened = current_->Get();
  const Keyring& served = opened->keyring();
  KEKD_ASSIGN_OR_RETURN(std::shared_ptr<const Keyring> committed,
                        options_.store->Commit(served, served.generation()));
  PublishLocked(std::move(committed), deadline);
  unconfirmed_ = false;
  return absl::OkStatus();
}

absl::StatusOr<KeyringWriter::Change> KeyringWriter::ChangedLocked(const OpenKeyring& current,
                                                                   const Transition& transition,
                                                                   absl::Time deadline) {
  const Keyring& ring = current.keyring();
  const absl::Time now = options_.clock->Now();
  if (const auto* create = std::get_if<CreateVersion>(&transition)) {
    return WithCreatedLocked(ring, *create, deadline);
  }
  if (const auto* adopt = std::get_if<AdoptKey>(&transition)) {
    return WithAdoptedLocked(ring, *adopt, deadline);
  }
  if (const auto* promote = std::get_if<PromoteVersion>(&transition)) {
    KEKD_ASSIGN_OR_RETURN(Keyring promoted, ring.WithPromoted(promote->number, now));
    KEKD_RETURN_IF_ERROR(
        WithContext(current.CheckDecrypts(promote->number, deadline),
                    absl::StrCat("key version ", promote->number, " can't be promoted")));
    return Change{std::move(promoted), promote->number};
  }
  if (const auto* add = std::get_if<AddWrap>(&transition)) {
    KEKD_ASSIGN_OR_RETURN(Keyring next, ring.WithWrap(add->wrap, now));
    return Change{std::move(next)};
  }
  if (const auto* replace = std::get_if<ReplaceRingKey>(&transition)) {
    return WithNewRingKeyLocked(ring, *replace);
  }
  if (const auto* begin = std::get_if<BeginRotation>(&transition)) {
    return WithRotationBegunLocked(ring, *begin, deadline);
  }
  if (const auto* advance = std::get_if<AdvanceRotation>(&transition)) {
    KEKD_ASSIGN_OR_RETURN(Keyring next, ring.WithRotationAt(advance->to, advance->step, now));
    if (advance->step == RotationStep::kProve) {
      KEKD_RETURN_IF_ERROR(
          WithContext(current.CheckDecrypts(advance->to, deadline),
                      absl::StrCat("key version ", advance->to, " fails its self-test")));
    }
    return Change{std::move(next), advance->to};
  }
  if (const auto* record = std::get_if<RecordNodeProof>(&transition)) {
    return WithNodeProvedLocked(ring, *record);
  }
  if (const auto* abort = std::get_if<AbortRotation>(&transition)) {
    KEKD_ASSIGN_OR_RETURN(Keyring next, ring.WithRotationAborted(abort->to, abort->reason, now));
    return Change{std::move(next), abort->to};
  }
  if (const auto* destroy = std::get_if<DestroyVersion>(&transition)) {
    const KeyVersion* const version = ring.Find(destroy->number);
    if (version != nullptr && version->state == KeyState::kDestroyed &&
        version->material.HasDeviceKey()) {
      return Change{.next = ring, .version = destroy->number, .ends_key = true};
    }
    KEKD_ASSIGN_OR_RETURN(Keyring next, ring.WithDestroyed(destroy->number, now));
    return Change{.next = std::move(next), .version = destroy->number, .ends_key = true};
  }
  if (const auto* mark = std::get_if<MarkCompromised>(&transition)) {
    KEKD_ASSIGN_OR_RETURN(Keyring next, ring.WithCompromised(mark->number, now));
    return Change{std::move(next), mark->number};
  }
  KEKD_ASSIGN_OR_RETURN(Keyring next, ring.WithFormat(Keyring::kFormat));
  return Change{std::move(next)};
}

absl::StatusOr<KeyringWriter::Change> KeyringWriter::WithCreatedLocked(const Keyring& ring,
                                                                       const CreateVersion& create,
                                                                       absl::Time deadline) {
  KEKD_ASSIGN_OR_RETURN(KeyBackend* const backend, options_.backends->Find(create.backend));
  if (create.custody == Custody::kEnvelope && backend->envelope_maker() != nullptr) {
    // Before a key is made on a device for nothing.
    KEKD_RETURN_IF_ERROR(ring.ExpectFormat(3, "a key that its device wraps"));
  }
  const uint32_t number = ring.NextVersionNumber();
  KEKD_ASSIGN_OR_RETURN(const KeyVersion made,
                        MakeKeyVersion({ring.identity(), number}, *backend, *options_.random,
                                       options_.clock->Now(), deadline, create.custody));
  absl::StatusOr<Keyring> next = ring.WithNewVersion(made);
  if (!next.ok()) {
    DestroyUnusedKey({ring.identity(), number}, made.material, *backend);
    return next.status();
  }
  return Change{.next = *std::move(next), .version = number, .made_key = true};
}

absl::StatusOr<KeyringWriter::Change> KeyringWriter::WithAdoptedLocked(const Keyring& ring,
                                                                       const AdoptKey& adopt,
                                                                       absl::Time deadline) {
  KEKD_ASSIGN_OR_RETURN(KeyBackend* const backend, options_.backends->Find(adopt.backend));
  const uint32_t number = ring.NextVersionNumber();
  KEKD_ASSIGN_OR_RETURN(
      KeyVersion adopted,
      AdoptKeyVersion({ring.identity(), number}, *backend, adopt.reference, adopt.allow_extractable,
                      *options_.random, options_.clock->Now(), deadline));
  const KeyAdopter& adopter = *backend->adopter();  // it has adopted one
  for (const KeyVersion& version : ring.versions()) {
    if (version.backend == adopted.backend &&
        adopter.IsSameKey(version.material, adopted.material)) {
      // Else the end of the one would be the end of the other.
      return absl::FailedPreconditionError(
          absl::StrCat("this is the key of key version ", version.number, " already"));
    }
  }
  for (const Wrap& wrap : ring.ring_key_wraps()) {
    if (wrap.type != WrapType::kPkcs11) continue;
    const KeyMaterial key = WrappingKeyMaterial(wrap.reference, adopted.material.algorithm);
    if (adopter.IsSameKey(key, adopted.material)) {
      return absl::FailedPreconditionError(
          absl::StrCat("this is the key that wrap ", wrap.number, " of the ring key is under"));
    }
  }
  KEKD_ASSIGN_OR_RETURN(Keyring next, ring.WithNewVersion(std::move(adopted)));
  return Change{.next = std::move(next), .version = number};
}

void KeyringWriter::SettleMadeKeyLocked(const Change& change) {
  const KeyVersion& made = *change.next.Find(change.version);
  const absl::StatusOr<std::shared_ptr<const Keyring>> stored = options_.store->Load();
  const absl::StatusOr<KeyBackend*> backend = options_.backends->Find(made.backend);
  if (!stored.ok() || !backend.ok()) {
    if (!made.material.HasDeviceKey()) return;
    LogWarning("whether the keyring holds a new key is not known; the key stays on its device",
               {{"backend", made.backend},
                {"key", made.material.key_reference},
                {"version", made.number}});
    return;
  }
  const KeyVersion* kept = (*stored)->Find(made.number);
  if (kept != nullptr && kept->material == made.material) return;  // it came into the record
  DestroyUnusedKey({change.next.identity(), made.number}, made.material, **backend);
}

absl::StatusOr<KeyringWriter::Change> KeyringWriter::WithNewRingKeyLocked(
    const Keyring& ring, const ReplaceRingKey& replace) {
  // Before any of them is opened, which may cost much.
  KEKD_RETURN_IF_ERROR(ring.CheckNewWraps(replace.removed, replace.wraps));
  const std::shared_ptr<const RingKey> former = options_.store->ring_key()->Get();
  absl::StatusOr<std::shared_ptr<const RingKey>> ring_key =
      options_.store->OpenRingKey(replace.wraps);
  if (!ring_key.ok()) {
    return WithContext(ring_key.status(),
                       "nothing was changed: what the configuration names under \"unlock\" would "
                       "not open the keyring any more");
  }
  if (SecretBytes::ConstantTimeEquals((*ring_key)->secret(), former->secret())) {
    return absl::InvalidArgumentError("the wraps hold the ring key that there is, not a new one");
  }
  Keyring::NewRingKey change{.removed = replace.removed, .wraps = replace.wraps};
  KEKD_ASSIGN_OR_RETURN(change.former_ring_key, (*ring_key)->WrapFormer(*former));
  for (const KeyVersion& version : ring.versions()) {
    KEKD_ASSIGN_OR_RETURN(change.version_wraps.emplace_back(),
                          RewrapKeks(version, ring.identity(), *former, **ring_key));
  }
  KEKD_ASSIGN_OR_RETURN(Keyring next, ring.WithNewRingKey(std::move(change)));
  return Change{.next = std::move(next), .ring_key = *std::move(ring_key)};
}

void KeyringWriter::PublishLocked(std::shared_ptr<const Keyring> keyring, absl::Time deadline) {
  const std::shared_ptr<const OpenKeyring> before = current_->Get();
  deadline = std::min(deadline, absl::Now() + kReopenTimeout);
  current_->Set(OpenKeyring::Open(std::move(keyring), *options_.backends, before.get(), deadline));
}

void KeyringWriter::Reopen(absl::Time deadline) {
  const std::shared_ptr<const OpenKeyring> before = current_->Get();
  const bool complete = std::none_of(
      before->entries().begin(), before->entries().end(), [](const OpenKeyring::Entry& entry) {
        return entry.key == nullptr && CanDecrypt(entry.version->state);
      });
  if (complete) return;
  std::shared_ptr<const OpenKeyring> opened =
      OpenKeyring::Open(std::make_shared<const Keyring>(before->keyring()), *options_.backends,
                        before.get(), deadline);
  MutexLock lock(&mu_);
  if (current_->Get() == before) current_->Set(std::move(opened));
}

absl::StatusOr<std::vector<BackupLogEntry>> KeyringWriter::Backups() const {
  MutexLock lock(&backups_mu_);
  return backups_;
}

void KeyringWriter::RefreshBackups() {
  absl::StatusOr<std::vector<BackupLogEntry>> backups = options_.store->Backups();
  MutexLock lock(&backups_mu_);
  backups_ = std::move(backups);
}

std::vector<KeyPlace> KeyringWriter::Places() const { return options_.backends->Places(); }

absl::Status KeyringWriter::CheckStore() {
  RefreshBackups();
  // Without the lock: a disk that hangs must not hold up what works in memory.
  const uint64_t before = current_->Get()->keyring().generation();
  KEKD_ASSIGN_OR_RETURN(const std::shared_ptr<const Keyring> stored, options_.store->Load());
  const uint64_t served = current_->Get()->keyring().generation();
  if (stored->generation() == served || served != before) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("the keyring on the disk is of generation ",
                                          stored->generation(), ", the one that is served of ",
                                          served, ": somebody replaced the file under kekd"));
}

}  // namespace kekd
