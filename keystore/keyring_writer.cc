#include "keystore/keyring_writer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "keystore/canary.h"

namespace kekd {
namespace {

std::string DescribeChange(const Transition& transition, uint32_t version) {
  const absl::string_view verb = std::holds_alternative<CreateVersion>(transition)    ? "created"
                                 : std::holds_alternative<PromoteVersion>(transition) ? "promoted"
                                                                                      : "changed";
  return absl::StrCat(verb, " key version ", version);
}

}  // namespace

KeyringWriter::KeyringWriter(Options options, std::shared_ptr<const OpenKeyring> opened)
    : options_(std::move(options)), current_(std::make_shared<CurrentKeyring>(std::move(opened))) {}

absl::StatusOr<std::unique_ptr<KeyringWriter>> KeyringWriter::Create(Options options,
                                                                     absl::Time deadline) {
  KEKD_ASSIGN_OR_RETURN(std::shared_ptr<const Keyring> keyring, options.store->Load());
  std::shared_ptr<const OpenKeyring> opened =
      OpenKeyring::Open(std::move(keyring), *options.backends, nullptr, deadline);
  return std::unique_ptr<KeyringWriter>(new KeyringWriter(std::move(options), std::move(opened)));
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
  if (const AppliedRequest* applied = before->keyring().FindApplied(request_id)) {
    return Applied{before, applied->version};
  }
  if (before->keyring().generation() != expected_generation) {
    return TooLateLocked(before->keyring().generation(), expected_generation);
  }
  uint32_t version = 0;
  KEKD_ASSIGN_OR_RETURN(const Keyring changed,
                        ChangedLocked(*before, transition, deadline, &version));
  const Keyring next = changed.WithApplied(request_id, version);
  absl::StatusOr<std::shared_ptr<const Keyring>> committed =
      options_.store->Commit(next, expected_generation);
  if (!committed.ok()) return AfterFailedCommitLocked(committed.status(), request_id, deadline);
  last_change_ = {std::string(who), DescribeChange(transition, version), options_.clock->Now()};
  PublishLocked(*std::move(committed), deadline);
  return Applied{current_->Get(), version};
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

absl::StatusOr<Keyring> KeyringWriter::ChangedLocked(const OpenKeyring& current,
                                                     const Transition& transition,
                                                     absl::Time deadline, uint32_t* version) {
  const Keyring& ring = current.keyring();
  const absl::Time now = options_.clock->Now();
  if (const auto* create = std::get_if<CreateVersion>(&transition)) {
    KEKD_ASSIGN_OR_RETURN(KeyBackend* const backend, options_.backends->Find(create->backend));
    *version = ring.NextVersionNumber();
    KEKD_ASSIGN_OR_RETURN(KeyVersion made, MakeKeyVersion({ring.identity(), *version}, *backend,
                                                          *options_.random, now, deadline));
    return ring.WithNewVersion(std::move(made));
  }
  const auto& promote = std::get<PromoteVersion>(transition);
  *version = promote.number;
  KEKD_ASSIGN_OR_RETURN(Keyring promoted, ring.WithPromoted(promote.number, now));
  const OpenKeyring::Entry* entry = current.Find(promote.number);
  if (entry->key == nullptr) {
    return WithContext(entry->status, absl::StrCat("key version ", promote.number,
                                                   " can't be promoted: it can't be opened"));
  }
  KEKD_RETURN_IF_ERROR(
      WithContext(CheckCanary(ring.identity(), *entry->version, *entry->key, deadline),
                  "the version can't be promoted"));
  return promoted;
}

void KeyringWriter::PublishLocked(std::shared_ptr<const Keyring> keyring, absl::Time deadline) {
  const std::shared_ptr<const OpenKeyring> before = current_->Get();
  current_->Set(OpenKeyring::Open(std::move(keyring), *options_.backends, before.get(), deadline));
}

void KeyringWriter::Reopen(absl::Time deadline) {
  MutexLock lock(&mu_);
  const std::shared_ptr<const OpenKeyring> before = current_->Get();
  for (const OpenKeyring::Entry& entry : before->entries()) {
    if (entry.key == nullptr && CanDecrypt(entry.version->state)) {
      PublishLocked(std::make_shared<const Keyring>(before->keyring()), deadline);
      return;
    }
  }
}

absl::Status KeyringWriter::CheckStore() {
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
