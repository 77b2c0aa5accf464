// Key files: a secret in a file that opens a ring key.
#ifndef KEKD_KEYSTORE_KEY_FILE_H_
#define KEKD_KEYSTORE_KEY_FILE_H_

#include <sys/types.h>

#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/file_system.h"
#include "base/random_source.h"
#include "base/secret_bytes.h"

namespace kekd {

// A key file is one line: "kekd-key-file-1", 64 hexadecimal digits (32 random bytes) and 8 digits
// that tell a typing error from a wrong key, with a blank between (docs/formats.md).

// Makes a new one with mode 0600. AlreadyExists if there is a file: a key file is never replaced.
absl::Status CreateKeyFile(FileSystem& fs, absl::string_view path, std::optional<uid_t> owner,
                           std::optional<gid_t> group, const RandomSource& random);

// The line of a new one, with its line end, for a place that is no file of ours.
absl::StatusOr<SecretBytes> NewKeyFileLine(const RandomSource& random);

// The 32 bytes of a key file's content, with or without its line end. DataLoss, naming `what`, if
// it is none or a damaged one.
absl::StatusOr<SecretBytes> ParseKeyFile(const SecretBytes& content, absl::string_view what);

}  // namespace kekd

#endif  // KEKD_KEYSTORE_KEY_FILE_H_
