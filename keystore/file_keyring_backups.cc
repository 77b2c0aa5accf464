// The list of backups that FileKeyringStore keeps beside the high-water file.
#include <memory>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/status_macros.h"
#include "keystore/file_keyring_store.h"
#include "keystore/ring_folder.h"

namespace kekd {

absl::StatusOr<std::vector<BackupLogEntry>> FileKeyringStore::Backups() {
  MutexLock lock(&mu_);
  return BackupsLocked();
}

absl::StatusOr<std::vector<BackupLogEntry>> FileKeyringStore::BackupsLocked() {
  const std::string path = BackupLogPath(options_.state_directory, ring_uuid_);
  const std::shared_ptr<const RingKey> ring_key = ring_key_->Get();
  absl::StatusOr<std::vector<BackupLogEntry>> entries =
      ReadBackupLog(*options_.fs, path, ring_uuid_, *ring_key);
  if (!absl::IsDataLoss(entries.status())) return entries;
  // A change of the ring key may have been cut off before it came to this file.
  const absl::StatusOr<std::shared_ptr<const Keyring>> current =
      LoadLocked(/*insist_on_mark=*/false);
  if (!current.ok() || (*current)->former_ring_key().empty()) return entries;
  const absl::StatusOr<std::shared_ptr<const RingKey>> former =
      ring_key->UnwrapFormer((*current)->former_ring_key());
  if (!former.ok()) return entries;
  absl::StatusOr<std::vector<BackupLogEntry>> before =
      ReadBackupLog(*options_.fs, path, ring_uuid_, **former);
  return before.ok() ? std::move(before) : std::move(entries);
}

absl::Status FileKeyringStore::RecordBackup(const BackupLogEntry& entry) {
  MutexLock lock(&mu_);
  if (access_ != Access::kExclusive) {
    return absl::FailedPreconditionError("the keyring is open for reading only");
  }
  const std::string path = BackupLogPath(options_.state_directory, ring_uuid_);
  absl::StatusOr<std::vector<BackupLogEntry>> entries = BackupsLocked();
  if (absl::IsDataLoss(entries.status())) {
    LogWarning("the list of backups is begun anew",
               {{"path", path}, {"error", entries.status().message()}});
    entries = std::vector<BackupLogEntry>();
  }
  if (absl::IsNotFound(entries.status())) entries = std::vector<BackupLogEntry>();
  KEKD_RETURN_IF_ERROR(entries.status());
  AddBackup(*entries, entry);
  KEKD_ASSIGN_OR_RETURN(const DurableFileOptions file_options, ring_folder::FileOptions(options_));
  return WriteBackupLog(*options_.fs, path, ring_uuid_, *ring_key_->Get(), *entries, file_options);
}

void FileKeyringStore::CarryBackupsOver(const absl::StatusOr<std::vector<BackupLogEntry>>& entries,
                                        const RingKey& ring_key,
                                        const DurableFileOptions& file_options) const {
  const std::string path = BackupLogPath(options_.state_directory, ring_uuid_);
  if (absl::IsNotFound(entries.status())) return;
  absl::Status carried = entries.status();
  if (carried.ok()) {
    carried = WriteBackupLog(*options_.fs, path, ring_uuid_, ring_key, *entries, file_options);
  }
  if (!carried.ok()) {
    LogWarning("can't take the list of backups over to the new ring key",
               {{"path", path}, {"error", carried.message()}});
  }
}

}  // namespace kekd
