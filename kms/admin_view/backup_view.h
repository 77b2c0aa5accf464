// A backup's entry as a message of the admin service.
#ifndef KEKD_KMS_ADMIN_VIEW_BACKUP_VIEW_H_
#define KEKD_KMS_ADMIN_VIEW_BACKUP_VIEW_H_

#include "absl/status/statusor.h"
#include "kekd/admin/v1/admin.pb.h"
#include "keystore/backup_log.h"

namespace kekd {

admin::v1::Backup BackupToView(const BackupLogEntry& entry);
// InvalidArgument for a message that no entry has.
absl::StatusOr<BackupLogEntry> BackupFromView(const admin::v1::Backup& view);

}  // namespace kekd

#endif  // KEKD_KMS_ADMIN_VIEW_BACKUP_VIEW_H_
