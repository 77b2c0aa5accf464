#include "kms/ctl/new_ring_files.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <optional>

#include "absl/strings/str_cat.h"
#include "base/posix_error.h"
#include "base/random_source.h"
#include "base/status_macros.h"
#include "keystore/key_file.h"

namespace kekd {
namespace {

absl::Status ExpectFolderOf(FileSystem& fs, const std::string& path) {
  const std::string folder = DirectoryOf(path);
  absl::Status found = fs.GetInfo(folder).status();
  if (!absl::IsNotFound(found)) return found;
  return absl::FailedPreconditionError(
      absl::StrCat("the folder ", folder, " of ", path, " does not exist; make it first"));
}

// Folders that are missing are made, and then belong to this process. Root at work for kekd's user
// would so make a state folder that kekd can't use.
absl::Status ExpectStateFolderOfSameOwner(FileSystem& fs, const std::string& state_directory,
                                          const std::string& directory) {
  absl::Status found = fs.GetInfo(state_directory).status();
  if (!absl::IsNotFound(found)) return found;
  const absl::StatusOr<FileInfo> ring = fs.GetInfo(directory);
  if (absl::IsNotFound(ring.status())) return absl::OkStatus();
  KEKD_RETURN_IF_ERROR(ring.status());
  if (ring->owner == geteuid()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("the state folder ", state_directory, " does not exist; make it first, for uid ",
                   ring->owner, ", to whom ", directory, " belongs"));
}

}  // namespace

absl::StatusOr<UniqueFd> LockConfiguration(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return PosixError(errno, absl::StrCat("open ", path));
  if (flock(fd.get(), LOCK_EX | LOCK_NB) == 0) return fd;
  if (errno == EWOULDBLOCK) {
    return absl::UnavailableError("another kekctl makes or restores a keyring; try again later");
  }
  return PosixError(errno, absl::StrCat("flock ", path));
}

absl::Status ExpectFoldersForRing(FileSystem& fs, const Config& config,
                                  const KeyringConfig& keyring) {
  KEKD_RETURN_IF_ERROR(ExpectFolderOf(fs, keyring.directory));
  KEKD_RETURN_IF_ERROR(ExpectFolderOf(fs, config.state_directory));
  return ExpectStateFolderOfSameOwner(fs, config.state_directory, keyring.directory);
}

NewKeyFiles::~NewKeyFiles() {
  for (const std::string& path : paths_) {
    fs_.Remove(path).IgnoreError();
    fs_.SyncDirectory(DirectoryOf(path)).IgnoreError();
  }
}

absl::Status NewKeyFiles::MakeMissing(const KeyringConfig& keyring) {
  std::optional<uid_t> owner;
  std::optional<gid_t> group;
  const absl::StatusOr<FileInfo> folder = fs_.GetInfo(keyring.directory);
  if (!folder.ok() && !absl::IsNotFound(folder.status())) return folder.status();
  if (folder.ok() && geteuid() == 0) {
    owner = folder->owner;
    group = folder->group;
  }
  for (const UnlockConfig& unlock : keyring.unlock) {
    if (unlock.kind != UnlockConfig::Kind::kKeyFile) continue;
    KEKD_RETURN_IF_ERROR(ExpectFolderOf(fs_, unlock.value));
    // Nothing is written, not even a temporary file, beside a key file that is there.
    absl::Status found = fs_.GetInfo(unlock.value).status();
    if (found.ok()) continue;
    if (!absl::IsNotFound(found)) return found;
    const absl::Status made =
        CreateKeyFile(fs_, unlock.value, owner, group, RandomSource::System());
    if (absl::IsAlreadyExists(made)) continue;
    KEKD_RETURN_IF_ERROR(made);
    paths_.push_back(unlock.value);
  }
  return absl::OkStatus();
}

}  // namespace kekd
