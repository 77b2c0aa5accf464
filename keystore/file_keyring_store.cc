#include "keystore/file_keyring_store.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/durable_file.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "keystore/ring_folder.h"

namespace kekd {

using namespace ring_folder;  // NOLINT(google-build-using-namespace): the other half of this class

namespace {

// By the record's form alone; nothing if it has none.
std::optional<uint32_t> RingKeyNumberOf(const Options& options, const std::string& path) {
  absl::StatusOr<std::string> bytes = options.fs->ReadFile(path, kMaxRecordBytes);
  if (!bytes.ok()) return std::nullopt;
  const absl::StatusOr<UnverifiedRecord> record = UnverifiedRecord::Parse(*std::move(bytes));
  if (!record.ok()) return std::nullopt;
  return record->ring_key_number();
}

}  // namespace

FileKeyringStore::FileKeyringStore(Options options, Access access, std::unique_ptr<FileLock> lock,
                                   const Uuid& ring_uuid, std::shared_ptr<const RingKey> ring_key)
    : options_({.fs = options.fs,
                .random = options.random,
                .directory = std::move(options.directory),
                .state_directory = std::move(options.state_directory),
                .wrappers = {}}),
      access_(access),
      lock_(std::move(lock)),
      ring_uuid_(ring_uuid),
      ring_key_(std::make_shared<CurrentRingKey>(std::move(ring_key))),
      wrappers_(std::move(options.wrappers)) {}

absl::StatusOr<std::unique_ptr<FileKeyringStore>> FileKeyringStore::Open(Options options,
                                                                         Access access) {
  KEKD_RETURN_IF_ERROR(CheckThereIsOne(options));
  std::unique_ptr<FileLock> lock;
  if (access == Access::kExclusive) {
    KEKD_ASSIGN_OR_RETURN(lock, LockFolder(options));
  }
  KEKD_ASSIGN_OR_RETURN(OpenedRecord record, ReadCurrent(options, nullptr));
  std::unique_ptr<FileKeyringStore> store(
      new FileKeyringStore(std::move(options), access, std::move(lock),
                           record.keyring.identity().ring_uuid, std::move(record.ring_key)));
  store->SetOpener(std::move(record.opener));
  KEKD_RETURN_IF_ERROR(store->Load().status());
  return store;
}

absl::StatusOr<std::unique_ptr<FileKeyringStore>> FileKeyringStore::Create(
    Options options, const RingIdentity& identity, absl::Time now, InitialKeyring initial) {
  FileSystem& fs = *options.fs;
  KEKD_RETURN_IF_ERROR(MakeFolders(options));
  KEKD_RETURN_IF_ERROR(CheckFolders(options));
  KEKD_ASSIGN_OR_RETURN(std::unique_ptr<FileLock> lock, LockFolder(options));
  KEKD_ASSIGN_OR_RETURN(const std::vector<uint64_t> kept, KeptGenerations(options));
  const std::string record = RecordPath(options);
  const absl::Status found = fs.GetInfo(record).status();
  if (!found.ok() && !absl::IsNotFound(found)) return found;
  if (!kept.empty() || found.ok()) {
    return absl::AlreadyExistsError(
        absl::StrCat("there is a keyring in ", options.directory,
                     " already; nothing was changed. To start anew, move that folder away"));
  }

  KEKD_ASSIGN_OR_RETURN(std::shared_ptr<const RingKey> ring_key,
                        RingKey::Generate(identity.ring_uuid, *options.random));
  Keyring::Parts parts;
  parts.identity = identity;
  parts.creation_time = absl::FromUnixMillis(absl::ToUnixMillis(now));
  NewWraps wraps(identity);
  for (const std::unique_ptr<RingKeyWrapper>& wrapper : options.wrappers) {
    KEKD_ASSIGN_OR_RETURN(Wrap wrap, wraps.Make(*wrapper, *ring_key));
    wrap.number = parts.next_wrap_number++;
    wrap.creation_time = parts.creation_time;
    parts.ring_key_wraps.push_back(std::move(wrap));
  }
  if (parts.ring_key_wraps.empty()) {
    return absl::FailedPreconditionError("a keyring needs at least one wrap of its ring key");
  }
  KEKD_ASSIGN_OR_RETURN(const Keyring empty, Keyring::Create(std::move(parts)));
  KEKD_ASSIGN_OR_RETURN(const Keyring filled, initial(empty, ring_key));
  KEKD_ASSIGN_OR_RETURN(const std::string bytes, EncodeRecord(filled.WithGeneration(1), *ring_key));

  // The high-water file first: so a missing one never comes from a crash, and can be refused.
  KEKD_ASSIGN_OR_RETURN(const DurableFileOptions file_options, FileOptions(options));
  const std::string high_water = HighWaterPath(options.state_directory, identity.ring_uuid);
  KEKD_RETURN_IF_ERROR(RemoveTemporary(fs, record));
  absl::Status made =
      CreateHighWater(fs, high_water, identity.ring_uuid, *ring_key, HighWater{}, file_options);
  if (absl::IsAlreadyExists(made)) {
    // Of an earlier try for the same ring, which came to nothing.
    made = WriteHighWater(fs, high_water, identity.ring_uuid, *ring_key, HighWater{}, file_options);
  }
  if (made.ok()) made = CreateFileDurably(fs, record, AsBytes(bytes), file_options);
  if (!made.ok()) {
    // Where there surely is no ring its high-water file is of no use to anybody.
    const bool no_ring = absl::IsNotFound(fs.GetInfo(record).status());
    if (no_ring) (void)fs.Remove(high_water);
    if (!no_ring) wraps.Keep();
    return made;
  }
  wraps.Keep();
  WriteCopy(options, 1, bytes, file_options);
  std::unique_ptr<FileKeyringStore> store(
      new FileKeyringStore(std::move(options), Access::kExclusive, std::move(lock),
                           identity.ring_uuid, std::move(ring_key)));
  {
    MutexLock making(&store->mu_);
    store->durable_generation_ = 1;
  }
  KEKD_RETURN_IF_ERROR(store->Load().status());
  return store;
}

absl::StatusOr<std::shared_ptr<const Keyring>> FileKeyringStore::Load() {
  MutexLock lock(&mu_);
  return LoadLocked(/*insist_on_mark=*/false);
}

absl::StatusOr<std::shared_ptr<const Keyring>> FileKeyringStore::LoadLocked(bool insist_on_mark) {
  FileSystem& fs = *options_.fs;
  KEKD_RETURN_IF_ERROR(CheckFolders(options_));
  const std::string path = HighWaterPath(options_.state_directory, ring_uuid_);
  absl::StatusOr<CheckedRecord> checked = ReadChecked(options_, ring_uuid_, ring_key_->Get());
  if (absl::IsDataLoss(checked.status()) && coming_ring_key_ != nullptr) {
    // The commit that failed may have replaced the record.
    absl::StatusOr<CheckedRecord> under_coming =
        ReadChecked(options_, ring_uuid_, coming_ring_key_);
    if (under_coming.ok()) {
      checked = std::move(under_coming);
      ring_key_->Set(std::exchange(coming_ring_key_, nullptr));
      SetOpener(coming_opener_);
    }
  }
  KEKD_RETURN_IF_ERROR(checked.status());
  coming_ring_key_ = nullptr;  // what it was kept for is known now
  const uint64_t generation = checked->keyring.generation();
  const HighWater& mark = checked->high_water;
  // The newest is back after an older one was accepted: that one is no longer.
  const bool newest_is_back = mark.highest == generation && mark.accepted < generation;
  if (access_ == Access::kExclusive && (mark.highest < generation || newest_is_back)) {
    // Or a commit was cut off after its rename. Only what is known to be durable is served, and
    // raises the mark. A mark that stays too low is no reason not to serve (the state disk may be
    // full, or read-only after an error): it only lets more rollbacks pass.
    KEKD_ASSIGN_OR_RETURN(const DurableFileOptions file_options, FileOptions(options_));
    if (durable_generation_ != generation) {
      KEKD_RETURN_IF_ERROR(MakeDurable(checked->keyring, file_options));
      durable_generation_ = generation;
    }
    const absl::Status raised = WriteHighWater(fs, path, ring_uuid_, *ring_key_->Get(),
                                               {generation, generation}, file_options);
    if (!raised.ok()) {
      if (insist_on_mark) return raised;
      if (!mark_warned_) {
        LogWarning("can't raise the high-water file; the keyring is served, but can't be changed",
                   {{"path", path}, {"generation", generation}, {"error", raised.message()}});
      }
    }
    mark_warned_ = !raised.ok();
  }
  return std::make_shared<const Keyring>(std::move(checked->keyring));
}

absl::Status FileKeyringStore::MakeDurable(const Keyring& keyring,
                                           const DurableFileOptions& file_options) const {
  // Whoever wrote it may have been told that a sync failed, and the kernel tells that once: a
  // second sync of the same pages means nothing, but one of new ones does.
  FileSystem& fs = *options_.fs;
  const std::string path = RecordPath(options_);
  KEKD_ASSIGN_OR_RETURN(const std::string bytes, EncodeRecord(keyring, *ring_key_->Get()));
  KEKD_ASSIGN_OR_RETURN(const FileInfo before, fs.GetInfo(path));
  absl::Status replaced = ReplaceFileDurably(fs, path, AsBytes(bytes), file_options);
  if (replaced.ok()) return replaced;
  // A disk that is full is no reason not to serve what is there, if no sync of its name failed.
  const absl::StatusOr<FileInfo> after = fs.GetInfo(path);
  if (!after.ok() || after->inode != before.inode) return replaced;
  return fs.SyncDirectory(options_.directory);
}

absl::StatusOr<std::shared_ptr<const RingKey>> FileKeyringStore::OpenRingKey(
    absl::Span<const Wrap> wraps) {
  MutexLock lock(&mu_);
  KEKD_ASSIGN_OR_RETURN(const std::shared_ptr<const Keyring> current,
                        LoadLocked(/*insist_on_mark=*/false));
  KEKD_ASSIGN_OR_RETURN(OpenedRingKey opened,
                        kekd::OpenRingKey(wraps, wrappers_, current->identity(), *options_.random));
  coming_opener_ = std::move(opened.opener);
  return std::move(opened.ring_key);
}

std::string FileKeyringStore::Opener() {
  MutexLock lock(&opener_mu_);
  return opener_;
}

void FileKeyringStore::SetOpener(std::string opener) {
  MutexLock lock(&opener_mu_);
  opener_ = std::move(opener);
}

absl::Status FileKeyringStore::SetWrappers(std::vector<std::unique_ptr<RingKeyWrapper>> wrappers) {
  MutexLock lock(&mu_);
  KEKD_ASSIGN_OR_RETURN(const std::shared_ptr<const Keyring> current,
                        LoadLocked(/*insist_on_mark=*/false));
  KEKD_ASSIGN_OR_RETURN(OpenedRingKey opened,
                        kekd::OpenRingKey(current->ring_key_wraps(), wrappers, current->identity(),
                                          *options_.random));
  if (!SecretBytes::ConstantTimeEquals(opened.ring_key->secret(), ring_key_->Get()->secret())) {
    return absl::DataLossError(absl::StrCat("wrap ", opened.wrap_number,
                                            " holds another ring key than the one that is served"));
  }
  wrappers_ = std::move(wrappers);
  SetOpener(std::move(opened.opener));
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const Keyring>> FileKeyringStore::Commit(
    const Keyring& next, uint64_t expected_generation) {
  MutexLock lock(&mu_);
  return CommitLocked(next, expected_generation, nullptr);
}

absl::StatusOr<std::shared_ptr<const Keyring>> FileKeyringStore::CommitWithRingKey(
    const Keyring& next, uint64_t expected_generation, std::shared_ptr<const RingKey> ring_key) {
  MutexLock lock(&mu_);
  return CommitLocked(next, expected_generation, ring_key);
}

// With `new_ring_key`, or null to keep the one there is.
absl::StatusOr<std::shared_ptr<const Keyring>> FileKeyringStore::CommitLocked(
    const Keyring& next, uint64_t expected_generation,
    const std::shared_ptr<const RingKey>& new_ring_key) {
  if (access_ != Access::kExclusive) {
    return absl::FailedPreconditionError("the keyring is open for reading only");
  }
  FileSystem& fs = *options_.fs;
  // Before it writes anything: or each try on a state disk that is full would leave a generation.
  KEKD_ASSIGN_OR_RETURN(const std::shared_ptr<const Keyring> current,
                        LoadLocked(/*insist_on_mark=*/true));
  if (current->generation() != expected_generation) {
    return absl::AbortedError(absl::StrCat("the keyring changed meanwhile: it is of generation ",
                                           current->generation(), ", not ", expected_generation,
                                           "; look at it again and repeat"));
  }
  KEKD_RETURN_IF_ERROR(next.CheckSucceeds(*current));
  const bool renews = new_ring_key != nullptr;
  if (renews != (next.ring_key_number() != current->ring_key_number())) {
    return absl::InternalError("a ring key and the keyring that names it must change together");
  }
  const std::shared_ptr<const RingKey> ring_key = renews ? new_ring_key : ring_key_->Get();
  const std::string high_water_path = HighWaterPath(options_.state_directory, ring_uuid_);
  KEKD_ASSIGN_OR_RETURN(const HighWater high_water,
                        ReadHighWater(fs, high_water_path, ring_uuid_, *ring_key_->Get()));
  KEKD_ASSIGN_OR_RETURN(
      const uint64_t highest,
      HighestGeneration(options_, std::max(high_water.highest, expected_generation)));
  const uint64_t generation = highest + 1;
  auto committed = std::make_shared<const Keyring>(next.WithGeneration(generation));
  KEKD_ASSIGN_OR_RETURN(const std::string bytes, EncodeRecord(*committed, *ring_key));
  KEKD_ASSIGN_OR_RETURN(const DurableFileOptions file_options, FileOptions(options_));

  absl::StatusOr<std::vector<BackupLogEntry>> backups = std::vector<BackupLogEntry>();
  if (renews) backups = BackupsLocked();
  KEKD_RETURN_IF_ERROR(KeepGeneration(expected_generation));
  if (renews) coming_ring_key_ = ring_key;
  KEKD_RETURN_IF_ERROR(ReplaceFileDurably(fs, RecordPath(options_), AsBytes(bytes), file_options));
  KEKD_RETURN_IF_ERROR(WriteHighWater(fs, high_water_path, ring_uuid_, *ring_key,
                                      {generation, generation}, file_options));
  if (renews) {
    CarryBackupsOver(backups, *ring_key, file_options);
    ring_key_->Set(ring_key);
    coming_ring_key_ = nullptr;
    SetOpener(coming_opener_);
  }
  const bool copied = WriteCopy(options_, generation, bytes, file_options);
  PruneGenerations(*committed, expected_generation, copied);
  RemoveTemporaries(options_, ring_uuid_);
  return committed;
}

absl::Status FileKeyringStore::KeepGeneration(uint64_t generation) const {
  FileSystem& fs = *options_.fs;
  const std::string kept = GenerationPath(options_, generation);
  absl::Status linked = fs.Link(RecordPath(options_), kept);
  if (!absl::IsAlreadyExists(linked)) return linked;
  // It should be the copy that its own commit made. Anything else may be all that is left of a ring
  // that was rolled back, and is not ours to remove.
  KEKD_ASSIGN_OR_RETURN(const std::string current,
                        fs.ReadFile(RecordPath(options_), kMaxRecordBytes));
  const absl::StatusOr<std::string> copy = fs.ReadFile(kept, kMaxRecordBytes);
  if (copy.ok() && *copy == current) return absl::OkStatus();
  const bool is_another = copy.ok() || absl::IsFailedPrecondition(copy.status()) ||
                          absl::IsOutOfRange(copy.status());  // no regular file, or too large
  if (!is_another) {
    // An error of the disk, or of rights, says nothing of what the file is.
    return WithContext(copy.status(),
                       "nothing was changed: the second copy of the current keyring can't be read "
                       "(if that stays so, move it to another folder and try again)");
  }
  return absl::FailedPreconditionError(absl::StrCat(
      kept, " should be a copy of the current keyring, but ",
      copy.ok() ? "it has another content" : copy.status().message(),
      ". Nothing was changed; look what it is, move it to another folder and try again"));
}

void FileKeyringStore::PruneGenerations(const Keyring& newest, uint64_t former,
                                        bool has_copy) const {
  absl::StatusOr<std::vector<uint64_t>> kept = KeptGenerations(options_);
  if (!kept.ok()) return;  // the commit itself is done; the next one prunes
  kept->erase(std::remove(kept->begin(), kept->end(), newest.generation()), kept->end());
  for (size_t i = 0; i < kept->size(); ++i) {
    const std::string path = GenerationPath(options_, (*kept)[i]);
    const std::optional<uint32_t> ring_key_number = RingKeyNumberOf(options_, path);
    // What a rollback left behind may be all there is of its keys.
    if (ring_key_number > newest.ring_key_number()) continue;
    const bool opened_by_removed =
        has_copy && ring_key_number.has_value() && *ring_key_number < newest.ring_key_number();
    const bool too_many = i + kKeptGenerations < kept->size() && (*kept)[i] != former;
    if (!opened_by_removed && !too_many) {
      if (i + kKeptGenerations >= kept->size() && ring_key_number.has_value()) return;
      continue;  // damaged: not ours to remove, and what follows it may be
    }
    const absl::Status removed = options_.fs->Remove(path);
    if (!removed.ok()) {
      LogWarning("can't remove an old generation of the keyring",
                 {{"path", path}, {"newest", newest.generation()}, {"error", removed.message()}});
    }
  }
}

}  // namespace kekd
