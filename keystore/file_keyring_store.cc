#include "keystore/file_keyring_store.h"

#include <unistd.h>

#include <algorithm>
#include <limits>
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
constexpr absl::string_view kTemporarySuffix = ".tmp";  // of durable_file.h

using Options = FileKeyringStore::Options;

std::string RecordPath(const Options& options) { return JoinPath(options.directory, kRecordName); }

std::string GenerationPath(const Options& options, uint64_t generation) {
  return JoinPath(options.directory, absl::StrCat(kGenerationPrefix, generation));
}

// Nobody but root and the ring's user may be able to put another file in place.
absl::Status CheckFolder(const std::string& path, absl::string_view what, const FileInfo& info,
                         std::optional<uid_t> other_owner) {
  if (info.type != FileType::kDirectory) {
    return absl::InvalidArgumentError(absl::StrCat(path, " is not a folder"));
  }
  if ((info.mode & 022) != 0) {
    return absl::PermissionDeniedError(absl::StrFormat(
        "the %s folder %s has mode %04o: others than its owner can write to it; run 'chmod "
        "0700 %s'",
        what, path, info.mode, path));
  }
  if (info.owner != 0 && info.owner != geteuid() && info.owner != other_owner) {
    return absl::PermissionDeniedError(absl::StrFormat(
        "the %s folder %s belongs to uid %u, neither to root nor to the keyring's user (uid %u); "
        "run 'chown' on it, or this as the user that it belongs to",
        what, path, info.owner, other_owner.value_or(geteuid())));
  }
  return absl::OkStatus();
}

absl::Status CheckFolders(const Options& options) {
  KEKD_ASSIGN_OR_RETURN(const FileInfo ring, options.fs->GetInfo(options.directory));
  // Root works for the user that the ring's folder belongs to, whoever that is.
  std::optional<uid_t> worked_for;
  if (geteuid() == 0) worked_for = ring.owner;
  KEKD_RETURN_IF_ERROR(CheckFolder(options.directory, "keyring", ring, worked_for));
  const absl::StatusOr<FileInfo> state = options.fs->GetInfo(options.state_directory);
  // The high-water file that then is missing too has an error of its own, with what to do.
  if (absl::IsNotFound(state.status())) return absl::OkStatus();
  KEKD_RETURN_IF_ERROR(state.status());
  return CheckFolder(options.state_directory, "state", *state, worked_for);
}

// Files that root makes belong to whom the ring's folder belongs. Anybody else's are his own: he
// could not give them away, not even to the folder's group unless he is in it.
absl::StatusOr<DurableFileOptions> FileOptions(const Options& options) {
  DurableFileOptions file_options{.mode = 0600};
  if (geteuid() != 0) return file_options;
  KEKD_ASSIGN_OR_RETURN(const FileInfo info, options.fs->GetInfo(options.directory));
  file_options.owner = info.owner;
  file_options.group = info.group;
  return file_options;
}

absl::StatusOr<std::unique_ptr<FileLock>> LockFolder(const Options& options) {
  absl::StatusOr<std::unique_ptr<FileLock>> lock =
      options.fs->Lock(JoinPath(options.directory, kLockName), 0600);
  if (absl::IsUnavailable(lock.status())) {
    return absl::UnavailableError(absl::StrCat(
        "the keyring in ", options.directory,
        " is in use by another process (kekd, or another kekctl); only one may write to it: "
        "stop that one first"));
  }
  KEKD_RETURN_IF_ERROR(lock.status());
  // The lock file too belongs to the folder's owner, or the daemon could not take it after root's
  // tool has made it.
  KEKD_ASSIGN_OR_RETURN(const DurableFileOptions file_options, FileOptions(options));
  if (file_options.owner.has_value()) {
    KEKD_RETURN_IF_ERROR(
        (*lock)->SetOwnerAndMode(*file_options.owner, *file_options.group, file_options.mode));
  }
  return lock;
}

struct OpenedRecord {
  Keyring keyring;
  std::shared_ptr<const RingKey> ring_key;
};

// Reads and authenticates one record. With `ring_key`, under that; else under what the wrappers
// open. `generation`, if not null, is also set for a record that has the right form only.
absl::StatusOr<OpenedRecord> ReadRecord(const Options& options, const std::string& path,
                                        std::shared_ptr<const RingKey> ring_key,
                                        std::optional<uint64_t>* generation = nullptr) {
  KEKD_ASSIGN_OR_RETURN(std::string bytes, options.fs->ReadFile(path, kMaxRecordBytes));
  KEKD_ASSIGN_OR_RETURN(const UnverifiedRecord record, UnverifiedRecord::Parse(std::move(bytes)));
  if (generation != nullptr) *generation = record.generation();
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
                   ". If there was one, bring it back from a copy: a new one can't read what the "
                   "old one encrypted. 'kekctl keyring init' makes the first one"));
}

// Before anything is locked: where there is no ring, no lock file is left behind.
absl::Status CheckThereIsOne(const Options& options) {
  const absl::Status found = options.fs->GetInfo(RecordPath(options)).status();
  if (absl::IsNotFound(found)) return NoKeyring(options);
  KEKD_RETURN_IF_ERROR(found);
  return CheckFolders(options);
}

// Reads the current record; its errors tell what to do.
absl::StatusOr<OpenedRecord> ReadCurrent(const Options& options,
                                         std::shared_ptr<const RingKey> ring_key,
                                         std::optional<uint64_t>* generation = nullptr) {
  const std::string path = RecordPath(options);
  absl::StatusOr<OpenedRecord> record = ReadRecord(options, path, std::move(ring_key), generation);
  if (record.ok()) return record;
  if (absl::IsNotFound(options.fs->GetInfo(path).status())) return NoKeyring(options);
  if (absl::IsDataLoss(record.status())) {
    return absl::DataLossError(absl::StrCat(
        path, ": ", record.status().message(),
        ". Nothing was changed. 'kekctl keyring verify' says which copies of it are good"));
  }
  return WithContext(record.status(), path);
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

// The newest kept generation, if it is above this one.
std::optional<std::string> NewerCopy(const Options& options, uint64_t generation) {
  const absl::StatusOr<std::vector<uint64_t>> kept = KeptGenerations(options);
  if (!kept.ok() || kept->empty() || kept->back() <= generation) return std::nullopt;
  return GenerationPath(options, kept->back());
}

// The highest generation that anything here tells of: what `known` is, and the kept generations. A
// lost high-water file does not know of these, and their numbers must not come back.
absl::StatusOr<uint64_t> HighestGeneration(const Options& options, uint64_t known) {
  KEKD_ASSIGN_OR_RETURN(const std::vector<uint64_t> kept, KeptGenerations(options));
  if (!kept.empty()) known = std::max(known, kept.back());
  if (known == std::numeric_limits<uint64_t>::max()) {
    return absl::FailedPreconditionError(
        absl::StrCat("no generation can follow ", known, "; if ", GenerationPath(options, known),
                     " is there, look what it is and move it away"));
  }
  return known;
}

// Removes what a write that was cut off has left of `path`. Under the ring's lock only.
absl::Status RemoveTemporary(FileSystem& fs, absl::string_view path) {
  absl::Status removed = fs.Remove(absl::StrCat(path, kTemporarySuffix));
  if (absl::IsNotFound(removed)) return absl::OkStatus();
  return removed;
}

// Writes the newest record a second time, under its number, as a file of its own: a bad sector in
// one of the two must not lose what was acknowledged. The commit itself is done by then.
void WriteCopy(const Options& options, uint64_t generation, absl::string_view bytes,
               const DurableFileOptions& file_options) {
  const std::string path = GenerationPath(options, generation);
  absl::Status written = RemoveTemporary(*options.fs, path);
  if (written.ok()) written = CreateFileDurably(*options.fs, path, AsBytes(bytes), file_options);
  if (!written.ok()) {
    LogWarning("can't write the second copy of the keyring's newest generation",
               {{"path", path}, {"error", written.message()}});
  }
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
    const std::optional<std::string> newer = NewerCopy(options, keyring.generation());
    return absl::DataLossError(absl::StrCat(
        "the high-water file ", path, " is missing, so it can't be told whether the keyring in ",
        options.directory, " (generation ", keyring.generation(), ") is the newest. ",
        newer.has_value()
            ? absl::StrCat("It seems not to be: ", *newer, " is a later one, to be put back. ")
            : "",
        cure));
  }
  if (!high_water.ok()) return high_water.status();
  if (keyring.generation() < high_water->accepted) {
    const std::optional<std::string> newer = NewerCopy(options, keyring.generation());
    return absl::DataLossError(absl::StrCat(
        "the keyring in ", options.directory, " was rolled back: it is of generation ",
        keyring.generation(), ", but generation ", high_water->highest,
        " was committed here. Put the newest back (",
        newer.has_value() ? absl::StrCat(*newer, ", or") : "from", " a backup). ", cure));
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
  const std::string high_water = HighWaterPath(options.state_directory, identity.ring_uuid);
  KEKD_RETURN_IF_ERROR(RemoveTemporary(fs, record));
  absl::Status made =
      WriteHighWater(fs, high_water, identity.ring_uuid, *ring_key, HighWater{}, file_options);
  if (made.ok()) made = CreateFileDurably(fs, record, AsBytes(bytes), file_options);
  if (!made.ok()) {
    // Where there surely is no ring its high-water file is of no use to anybody.
    if (absl::IsNotFound(fs.GetInfo(record).status())) (void)fs.Remove(high_water);
    return made;
  }
  WriteCopy(options, 1, bytes, file_options);
  std::unique_ptr<FileKeyringStore> store(
      new FileKeyringStore(std::move(options), Access::kExclusive, std::move(lock),
                           identity.ring_uuid, std::move(ring_key)));
  KEKD_RETURN_IF_ERROR(store->Load().status());
  return store;
}

absl::StatusOr<std::shared_ptr<const Keyring>> FileKeyringStore::AcceptRollback(
    const Options& options, uint64_t generation) {
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
  KEKD_ASSIGN_OR_RETURN(
      const uint64_t highest,
      HighestGeneration(options, before.ok() ? std::max(before->highest, generation) : generation));
  KEKD_RETURN_IF_ERROR(WriteHighWater(*options.fs, path, uuid, *record.ring_key,
                                      {highest, generation}, file_options));
  return std::make_shared<const Keyring>(record.keyring);
}

absl::StatusOr<std::vector<FileKeyringStore::CopyReport>> FileKeyringStore::Verify(
    const Options& options) {
  KEKD_ASSIGN_OR_RETURN(std::vector<uint64_t> kept, KeptGenerations(options));
  std::vector<CopyReport> reports;
  CopyReport& current = reports.emplace_back();
  current.path = RecordPath(options);
  const absl::StatusOr<OpenedRecord> record = ReadCurrent(options, nullptr, &current.generation);
  current.status = record.status();
  if (record.ok()) {
    current.status = CheckFolders(options);
    if (current.status.ok()) {
      const absl::StatusOr<CheckedRecord> checked =
          ReadChecked(options, record->keyring.identity().ring_uuid, record->ring_key);
      current.status = checked.status();
      if (checked.ok()) current.generation = checked->keyring.generation();
    }
  }
  // The ring key is opened once, unless a copy was written under another than the first.
  std::shared_ptr<const RingKey> ring_key;
  if (record.ok()) ring_key = record->ring_key;
  std::reverse(kept.begin(), kept.end());
  for (const uint64_t generation : kept) {
    CopyReport& report = reports.emplace_back();
    report.path = GenerationPath(options, generation);
    absl::StatusOr<OpenedRecord> copy =
        ReadRecord(options, report.path, ring_key, &report.generation);
    if (!copy.ok() && ring_key != nullptr && report.generation.has_value()) {
      copy = ReadRecord(options, report.path, nullptr, &report.generation);
    }
    report.status = copy.status();
    if (!copy.ok()) continue;
    if (ring_key == nullptr) ring_key = copy->ring_key;
    if (*report.generation != generation) {
      report.status = absl::DataLossError(absl::StrCat(
          report.path, " holds generation ", *report.generation, ": the file was exchanged"));
    }
  }
  return reports;
}

absl::StatusOr<std::shared_ptr<const Keyring>> FileKeyringStore::Load() {
  MutexLock lock(&mu_);
  return LoadLocked(/*insist_on_mark=*/false);
}

absl::StatusOr<std::shared_ptr<const Keyring>> FileKeyringStore::LoadLocked(bool insist_on_mark) {
  FileSystem& fs = *options_.fs;
  KEKD_RETURN_IF_ERROR(CheckFolders(options_));
  const std::string path = HighWaterPath(options_.state_directory, ring_uuid_);
  KEKD_ASSIGN_OR_RETURN(const CheckedRecord checked, ReadChecked(options_, ring_uuid_, ring_key_));
  const auto& [keyring, high_water] = checked;
  const uint64_t generation = keyring.generation();
  if (access_ == Access::kExclusive && high_water.highest < generation) {
    // A commit was cut off after its rename. Only what is known to be durable is served, and raises
    // the mark. A mark that stays too low is no reason not to serve (the state disk may be full, or
    // read-only after an error): it only lets more rollbacks pass.
    KEKD_RETURN_IF_ERROR(fs.SyncDirectory(options_.directory));
    KEKD_ASSIGN_OR_RETURN(const DurableFileOptions file_options, FileOptions(options_));
    const absl::Status raised =
        WriteHighWater(fs, path, ring_uuid_, *ring_key_, {generation, generation}, file_options);
    if (!raised.ok()) {
      if (insist_on_mark) return raised;
      if (!mark_warned_) {
        LogWarning("can't raise the high-water file; the keyring is served, but can't be changed",
                   {{"path", path}, {"generation", generation}, {"error", raised.message()}});
      }
    }
    mark_warned_ = !raised.ok();
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
  // Before it writes anything: or each try on a state disk that is full would leave a generation.
  KEKD_ASSIGN_OR_RETURN(const std::shared_ptr<const Keyring> current,
                        LoadLocked(/*insist_on_mark=*/true));
  if (current->generation() != expected_generation) {
    return absl::AbortedError(absl::StrCat("the keyring changed meanwhile: it is of generation ",
                                           current->generation(), ", not ", expected_generation,
                                           "; look at it again and repeat"));
  }
  KEKD_RETURN_IF_ERROR(next.CheckSucceeds(*current));
  const Uuid& uuid = current->identity().ring_uuid;
  const std::string high_water_path = HighWaterPath(options_.state_directory, uuid);
  KEKD_ASSIGN_OR_RETURN(const HighWater high_water,
                        ReadHighWater(fs, high_water_path, uuid, *ring_key_));
  KEKD_ASSIGN_OR_RETURN(
      const uint64_t highest,
      HighestGeneration(options_, std::max(high_water.highest, expected_generation)));
  const uint64_t generation = highest + 1;
  auto committed = std::make_shared<const Keyring>(next.WithGeneration(generation));
  KEKD_ASSIGN_OR_RETURN(const std::string bytes, EncodeRecord(*committed, *ring_key_));
  KEKD_ASSIGN_OR_RETURN(const DurableFileOptions file_options, FileOptions(options_));

  KEKD_RETURN_IF_ERROR(KeepGeneration(expected_generation));
  KEKD_RETURN_IF_ERROR(ReplaceFileDurably(fs, RecordPath(options_), AsBytes(bytes), file_options));
  KEKD_RETURN_IF_ERROR(WriteHighWater(fs, high_water_path, uuid, *ring_key_,
                                      {generation, generation}, file_options));
  WriteCopy(options_, generation, bytes, file_options);
  PruneGenerations(generation);
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
  return absl::FailedPreconditionError(absl::StrCat(
      kept, " should be a copy of the current keyring, but ",
      copy.ok() ? "it has another content" : copy.status().message(),
      ". Nothing was changed; look what it is, move it to another folder and try again"));
}

void FileKeyringStore::PruneGenerations(uint64_t newest) const {
  absl::StatusOr<std::vector<uint64_t>> kept = KeptGenerations(options_);
  if (!kept.ok()) return;  // the commit itself is done; the next one prunes
  kept->erase(std::remove(kept->begin(), kept->end(), newest), kept->end());
  for (size_t i = 0; i + kKeptGenerations < kept->size(); ++i) {
    const std::string path = GenerationPath(options_, (*kept)[i]);
    absl::Status removed = options_.fs->Remove(path);
    if (removed.ok()) removed = RemoveTemporary(*options_.fs, path);
    if (!removed.ok()) {
      LogWarning("can't remove an old generation of the keyring",
                 {{"path", path}, {"newest", newest}, {"error", removed.message()}});
    }
  }
}

}  // namespace kekd
