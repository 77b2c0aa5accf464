#include "keystore/ring_folder.h"

#include <openssl/crypto.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "base/log.h"
#include "base/process.h"
#include "base/status_macros.h"
#include "keystore/backup_log.h"
#include "keystore/digest.h"

namespace kekd::ring_folder {
namespace {

constexpr absl::string_view kRecordName = "keyring";
constexpr absl::string_view kGenerationPrefix = "keyring.";
constexpr absl::string_view kLockName = "keyring.lock";
constexpr absl::string_view kTemporarySuffix = ".tmp";  // of durable_file.h

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

// The number of a kept generation, if that is the file's name. Only the spelling that we write:
// "keyring.007" is nobody's generation.
std::optional<uint64_t> GenerationOf(absl::string_view name) {
  uint64_t generation = 0;
  if (absl::ConsumePrefix(&name, kGenerationPrefix) && absl::SimpleAtoi(name, &generation) &&
      absl::StrCat(generation) == name) {
    return generation;
  }
  return std::nullopt;
}

absl::Status NoKeyring(const Options& options) {
  return absl::NotFoundError(
      absl::StrCat("there is no keyring in ", options.directory,
                   ". If there was one, bring it back: a copy of it, or a backup with 'kekctl "
                   "keyring restore'; a new one can't read what the old one encrypted. 'kekctl "
                   "keyring init' makes the first one"));
}

// The newest kept generation, if it is above this one.
std::optional<std::string> NewerCopy(const Options& options, uint64_t generation) {
  const absl::StatusOr<std::vector<uint64_t>> kept = KeptGenerations(options);
  if (!kept.ok() || kept->empty() || kept->back() <= generation) return std::nullopt;
  return GenerationPath(options, kept->back());
}

// A record that is authentic but for its format number was altered; no newer kekd wrote it.
absl::Status DamagedOrNewer(const Options& options, const std::string& bytes,
                            std::shared_ptr<const RingKey> ring_key, const absl::Status& newer) {
  for (uint16_t format = 1; format <= Keyring::kFormat; ++format) {
    const absl::StatusOr<UnverifiedRecord> record = UnverifiedRecord::ParseAs(bytes, format);
    if (!record.ok()) continue;
    if (ring_key == nullptr) {
      absl::StatusOr<OpenedRingKey> opened = OpenRingKey(record->ring_key_wraps(), options.wrappers,
                                                         record->identity(), *options.random);
      if (!opened.ok()) continue;
      ring_key = std::move(opened->ring_key);
    }
    if (record->Verify(*ring_key).ok()) {
      return absl::DataLossError(
          "the keyring record is damaged: its format number was altered, by somebody without the "
          "ring key or by a failing disk");
    }
  }
  return newer;
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
  if (absl::IsDataLoss(high_water.status())) {
    return absl::DataLossError(absl::StrCat(high_water.status().message(), ". ", cure));
  }
  if (!high_water.ok()) return high_water.status();
  if (keyring.generation() < high_water->accepted) {
    const std::optional<std::string> newer = NewerCopy(options, keyring.generation());
    return absl::DataLossError(
        absl::StrCat("the keyring in ", options.directory, " was rolled back: it is of generation ",
                     keyring.generation(), ", but generation ", high_water->highest,
                     " was committed here. Put the newest back (",
                     newer.has_value() ? absl::StrCat(*newer, ", or") : "from",
                     " a backup: 'kekctl keyring restore', with this folder moved away). ", cure));
  }
  return absl::OkStatus();
}

}  // namespace

std::string RecordPath(const Options& options) { return JoinPath(options.directory, kRecordName); }

std::string GenerationPath(const Options& options, uint64_t generation) {
  return JoinPath(options.directory, absl::StrCat(kGenerationPrefix, generation));
}

absl::Status MakeFolders(const Options& options) {
  for (const std::string& folder : {options.directory, options.state_directory}) {
    absl::Status made = options.fs->CreateDirectory(folder, 0700);
    if (!made.ok() && !absl::IsAlreadyExists(made)) return made;
    KEKD_RETURN_IF_ERROR(options.fs->SyncDirectory(DirectoryOf(folder)));
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
    return absl::UnavailableError(
        absl::StrCat("the keyring in ", options.directory,
                     " is in use by another process: ", lock.status().message(),
                     "; only one may write to it: stop that one (kekd, or another kekctl) first"));
  }
  KEKD_RETURN_IF_ERROR(lock.status());
  // The lock file too belongs to the folder's owner, or the daemon could not take it after root's
  // tool has made it.
  KEKD_ASSIGN_OR_RETURN(const DurableFileOptions file_options, FileOptions(options));
  if (file_options.owner.has_value()) {
    KEKD_RETURN_IF_ERROR(
        (*lock)->SetOwnerAndMode(*file_options.owner, *file_options.group, file_options.mode));
  }
  // For the text above only, so a disk that is full is no reason not to go on.
  (void)(*lock)->SetHolder(DescribeProcess());
  return lock;
}

absl::StatusOr<OpenedRecord> ReadRecord(const Options& options, const std::string& path,
                                        std::shared_ptr<const RingKey> ring_key,
                                        std::optional<uint64_t>* generation) {
  KEKD_ASSIGN_OR_RETURN(const std::string bytes, options.fs->ReadFile(path, kMaxRecordBytes));
  absl::StatusOr<UnverifiedRecord> parsed = UnverifiedRecord::Parse(bytes);
  if (absl::IsUnimplemented(parsed.status())) {
    return DamagedOrNewer(options, bytes, ring_key, parsed.status());
  }
  KEKD_RETURN_IF_ERROR(parsed.status());
  const UnverifiedRecord& record = *parsed;
  if (generation != nullptr) *generation = record.generation();
  std::string opener;
  if (ring_key == nullptr) {
    KEKD_ASSIGN_OR_RETURN(
        OpenedRingKey opened,
        OpenRingKey(record.ring_key_wraps(), options.wrappers, record.identity(), *options.random));
    ring_key = std::move(opened.ring_key);
    opener = std::move(opened.opener);
  }
  KEKD_ASSIGN_OR_RETURN(Keyring keyring, record.Verify(*ring_key));
  return OpenedRecord{std::move(keyring), std::move(ring_key), std::move(opener)};
}

absl::Status CheckNewer(const Options& options, const std::string& path, const RingKey& ring_key) {
  KEKD_ASSIGN_OR_RETURN(const std::string bytes, options.fs->ReadFile(path, kMaxRecordBytes));
  constexpr size_t kMacBytes = sizeof(Sha256Digest);
  if (bytes.size() > kMacBytes) {
    const ByteView all = AsBytes(bytes);
    const ByteView authenticated = all.first(all.size() - kMacBytes);
    KEKD_ASSIGN_OR_RETURN(const Sha256Digest mac, ring_key.RecordMac(authenticated));
    if (CRYPTO_memcmp(mac.data(), authenticated.end(), kMacBytes) == 0) return absl::OkStatus();
  }
  return absl::DataLossError(absl::StrCat(
      path,
      ": the keyring record is damaged: it looks as if a newer kekd had written it, but its "
      "HMAC does not fit"));
}

absl::Status CheckThereIsOne(const Options& options) {
  const absl::Status found = options.fs->GetInfo(RecordPath(options)).status();
  if (absl::IsNotFound(found)) return NoKeyring(options);
  KEKD_RETURN_IF_ERROR(found);
  return CheckFolders(options);
}

absl::StatusOr<OpenedRecord> ReadCurrent(const Options& options,
                                         std::shared_ptr<const RingKey> ring_key,
                                         std::optional<uint64_t>* generation) {
  const std::string path = RecordPath(options);
  absl::StatusOr<OpenedRecord> record = ReadRecord(options, path, std::move(ring_key), generation);
  if (record.ok()) return record;
  if (absl::IsNotFound(options.fs->GetInfo(path).status())) return NoKeyring(options);
  if (absl::IsUnimplemented(record.status())) {
    return absl::UnimplementedError(
        absl::StrCat(path, ": ", record.status().message(),
                     ". Nothing was changed. If no newer kekd wrote it, it is damaged: 'kekctl "
                     "keyring verify' tells"));
  }
  if (absl::IsDataLoss(record.status())) {
    return absl::DataLossError(absl::StrCat(
        path, ": ", record.status().message(),
        ". Nothing was changed. 'kekctl keyring verify' says which copies of it are good"));
  }
  return WithContext(record.status(), path);
}

absl::StatusOr<std::vector<uint64_t>> KeptGenerations(const Options& options) {
  KEKD_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                        options.fs->ListDirectory(options.directory));
  std::vector<uint64_t> generations;
  for (const std::string& name : names) {
    const std::optional<uint64_t> generation = GenerationOf(name);
    if (generation.has_value()) generations.push_back(*generation);
  }
  std::sort(generations.begin(), generations.end());
  return generations;
}

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

absl::Status RemoveTemporary(FileSystem& fs, absl::string_view path) {
  absl::Status removed = fs.Remove(absl::StrCat(path, kTemporarySuffix));
  if (absl::IsNotFound(removed)) return absl::OkStatus();
  return removed;
}

void RemoveTemporaries(const Options& options, const Uuid& ring_uuid) {
  const auto remove = [&](absl::string_view path) {
    const absl::Status removed = RemoveTemporary(*options.fs, path);
    if (removed.ok()) return;
    LogWarning("can't remove what a write that was cut off has left",
               {{"path", absl::StrCat(path, kTemporarySuffix)}, {"error", removed.message()}});
  };
  remove(BackupLogPath(options.state_directory, ring_uuid));
  const absl::StatusOr<std::vector<std::string>> names =
      options.fs->ListDirectory(options.directory);
  if (!names.ok()) return;
  for (absl::string_view name : *names) {
    if (absl::ConsumeSuffix(&name, kTemporarySuffix) &&
        (name == kRecordName || GenerationOf(name).has_value())) {
      remove(JoinPath(options.directory, name));
    }
  }
}

bool WriteCopy(const Options& options, uint64_t generation, absl::string_view bytes,
               const DurableFileOptions& file_options) {
  const std::string path = GenerationPath(options, generation);
  absl::Status written = RemoveTemporary(*options.fs, path);
  if (written.ok()) written = CreateFileDurably(*options.fs, path, AsBytes(bytes), file_options);
  if (!written.ok()) {
    LogWarning("can't write the second copy of the keyring's newest generation",
               {{"path", path}, {"error", written.message()}});
  }
  return written.ok();
}

absl::StatusOr<CheckedRecord> ReadChecked(const Options& options, const Uuid& ring_uuid,
                                          const std::shared_ptr<const RingKey>& ring_key) {
  const std::string path = HighWaterPath(options.state_directory, ring_uuid);
  const auto read_mark = [&](const RingKey& key) {
    return ReadHighWater(*options.fs, path, ring_uuid, key);
  };
  absl::StatusOr<HighWater> high_water = read_mark(*ring_key);
  KEKD_ASSIGN_OR_RETURN(OpenedRecord record, ReadCurrent(options, ring_key));
  const std::string& former = record.keyring.former_ring_key();
  if (absl::IsDataLoss(high_water.status()) && !former.empty()) {
    const absl::StatusOr<std::shared_ptr<const RingKey>> former_key =
        ring_key->UnwrapFormer(former);
    if (former_key.ok()) {
      absl::StatusOr<HighWater> before = read_mark(**former_key);
      // Or the change of the ring key was being carried out between the two looks.
      high_water = before.ok() ? std::move(before) : read_mark(*ring_key);
    }
  }
  KEKD_RETURN_IF_ERROR(CheckHighWater(options, record.keyring, high_water));
  return CheckedRecord{std::move(record.keyring), *high_water};
}

}  // namespace kekd::ring_folder
