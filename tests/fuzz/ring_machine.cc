#include "tests/fuzz/ring_machine.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/durable_file.h"
#include "base/status_macros.h"
#include "keystore/ring_folder.h"
#include "kms/service/envelope_service.h"
#include "tests/fuzz/keyring_rules.h"
#include "tests/keystore/test_ring.h"
#include "tests/support/secrets.h"

namespace kekd::testing {
namespace {

constexpr absl::string_view kPlaintext = "the seed of an API server, say..";
constexpr size_t kMaxSealed = 6;

EnvelopeService ServiceOf(const KeyringWriter& writer) {
  return {writer.current(), std::make_shared<KeyringHealth>()};
}

bool IsRefusal(const absl::Status& status) {
  return absl::IsFailedPrecondition(status) || absl::IsNotFound(status) ||
         absl::IsInvalidArgument(status);
}

}  // namespace

RingMachine::RingMachine(Choices& choices) : choices_(choices) { CheckServed(); }

absl::Status RingMachine::Open() {
  KEKD_RETURN_IF_ERROR(ring_.Open());
  CheckServed();
  return absl::OkStatus();
}

void RingMachine::CheckServed() {
  const std::shared_ptr<const OpenKeyring> opened = ring_.Served();
  const Keyring& ring = opened->keyring();
  CheckRingValue(ring);
  if (served_.has_value()) {
    CheckRingStep(*served_, ring);
    Require(ring.generation() >= served_->generation());
    Require(ring.ring_key_number() >= served_->ring_key_number());
  }
  served_ = ring;
  for (const OpenKeyring::Entry& entry : opened->entries()) {
    Require(entry.key != nullptr);
    const auto known = ids_.emplace(entry.version->key_id.text(), entry.version->number).first;
    Require(known->second == entry.version->number);
  }
  Require(ids_.size() == ring.versions().size());
  if (last_request_.has_value()) Require(ring.FindApplied(*last_request_) != nullptr);
  const EnvelopeService service = ServiceOf(ring_.writer());
  for (const Sealed& sealed : sealed_) {
    const absl::StatusOr<SecretBytes> opened_again =
        service.Decrypt({.ciphertext = sealed.ciphertext, .key_id = sealed.key_id, .uid = "fuzz"},
                        absl::InfiniteFuture());
    Require(opened_again.ok() && RevealedText(*opened_again) == kPlaintext);
  }
}

void RingMachine::CheckBackups() {
  const absl::StatusOr<std::vector<BackupLogEntry>> entries = ring_.store().Backups();
  for (const Uuid& backup : backups_) {
    Require(entries.ok() && std::any_of(entries->begin(), entries->end(),
                                        [&](const auto& e) { return e.backup_id == backup; }));
  }
}

// The key files that have a wrap now open the ring, and no others.
void RingMachine::CheckWhatOpens() {
  for (const std::string& key_file : MemoryRing::KeyFiles()) {
    const std::vector<Wrap>& wraps = served_->ring_key_wraps();
    const bool has_wrap = std::any_of(wraps.begin(), wraps.end(),
                                      [&](const Wrap& w) { return w.reference == key_file; });
    const bool opens =
        FileKeyringStore::Open(ring_.Options({key_file}), FileKeyringStore::Access::kReadOnly).ok();
    Require(opens == has_wrap);
  }
}

bool RingMachine::Apply(const Transition& transition) {
  const uint64_t before = ring_.Served()->keyring().generation();
  const Uuid request = TestUuid(++requests_);
  const absl::StatusOr<KeyringWriter::Applied> applied =
      ring_.writer().Apply(transition, before, request, absl::InfiniteFuture(), "fuzz");
  if (applied.ok()) {
    Require(applied->keyring->keyring().generation() > before);
    last_request_ = request;
    last_transition_ = transition;
  } else if (!disturbed_) {
    // Nothing but a rule of the ring's refuses, and then nothing has changed.
    Require(IsRefusal(applied.status()));
    Require(ring_.Served()->keyring().generation() == before);
  }
  CheckServed();
  return applied.ok();
}

void RingMachine::Repeat() {
  if (!last_request_.has_value()) return;
  const uint64_t before = ring_.Served()->keyring().generation();
  const absl::StatusOr<KeyringWriter::Applied> again =
      ring_.writer().Apply(last_transition_, 0, *last_request_, absl::InfiniteFuture());
  if (again.ok()) Require(ring_.Served()->keyring().versions().size() == ids_.size());
  Require(ring_.Served()->keyring().generation() >= before);
}

void RingMachine::ComeTooLate() {
  const uint64_t before = ring_.Served()->keyring().generation();
  Require(!ring_.writer()
               .Apply(CreateVersion{"software"}, before - 1 + 2 * choices_.Below(2),
                      TestUuid(++requests_), absl::InfiniteFuture())
               .ok());
}

void RingMachine::AddWrapOf(const std::string& key_file) {
  const Keyring& ring = ring_.Served()->keyring();
  absl::StatusOr<Wrap> wrap =
      ring_.Wrapper(key_file)->WrapRingKey(*ring_.store().ring_key()->Get(), ring.identity());
  Require(wrap.ok());
  wrap->number = ring.next_wrap_number();
  wrap->creation_time = ring_.clock().Now();
  Apply(AddWrap{*std::move(wrap)});
}

// As kekctl does it: the wraps that stay are made anew under their old numbers.
void RingMachine::ReplaceKey() {
  const Keyring ring = ring_.Served()->keyring();
  const absl::StatusOr<std::shared_ptr<const RingKey>> ring_key =
      RingKey::Generate(ring.identity().ring_uuid, ring_.random());
  ReplaceRingKey replace;
  for (const Wrap& wrap : ring.ring_key_wraps()) {
    if (choices_.Flag()) {
      replace.removed.push_back(wrap.number);
      continue;
    }
    absl::StatusOr<Wrap> anew =
        ring_.Wrapper(wrap.reference)->WrapRingKey(**ring_key, ring.identity());
    Require(anew.ok());
    anew->number = wrap.number;
    replace.wraps.push_back(*std::move(anew));
  }
  // The list of backups is carried over as well as can be: a change of it that fails is told, not
  // undone.
  if (disturbed_) backups_.clear();
  Apply(replace);
}

void RingMachine::RecordBackup() {
  const Keyring& ring = ring_.Served()->keyring();
  BackupLogEntry entry;
  entry.backup_id = TestUuid(++requests_);
  entry.creation_time = ring_.clock().Now();
  entry.generation = ring.generation();
  entry.highest_version = static_cast<uint32_t>(ring.versions().size());
  entry.keys = *KeysDigest(ring, ring.versions().size());
  entry.ring_key_number = ring.ring_key_number();
  entry.path = absl::StrCat("/backups/", requests_);
  if (ring_.store().RecordBackup(entry).ok()) backups_.push_back(entry.backup_id);
}

void RingMachine::Encrypt() {
  const absl::StatusOr<EnvelopeService::Encrypted> encrypted =
      ServiceOf(ring_.writer()).Encrypt(SecretFromText(kPlaintext), "fuzz", absl::InfiniteFuture());
  Require(encrypted.ok());
  if (sealed_.size() == kMaxSealed) sealed_.erase(sealed_.begin());
  sealed_.push_back({encrypted->ciphertext, encrypted->key_id});
}

void RingMachine::ArmFault() {
  constexpr Fault::Kind kKinds[] = {Fault::Kind::kError, Fault::Kind::kErrorAfterDone,
                                    Fault::Kind::kShortWrite, Fault::Kind::kCrash};
  constexpr int kErrors[] = {ENOSPC, EIO, EROFS, EACCES};
  Fault fault;
  disturbed_ = true;
  fault.call = choices_.Below(64);
  fault.kind = kKinds[choices_.Below(4)];
  fault.error = kErrors[choices_.Below(4)];
  fault.written = choices_.Byte();
  ring_.faults().Inject(std::move(fault));
}

void RingMachine::Restart(bool power_cut) {
  ring_.Close();
  ring_.faults().Reset();
  disturbed_ = false;
  if (power_cut) ring_.disk().CutPower([&] { return choices_.Flag(); });
  Require(Open().ok());
  CheckBackups();
  CheckWhatOpens();
}

void RingMachine::OpenUnderFault() {
  ring_.Close();
  ring_.faults().Reset();
  ArmFault();
  (void)Open();
  Restart(choices_.Flag());
}

// Somebody puts an older copy in the record's place.
void RingMachine::TryRollback() {
  Restart(/*power_cut=*/false);
  const FileKeyringStore::Options options = ring_.Options({});
  const std::string record = ring_folder::RecordPath(options);
  const absl::StatusOr<std::vector<uint64_t>> kept = ring_folder::KeptGenerations(options);
  Require(kept.ok() && !kept->empty());
  const uint64_t older = (*kept)[choices_.Below(static_cast<uint32_t>(kept->size()))];
  if (older >= served_->generation()) return;
  ring_.Close();
  const std::string newest = *ring_.disk().ReadFile(record, kMaxRecordBytes);
  const std::string copy =
      *ring_.disk().ReadFile(ring_folder::GenerationPath(options, older), kMaxRecordBytes);
  Require(ReplaceFileDurably(ring_.disk(), record, AsBytes(copy), {}).ok());
  Require(absl::IsDataLoss(Open()));
  Require(ReplaceFileDurably(ring_.disk(), record, AsBytes(newest), {}).ok());
  Require(Open().ok());
}

void RingMachine::Finish() {
  Restart(/*power_cut=*/false);
  Require(Apply(CreateVersion{"software"}));
}

void RingMachine::Step() {
  ring_.clock().Advance(absl::Seconds(1));
  switch (choices_.Below(16)) {
    case 0:
    case 1:
      Apply(CreateVersion{"software"});
      return;
    case 2:
    case 3:
      Apply(PromoteVersion{choices_.Below(ring_.Served()->keyring().NextVersionNumber() + 1)});
      return;
    case 4:
      return AddWrapOf(MemoryRing::KeyFiles()[choices_.Below(2)]);
    case 5:
      return ReplaceKey();
    case 6:
      return RecordBackup();
    case 7:
      return Encrypt();
    case 8:
      return Repeat();
    case 9:
      return ComeTooLate();
    case 10:
      return Restart(/*power_cut=*/false);
    case 11:
      return Restart(/*power_cut=*/true);
    case 12:
      return OpenUnderFault();
    case 13:
      return TryRollback();
    default:
      return ArmFault();
  }
}

}  // namespace kekd::testing
