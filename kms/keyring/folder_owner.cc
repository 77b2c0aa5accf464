#include "kms/keyring/folder_owner.h"

#include <unistd.h>

#include "absl/status/statusor.h"

namespace kekd {

std::optional<uid_t> FolderOwner(FileSystem& fs, const std::string& directory) {
  if (geteuid() != 0) return std::nullopt;
  const absl::StatusOr<FileInfo> info = fs.GetInfo(directory);
  if (!info.ok()) return std::nullopt;
  return info->owner;
}

}  // namespace kekd
