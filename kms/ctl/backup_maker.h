// How kekctl makes backups and writes down what it knows of them.
#ifndef KEKD_KMS_CTL_BACKUP_MAKER_H_
#define KEKD_KMS_CTL_BACKUP_MAKER_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "keystore/backup_log.h"
#include "keystore/keyring_writer.h"
#include "kms/config/config.h"
#include "kms/ctl/backup_report.h"
#include "kms/ctl/commands.h"
#include "kms/ctl/verbs.h"

namespace kekd {

// Whether the files can be written and the shares shown, as far as that can be told before.
absl::Status CheckCanMakeBackup(const CommandContext& context, const BackupMaking& making);

// Makes a backup of the keyring as it is on the disk: writes it and its shares, reads them back,
// opens the backup by every row of shares, proves every key in it, and writes it down. No file is
// ever replaced; after a failure those that it made are gone again.
absl::StatusOr<BackupReport> MakeBackupFile(const CommandContext& context,
                                            const KeyringConfig& keyring,
                                            const BackupMaking& making);

// Writes down that a backup of this keyring was verified now: by kekd if it is running, else under
// the keyring's lock.
absl::Status RecordBackup(const CommandContext& context, const KeyringConfig& keyring,
                          const BackupLogEntry& entry);

// The keyring on the disk, which the configured secrets open: its record, byte for byte.
struct RecordOnDisk {
  std::string bytes;
  std::shared_ptr<const Keyring> keyring;
  std::shared_ptr<const RingKey> ring_key;
};
absl::StatusOr<RecordOnDisk> ReadRecordOnDisk(const CommandContext& context,
                                              const KeyringConfig& keyring);

}  // namespace kekd

#endif  // KEKD_KMS_CTL_BACKUP_MAKER_H_
