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

// Root works for whom the ring is: the owner of the first of these folders that is there, or else
// of the one that the ring's folder is to be in. Nothing for anybody else, who makes what is his.
absl::StatusOr<std::optional<FileInfo>> WorksFor(FileSystem& fs, const Config& config,
                                                 const KeyringConfig& keyring) {
  if (geteuid() != 0) return std::nullopt;
  for (const std::string& folder :
       {keyring.directory, config.state_directory, DirectoryOf(keyring.directory)}) {
    const absl::StatusOr<FileInfo> info = fs.GetInfo(folder);
    if (info.ok()) return *info;
    if (!absl::IsNotFound(info.status())) return info.status();
  }
  return std::nullopt;
}

absl::Status MakeFolder(FileSystem& fs, const std::string& path, const FileInfo& owner) {
  const absl::Status made = fs.CreateDirectory(path, 0700);
  if (absl::IsAlreadyExists(made)) return absl::OkStatus();
  KEKD_RETURN_IF_ERROR(made);
  if (lchown(path.c_str(), owner.owner, owner.group) != 0) {
    return PosixError(errno, absl::StrCat("chown ", path));
  }
  return fs.SyncDirectory(DirectoryOf(path));
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
  return absl::OkStatus();
}

absl::Status MakeFoldersForRing(FileSystem& fs, const Config& config,
                                const KeyringConfig& keyring) {
  KEKD_ASSIGN_OR_RETURN(const std::optional<FileInfo> owner, WorksFor(fs, config, keyring));
  if (!owner.has_value()) return absl::OkStatus();
  KEKD_RETURN_IF_ERROR(MakeFolder(fs, keyring.directory, *owner));
  return MakeFolder(fs, config.state_directory, *owner);
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
