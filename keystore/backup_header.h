// The public part of a backup file.
#ifndef KEKD_KEYSTORE_BACKUP_HEADER_H_
#define KEKD_KEYSTORE_BACKUP_HEADER_H_

#include <cstdint>
#include <string>
#include <variant>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/bytes.h"
#include "base/uuid.h"
#include "keystore/key_id.h"
#include "keystore/passphrase_kdf.h"

namespace kekd {

// How many of the shares that were made open a backup.
struct ShareNumbers {
  uint32_t threshold = 0;
  uint32_t total = 0;

  friend bool operator==(const ShareNumbers& a, const ShareNumbers& b) {
    return a.threshold == b.threshold && a.total == b.total;
  }
};

// What a backup says of itself in clear. Nobody has vouched for it before the backup was opened.
struct BackupHeader {
  Uuid backup_id;  // random
  RingIdentity ring;
  uint64_t generation = 0;
  uint32_t highest_version = 0;  // the highest key version number
  uint32_t record_format = 0;    // of the keyring record in it
  absl::Time creation_time;      // kept to the millisecond
  std::string kekd_version;      // that made it, for people
  std::variant<KdfParameters, ShareNumbers> protection;

  bool HasShares() const { return std::holds_alternative<ShareNumbers>(protection); }
};

// "a passphrase", "any 3 of 5 shares".
std::string DescribeProtection(const BackupHeader& header);

// Backup file, format 1 (docs/formats.md): magic "kekdback", format (u16), size of the header
// (u32), size of the payload (u32), header (proto/kekd/backup/v1), payload, SHA-256 over all before
// it. Integers are big-endian. The payload is sealed with all before it as associated data; the
// SHA-256 is there to tell a damaged file from a wrong passphrase, and to notice damage without
// one.
inline constexpr uint16_t kBackupFormat = 1;
// The largest record, and 64 KiB for what is around it.
inline constexpr size_t kMaxBackupBytes = (size_t{8} << 20) + (size_t{64} << 10);

// A backup file that is whole, and was not opened yet. The views are into the bytes it was parsed
// from.
struct SealedBackup {
  BackupHeader header;
  ByteView authenticated;  // what the payload is bound to
  ByteView payload;
};

// DataLoss if the bytes are no backup, or a damaged or cut off one; Unimplemented, naming both
// formats, if a newer kekd wrote them. Bounded in what it takes, whatever the bytes are.
absl::StatusOr<SealedBackup> ParseBackup(ByteView bytes);

// The bytes before a payload of this size. InvalidArgument if the header breaks a rule that a
// reader insists on.
absl::StatusOr<std::string> EncodeBackupHead(const BackupHeader& header, size_t payload_size);
// Adds the SHA-256.
absl::Status FinishBackup(std::string& bytes);

}  // namespace kekd

#endif  // KEKD_KEYSTORE_BACKUP_HEADER_H_
