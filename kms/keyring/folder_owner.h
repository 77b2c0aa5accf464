// Whom kekctl works for.
#ifndef KEKD_KMS_KEYRING_FOLDER_OWNER_H_
#define KEKD_KMS_KEYRING_FOLDER_OWNER_H_

#include <sys/types.h>

#include <optional>
#include <string>

#include "base/file_system.h"

namespace kekd {

// Whom a folder belongs to, if this process is root's: its tool works for the user that kekd runs
// as, and takes that user's files. None otherwise, or if the folder can't be looked at.
std::optional<uid_t> FolderOwner(FileSystem& fs, const std::string& directory);

}  // namespace kekd

#endif  // KEKD_KMS_KEYRING_FOLDER_OWNER_H_
