// One of the shares that open a backup.
#ifndef KEKD_KEYSTORE_BACKUP_SHARE_H_
#define KEKD_KEYSTORE_BACKUP_SHARE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "base/bytes.h"
#include "base/secret_bytes.h"
#include "base/uuid.h"
#include "keystore/shamir.h"

namespace kekd {

// Share, format 1 (docs/formats.md), 48 bytes: format, threshold, total, index (1 byte each), first
// 8 bytes of the backup's id, 32 bytes of the share, first 4 bytes of SHA-256 over
// "kekd/backup-share-check/1" and all before. It is written as a line of a file or as 24 words.
struct BackupShare {
  static constexpr size_t kIdBytes = 8;
  static constexpr size_t kSecretBytes = 32;

  uint32_t threshold = 0;
  uint32_t total = 0;
  std::string id;      // the first kIdBytes bytes of the backup's id
  ShamirShare secret;  // of kSecretBytes bytes
  std::string source;  // where it was read, for errors ("share file /mnt/a"); not stored
};

// A line for people, with its end, that begins with '#': which share it is, and of which backup.
std::string ShareHeader(const BackupShare& share, absl::string_view keyring, absl::Time made);
// The content of a share's file: that line, then "kekd-share-1" and
// 96 hexadecimal digits.
absl::StatusOr<SecretBytes> ShareFileContent(const BackupShare& share, absl::string_view keyring,
                                             absl::Time made);
// The share as numbered lines of words (share_words.h).
absl::StatusOr<SecretBytes> ShareWords(const BackupShare& share);

// Reads either form; lines that begin with '#' are skipped. InvalidArgument if it is not a share's
// text (of words: which one is none); DataLoss if its check digits don't fit, with the place if one
// wrong letter or two exchanged words would explain that; Unimplemented if a newer kekd made it.
absl::StatusOr<BackupShare> ParseShare(ByteView text, absl::string_view source);

// The secret that was shared when the backup `id` was made, from the first `threshold` of the
// shares, or of those but the one at `left_out`. InvalidArgument, naming the source, if a share is
// of another backup or there twice, and if there are less than `threshold`.
absl::StatusOr<SecretBytes> CombineBackupShares(absl::Span<const BackupShare> shares,
                                                const Uuid& id, uint32_t threshold, uint32_t total,
                                                std::optional<size_t> left_out = std::nullopt);

// Whether each share behind the first `threshold`, of which `secret` was combined, would have given
// the same in the place of one of these. DataLoss that names the source of one that would not.
absl::Status CheckSurplusShares(absl::Span<const BackupShare> shares, uint32_t threshold,
                                const SecretBytes& secret);
// What is said of a share that does not fit the others.
absl::Status DoesNotFit(const BackupShare& share);

}  // namespace kekd

#endif  // KEKD_KEYSTORE_BACKUP_SHARE_H_
