// What is known here of the backups of a keyring.
#ifndef KEKD_KEYSTORE_BACKUP_LOG_H_
#define KEKD_KEYSTORE_BACKUP_LOG_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/durable_file.h"
#include "base/file_system.h"
#include "base/uuid.h"
#include "keystore/backup_header.h"
#include "keystore/keyring.h"
#include "keystore/ring_key.h"

namespace kekd {

// A backup that was made or verified here.
struct BackupLogEntry {
  Uuid backup_id;
  absl::Time creation_time;
  uint64_t generation = 0;
  uint32_t highest_version = 0;        // it holds the key versions up to this one
  std::string keys;                    // KeysDigest of these
  uint32_t ring_key_number = 0;        // of the ring key in it
  std::optional<ShareNumbers> shares;  // none: a passphrase opens it
  std::string path;                    // as it was given then, for people
  // When it was opened and every key in it was proven last; InfinitePast if never.
  absl::Time verification_time = absl::InfinitePast();

  bool IsVerified() const { return verification_time != absl::InfinitePast(); }
};

// Names the first `count` key versions of a keyring by their key_ids. A number alone would not do:
// after an older backup was restored, a number that a lost version had is given again.
absl::StatusOr<std::string> KeysDigest(const Keyring& keyring, size_t count);

// The entry of a backup of `keyring`, not verified yet.
absl::StatusOr<BackupLogEntry> EntryOf(const BackupHeader& header, const Keyring& keyring,
                                       absl::string_view path);

// The log is a file in the state folder, "<ring UUID>.backups" (docs/formats.md), authenticated
// under the ring key so that nobody else can make an operator believe that there is a backup. It is
// state: without it kekd does all it did, and says that no verified backup is known.
inline constexpr size_t kMaxBackupLogEntries = 64;
inline constexpr size_t kMaxBackupPathBytes = 4096;

std::string BackupLogPath(absl::string_view state_directory, const Uuid& ring_uuid);

// Oldest first. NotFound if there is none; DataLoss if it is damaged, of another ring or made under
// another ring key; Unimplemented if a newer kekd wrote it.
absl::StatusOr<std::vector<BackupLogEntry>> ReadBackupLog(FileSystem& fs, absl::string_view path,
                                                          const Uuid& ring_uuid,
                                                          const RingKey& ring_key);
// `entries` are kMaxBackupLogEntries at most.
absl::Status WriteBackupLog(FileSystem& fs, absl::string_view path, const Uuid& ring_uuid,
                            const RingKey& ring_key, const std::vector<BackupLogEntry>& entries,
                            const DurableFileOptions& options);

// Adds a backup, or brings its entry up to date if it is there already: the later verification and
// the path count. Where there are too many, one goes that a later verified one makes superfluous,
// the oldest
// first; if there is none, the oldest that was never verified.
void AddBackup(std::vector<BackupLogEntry>& entries, BackupLogEntry entry);

struct BackupCoverage {
  // The verified backup that holds most: of the highest generation. Null if there is none.
  const BackupLogEntry* newest = nullptr;
  std::vector<uint32_t> missing;  // versions that may decrypt and are in no verified backup
};
// Counts the verified backups only, and of these the ones whose key versions the keyring has.
BackupCoverage CoverageOf(const Keyring& keyring, const std::vector<BackupLogEntry>& entries);

// What an operator should do about the backups of this keyring, one sentence each: a log that can't
// be read, no verified backup, key versions that may decrypt and are in none.
std::vector<std::string> BackupWarnings(const Keyring& keyring,
                                        const absl::StatusOr<std::vector<BackupLogEntry>>& entries);

}  // namespace kekd

#endif  // KEKD_KEYSTORE_BACKUP_LOG_H_
