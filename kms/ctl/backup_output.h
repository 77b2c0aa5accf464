// What is said of backups, for people.
#ifndef KEKD_KMS_CTL_BACKUP_OUTPUT_H_
#define KEKD_KMS_CTL_BACKUP_OUTPUT_H_

#include <string>

#include "absl/time/time.h"
#include "kekd/admin/v1/admin.pb.h"
#include "kms/ctl/backup_report.h"
#include "kms/ctl/commands.h"

namespace kekd {

// Of a backup that was made, with what to do with it.
std::string BackupText(const BackupReport& report);
// Of a backup that was verified.
std::string VerifiedBackupText(const BackupReport& report);
// Of a backup that was restored.
std::string RestoredText(const RestoreReport& report);

// A note, and the exit code, for a good backup that could not be written down.
void NoteUnrecorded(const BackupReport& report, CommandResult& result);

}  // namespace kekd

#endif  // KEKD_KMS_CTL_BACKUP_OUTPUT_H_
