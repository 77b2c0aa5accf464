// How kekctl opens a backup file.
#ifndef KEKD_KMS_CTL_BACKUP_OPENER_H_
#define KEKD_KMS_CTL_BACKUP_OPENER_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/file_system.h"
#include "keystore/backup.h"
#include "kms/ctl/verbs.h"

namespace kekd {

// Reads share files, in either form. Nobody else may be able to read them.
absl::StatusOr<std::vector<BackupShare>> ReadShares(FileSystem& fs,
                                                    const std::vector<std::string>& paths);

// The bytes of a backup file; its errors name the path.
absl::StatusOr<std::string> ReadBackupFile(FileSystem& fs, const std::string& path);

// Opens the backup at `path` (keystore/backup.h has the errors; they name the path).
absl::StatusOr<OpenedBackup> OpenBackupFile(FileSystem& fs, const std::string& path,
                                            const BackupOpening& opening);

}  // namespace kekd

#endif  // KEKD_KMS_CTL_BACKUP_OPENER_H_
