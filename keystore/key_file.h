// Key files: a secret in a file that opens a ring key.
#ifndef KEKD_KEYSTORE_KEY_FILE_H_
#define KEKD_KEYSTORE_KEY_FILE_H_

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/file_system.h"
#include "base/random_source.h"
#include "keystore/ring_key_wrapper.h"

namespace kekd {

// A key file is one line: "kekd-key-file-1", 64 hexadecimal digits (32 random bytes) and 8 digits
// that tell a typing error from a wrong key, with a blank between (docs/formats.md).

// Makes a new one with mode 0600. AlreadyExists if there is a file: a key file is never replaced.
absl::Status CreateKeyFile(FileSystem& fs, absl::string_view path, std::optional<uid_t> owner,
                           std::optional<gid_t> group, const RandomSource& random);

// Wraps under a key file. The file must belong to root, to this process's user, or to
// `other_owner` (the keyring folder's, when root's tool works for the daemon's user), and nobody
// else may have any right on it: PermissionDenied otherwise. `fs` and `random` outlive the result.
std::unique_ptr<RingKeyWrapper> CreateKeyFileWrapper(FileSystem& fs, absl::string_view path,
                                                     std::optional<uid_t> other_owner,
                                                     const RandomSource& random);

}  // namespace kekd

#endif  // KEKD_KEYSTORE_KEY_FILE_H_
