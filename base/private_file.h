// Files that hold a secret.
#ifndef KEKD_BASE_PRIVATE_FILE_H_
#define KEKD_BASE_PRIVATE_FILE_H_

#include <sys/types.h>

#include <optional>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/file_system.h"
#include "base/secret_bytes.h"

namespace kekd {

// Reads a file that belongs to root, to this process's user or to `other_owner`, and on which
// nobody else has any right: PermissionDenied otherwise, as somebody could have read or exchanged
// it. Other errors as FileSystem::ReadSecretFile. `what` names it in errors: "key file". `info`, if
// not null, is of the file that was read.
absl::StatusOr<SecretBytes> ReadPrivateFile(FileSystem& fs, absl::string_view what,
                                            absl::string_view path, size_t max_size,
                                            std::optional<uid_t> other_owner,
                                            FileInfo* info = nullptr);

}  // namespace kekd

#endif  // KEKD_BASE_PRIVATE_FILE_H_
