#include "keystore/file_keyring_store.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "base/durable_file.h"
#include "base/log.h"
#include "base/status_macros.h"

namespace kekd {
namespace {

constexpr absl::string_view kRecordName = "keyring";
constexpr absl::string_view kGenerationPrefix = "keyring.";
constexpr absl::string_view kLockName = "keyring.lock";

using Options = FileKeyringStore::Options;

std::string RecordPath(const Options& options) { return JoinPath(options.directory, kRecordName); }

std::string GenerationPath(const Options& options, uint64_t generation) {
  return JoinPath(options.directory, absl::StrCat(kGenerationPrefix, generation));
}

// Nobody but root and the ring's user may be able to put another record in place.
absl::Status CheckFolder(const Options& options) {
  KEKD_ASSIGN_OR_RETURN(const FileInfo info, options.fs->GetInfo(options.directory));
  if (info.type != FileType::kDirectory) {
    return absl::InvalidArgumentError(absl::StrCat(options.directory, " is not a folder"));
  }
  if ((info.mode & 022) != 0) {
    return absl::PermissionDeniedError(absl::StrFormat(
        "the keyring folder %s has mode %04o: others than its owner can write to it; run 'chmod "
        "0700 %s'",
        options.directory, info.mode, options.directory));
  }
  return absl::OkStatus();
}

// Files of a ring belong to whom its folder belongs.
absl::StatusOr<DurableFileOptions> FileOptions(const Options& options) {
  KEKD_ASSIGN_OR_RETURN(const FileInfo info, options.fs->GetInfo(options.directory));
  return DurableFileOptions{.mode = 0600, .owner = info.owner, .group = info.group};
}

absl::StatusOr<std::unique_ptr<FileLock>> LockFolder(const Options& options) {
  absl::StatusOr<std::unique_ptr<FileLock>> lock =
      options.fs->Lock(JoinPath(options.directory, kLockName), 0600);
  if (absl::IsUnavailable(lock.status())) {
    return absl::UnavailableError(absl::StrCat(
        "the keyring in ", options.directory,
        " is in use by another process (kekd, or another kekctl); only one may write to it"));
  }
  KEKD_RETURN_IF_ERROR(lock.status());
  // The lock file too belongs to the folder's owner, or the daemon could not take it after root's
  // tool has made it.
  KEKD_ASSIGN_OR_RETURN(const DurableFileOptions file_options, FileOptions(options));
  KEKD_RETURN_IF_ERROR(
      (*lock)->SetOwnerAndMode(*file_options.owner, *file_options.group, file_options.mode));
  return lock;
}

struct OpenedRecord {
  Keyring keyring;
  std::shared_ptr<const RingKey> ring_key;
};

// Reads and authenticates one record. With `ring_key`, under that; else under what the wrappers
// open.
absl::StatusOr<OpenedRecord> ReadRecord(const Options& options, const std::string& path,
                                        std::shared_ptr<const RingKey> ring_key) {
  KEKD_ASSIGN_OR_RETURN(std::string bytes, options.fs->ReadFile(path, kMaxRecordBytes));
  KEKD_ASSIGN_OR_RETURN(const UnverifiedRecord record, UnverifiedRecord::Parse(std::move(bytes)));
  if (ring_key == nullptr) {
    KEKD_ASSIGN_OR_RETURN(ring_key, OpenRingKey(record.ring_key_wraps(), options.wrappers,
                                                record.identity(), *options.random));
  }
  KEKD_ASSIGN_OR_RETURN(Keyring keyring, record.Verify(*ring_key));
  return OpenedRecord{std::move(keyring), std::move(ring_key)};
}

absl::Status NoKeyring(const Options& options) {
  return absl::NotFoundError(
      absl::StrCat("there is no keyring in ", options.directory,
                   "; 'kekctl keyring init' makes one, a backup brings a lost one back"));
}

// Before anything is locked: where there is no ring, no lock file is left behind.
absl::Status CheckThereIsOne(const Options& options) {
  const absl::Status found = options.fs->GetInfo(RecordPath(options)).status();
  if (absl::IsNotFound(found)) return NoKeyring(options);
  KEKD_RETURN_IF_ERROR(found);
  return CheckFolder(options);
}

// Reads the current record; its errors tell what to do.
absl::StatusOr<OpenedRecord> ReadCurrent(const Options& options,
                                         std::shared_ptr<const RingKey> ring_key) {
  const std::string path = RecordPath(options);
  absl::StatusOr<OpenedRecord> record = ReadRecord(options, path, std::move(ring_key));
  if (record.ok()) return record;
  if (absl::IsNotFound(options.fs->GetInfo(path).status())) return NoKeyring(options);
  if (absl::IsDataLoss(record.status())) {
    return absl::DataLossError(absl::StrCat(
        path, ": ", record.status().message(),
        ". Nothing was changed. 'kekctl keyring verify' says which copies of it are good"));
  }
  return WithContext(record.status(), path);
}

absl::Status CheckHighWater(const Options& options, const Keyring& keyring,
                            const absl::StatusOr<HighWater>& high_water) {
  const std::string path = HighWaterPath(options.state_directory, keyring.identity().ring_uuid);
  const std::string cure = absl::StrCat(
      "If generation ", keyring.generation(),
      " is known to be right (a restored backup, a new host), run 'kekctl keyring accept-rollback "
      "--generation ",
      keyring.generation(), "'");
  if (absl::IsNotFound(high_water.status())) {
    return absl::DataLossError(absl::StrCat(
        "the high-water file ", path, " is missing, so it can't be told whether the keyring in ",
        options.directory, " (generation ", keyring.generation(), ") is the newest. ", cure));
  }
  if (!high_water.ok()) return high_water.status();
  if (keyring.generation() < high_water->accepted) {
    return absl::DataLossError(
        absl::StrCat("the keyring in ", options.directory, " was rolled back: it is of generation ",
                     keyring.generation(), ", but generation ", high_water->highest,
                     " was committed here. Put the newest back (",
                     GenerationPath(options, high_water->highest), " or a backup). ", cure));
  }
  return absl::OkStatus();
}

struct CheckedRecord {
  Keyring keyring;
  HighWater high_water;
};

// Reads the current record and checks it against the high-water file, which is read first: a commit
// between the two looks then makes the record newer than the mark, and not a rollback of it.
absl::StatusOr<CheckedRecord> ReadChecked(const Options& options, const Uuid& ring_uuid,
                                          const std::shared_ptr<const RingKey>& ring_key) {
  const absl::StatusOr<HighWater> high_water = ReadHighWater(
      *options.fs, HighWaterPath(options.state_directory, ring_uuid), ring_uuid, *ring_key);
  KEKD_ASSIGN_OR_RETURN(OpenedRecord record, ReadCurrent(options, ring_key));
  KEKD_RETURN_IF_ERROR(CheckHighWater(options, record.keyring, high_water));
  return CheckedRecord{std::move(record.keyring), *high_water};
}

// The numbers of the kept generations, ascending.
absl::StatusOr<std::vector<uint64_t>> KeptGenerations(const Options& options) {
  KEKD_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                        options.fs->ListDirectory(options.directory));
  std::vector<uint64_t> generations;
  for (const std::string& name : names) {
    absl::string_view digits = name;
    uint64_t generation = 0;
    // Only the spelling that we write: "keyring.007" is nobody's generation.
    if (absl::ConsumePrefix(&digits, kGenerationPrefix) && absl::SimpleAtoi(digits, &generation) &&
        absl::StrCat(generation) == digits) {
      generations.push_back(generation);
    }
  }
  std::sort(generations.begin(), generations.end());
  return generations;
}

}  // namespace

FileKeyringStore::FileKeyringStore(Options options, Access access, std::unique_ptr<FileLock> lock,
                                   const Uuid& ring_uuid, std::shared_ptr<const RingKey> ring_key)
    : options_(std::move(options)),
      access_(access),
      lock_(std::move(lock)),
      ring_uuid_(ring_uuid),
      ring_key_(std::move(ring_key)) {}

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
  KEKD_RETURN_IF_ERROR(store->Load().status());
  return store;
}

absl::StatusOr<std::unique_ptr<FileKeyringStore>> FileKeyringStore::Create(
    Options options, const RingIdentity& identity, absl::Time now, InitialKeyring initial) {
  FileSystem& fs = *options.fs;
  for (const std::string& folder : {options.directory, options.state_directory}) {
    absl::Status made = fs.CreateDirectory(folder, 0700);
    if (!made.ok() && !absl::IsAlreadyExists(made)) return made;
    KEKD_RETURN_IF_ERROR(fs.SyncDirectory(DirectoryOf(folder)));
  }
  KEKD_RETURN_IF_ERROR(CheckFolder(options));
  KEKD_ASSIGN_OR_RETURN(std::unique_ptr<FileLock> lock, LockFolder(options));
  KEKD_ASSIGN_OR_RETURN(const std::vector<uint64_t> kept, KeptGenerations(options));
  if (!kept.empty() || fs.GetInfo(RecordPath(options)).ok()) {
    return absl::AlreadyExistsError(
        absl::StrCat("there is a keyring in ", options.directory,
                     " already; nothing was changed. To start anew, move that folder away"));
  }

  KEKD_ASSIGN_OR_RETURN(std::shared_ptr<const RingKey> ring_key,
                        RingKey::Generate(identity.ring_uuid, *options.random));
  Keyring::Parts parts;
  parts.identity = identity;
  parts.creation_time = absl::FromUnixMillis(absl::ToUnixMillis(now));
  for (const std::unique_ptr<RingKeyWrapper>& wrapper : options.wrappers) {
    KEKD_ASSIGN_OR_RETURN(parts.ring_key_wraps.emplace_back(),
                          wrapper->WrapRingKey(*ring_key, identity));
  }
  if (parts.ring_key_wraps.empty()) {
    return absl::FailedPreconditionError("a keyring needs at least one wrap of its ring key");
  }
  KEKD_ASSIGN_OR_RETURN(const Keyring empty, Keyring::Create(std::move(parts)));
  KEKD_ASSIGN_OR_RETURN(const Keyring filled, initial(empty, ring_key));
  KEKD_ASSIGN_OR_RETURN(const std::string bytes, EncodeRecord(filled.WithGeneration(1), *ring_key));

  // The high-water file first: so a missing one never comes from a crash, and can be refused.
  KEKD_ASSIGN_OR_RETURN(const DurableFileOptions file_options, FileOptions(options));
  KEKD_RETURN_IF_ERROR(WriteHighWater(fs,
                                      HighWaterPath(options.state_directory, identity.ring_uuid),
                                      identity.ring_uuid, *ring_key, HighWater{}, file_options));
  KEKD_RETURN_IF_ERROR(CreateFileDurably(fs, RecordPath(options), AsBytes(bytes), file_options));
  std::unique_ptr<FileKeyringStore> store(
      new FileKeyringStore(std::move(options), Access::kExclusive, std::move(lock),
                           identity.ring_uuid, std::move(ring_key)));
  KEKD_RETURN_IF_ERROR(store->Load().status());
  return store;
}

absl::StatusOr<std::shared_ptr<const Keyring>> FileKeyringStore::AcceptRollback(
    Options options, uint64_t generation) {
  KEKD_RETURN_IF_ERROR(CheckThereIsOne(options));
  KEKD_ASSIGN_OR_RETURN(const std::unique_ptr<FileLock> lock, LockFolder(options));
  KEKD_ASSIGN_OR_RETURN(const OpenedRecord record, ReadCurrent(options, nullptr));
  const Uuid& uuid = record.keyring.identity().ring_uuid;
  if (record.keyring.generation() != generation) {
    return absl::FailedPreconditionError(
        absl::StrCat("the keyring in ", options.directory, " is of generation ",
                     record.keyring.generation(), ", not ", generation, "; nothing was accepted"));
  }
  const std::string path = HighWaterPath(options.state_directory, uuid);
  const absl::StatusOr<HighWater> before = ReadHighWater(*options.fs, path, uuid, *record.ring_key);
  // Only what is missing or damaged is made anew; what can't be read now, or by this kekd, may
  // still know of higher generations.
  if (!before.ok() && !absl::IsNotFound(before.status()) && !absl::IsDataLoss(before.status())) {
    return before.status();
  }
  if (before.ok() && before->accepted <= generation) {
    return absl::FailedPreconditionError(
        absl::StrCat("generation ", generation, " is not refused: there is no rollback to accept"));
  }
  KEKD_ASSIGN_OR_RETURN(const DurableFileOptions file_options, FileOptions(options));
  // `highest` stays: the next commit gets a number that no keyring of this ring ever had.
  KEKD_RETURN_IF_ERROR(
      WriteHighWater(*options.fs, path, uuid, *record.ring_key,
                     {before.ok() ? std::max(before->highest, generation) : generation, generation},
                     file_options));
  return std::make_shared<const Keyring>(record.keyring);
}

absl::StatusOr<std::vector<FileKeyringStore::CopyReport>> FileKeyringStore::Verify(
    const Options& options) {
  KEKD_ASSIGN_OR_RETURN(std::vector<uint64_t> kept, KeptGenerations(options));
  std::vector<CopyReport> reports;
  CopyReport& current = reports.emplace_back();
  current.path = RecordPath(options);
  absl::StatusOr<OpenedRecord> record = ReadCurrent(options, nullptr);
  current.status = record.status();
  if (record.ok()) {
    current.generation = record->keyring.generation();
    current.status = CheckFolder(options);
    if (current.status.ok()) {
      const absl::StatusOr<CheckedRecord> checked =
          ReadChecked(options, record->keyring.identity().ring_uuid, record->ring_key);
      current.status = checked.status();
      if (checked.ok()) current.generation = checked->keyring.generation();
    }
  }
  std::reverse(kept.begin(), kept.end());
  for (const uint64_t generation : kept) {
    CopyReport& report = reports.emplace_back();
    report.path = GenerationPath(options, generation);
    const absl::StatusOr<OpenedRecord> copy = ReadRecord(options, report.path, nullptr);
    report.status = copy.status();
    if (!copy.ok()) continue;
    report.generation = copy->keyring.generation();
    if (*report.generation != generation) {
      report.status = absl::DataLossError(absl::StrCat(
          report.path, " holds generation ", *report.generation, ": the file was exchanged"));
    }
  }
  return reports;
}

absl::StatusOr<std::shared_ptr<const Keyring>> FileKeyringStore::Load() {
  MutexLock lock(&mu_);
  return LoadLocked();
}

absl::StatusOr<std::shared_ptr<const Keyring>> FileKeyringStore::LoadLocked() {
  FileSystem& fs = *options_.fs;
  KEKD_RETURN_IF_ERROR(CheckFolder(options_));
  const std::string path = HighWaterPath(options_.state_directory, ring_uuid_);
  KEKD_ASSIGN_OR_RETURN(const CheckedRecord checked, ReadChecked(options_, ring_uuid_, ring_key_));
  const auto& [keyring, high_water] = checked;
  const uint64_t generation = keyring.generation();
  if (access_ == Access::kExclusive && high_water.highest < generation) {
    // A commit was cut off after its rename. Only what is known to be durable raises the mark.
    KEKD_RETURN_IF_ERROR(fs.SyncDirectory(options_.directory));
    KEKD_ASSIGN_OR_RETURN(const DurableFileOptions file_options, FileOptions(options_));
    KEKD_RETURN_IF_ERROR(
        WriteHighWater(fs, path, ring_uuid_, *ring_key_, {generation, generation}, file_options));
  }
  return std::make_shared<const Keyring>(keyring);
}

absl::StatusOr<std::shared_ptr<const Keyring>> FileKeyringStore::Commit(
    const Keyring& next, uint64_t expected_generation) {
  MutexLock lock(&mu_);
  if (access_ != Access::kExclusive) {
    return absl::FailedPreconditionError("the keyring is open for reading only");
  }
  FileSystem& fs = *options_.fs;
  KEKD_ASSIGN_OR_RETURN(const std::shared_ptr<const Keyring> current, LoadLocked());
  if (current->generation() != expected_generation) {
    return absl::AbortedError(absl::StrCat("the keyring changed meanwhile: it is of generation ",
                                           current->generation(), ", not ", expected_generation,
                                           "; look at it again and repeat"));
  }
  if (!(next.identity() == current->identity())) {
    return absl::FailedPreconditionError("a keyring can't be replaced by another ring");
  }
  const Uuid& uuid = current->identity().ring_uuid;
  const std::string high_water_path = HighWaterPath(options_.state_directory, uuid);
  KEKD_ASSIGN_OR_RETURN(const HighWater high_water,
                        ReadHighWater(fs, high_water_path, uuid, *ring_key_));
  const uint64_t generation = std::max(high_water.highest, expected_generation) + 1;
  auto committed = std::make_shared<const Keyring>(next.WithGeneration(generation));
  KEKD_ASSIGN_OR_RETURN(const std::string bytes, EncodeRecord(*committed, *ring_key_));
  KEKD_ASSIGN_OR_RETURN(const DurableFileOptions file_options, FileOptions(options_));

  KEKD_RETURN_IF_ERROR(KeepGeneration(expected_generation));
  KEKD_RETURN_IF_ERROR(ReplaceFileDurably(fs, RecordPath(options_), AsBytes(bytes), file_options));
  KEKD_RETURN_IF_ERROR(WriteHighWater(fs, high_water_path, uuid, *ring_key_,
                                      {generation, generation}, file_options));
  PruneGenerations(generation);
  return committed;
}

absl::Status FileKeyringStore::KeepGeneration(uint64_t generation) const {
  FileSystem& fs = *options_.fs;
  const std::string kept = GenerationPath(options_, generation);
  absl::Status linked = fs.Link(RecordPath(options_), kept);
  if (!absl::IsAlreadyExists(linked)) return linked;
  // Of a commit that was cut off before its rename, or of before a rollback.
  KEKD_RETURN_IF_ERROR(fs.Remove(kept));
  return fs.Link(RecordPath(options_), kept);
}

void FileKeyringStore::PruneGenerations(uint64_t newest) const {
  const absl::StatusOr<std::vector<uint64_t>> kept = KeptGenerations(options_);
  if (!kept.ok()) return;  // the commit itself is done; the next one prunes
  for (size_t i = 0; i + kKeptGenerations < kept->size(); ++i) {
    const std::string path = GenerationPath(options_, (*kept)[i]);
    const absl::Status removed = options_.fs->Remove(path);
    if (!removed.ok()) {
      LogWarning("can't remove an old generation of the keyring",
                 {{"path", path}, {"newest", newest}, {"error", removed.message()}});
    }
  }
}

}  // namespace kekd
