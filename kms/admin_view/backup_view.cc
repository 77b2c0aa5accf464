#include "kms/admin_view/backup_view.h"

#include <string>

#include "base/status_macros.h"
#include "keystore/digest.h"
#include "keystore/shamir.h"

namespace kekd {

admin::v1::Backup BackupToView(const BackupLogEntry& entry) {
  admin::v1::Backup view;
  view.set_id(std::string(AsText(entry.backup_id.bytes())));
  view.set_created_ms(absl::ToUnixMillis(entry.creation_time));
  view.set_generation(entry.generation);
  view.set_highest_version(entry.highest_version);
  view.set_keys(entry.keys);
  view.set_ring_key_number(entry.ring_key_number);
  if (entry.shares.has_value()) {
    view.set_share_threshold(entry.shares->threshold);
    view.set_share_total(entry.shares->total);
  }
  view.set_path(entry.path);
  if (entry.IsVerified()) view.set_verified_ms(absl::ToUnixMillis(entry.verification_time));
  return view;
}

absl::StatusOr<BackupLogEntry> BackupFromView(const admin::v1::Backup& view) {
  BackupLogEntry entry;
  KEKD_ASSIGN_OR_RETURN(entry.backup_id, Uuid::FromBytes(AsBytes(view.id())));
  entry.creation_time = absl::FromUnixMillis(view.created_ms());
  entry.generation = view.generation();
  entry.highest_version = view.highest_version();
  entry.keys = view.keys();
  entry.ring_key_number = view.ring_key_number();
  entry.path = view.path();
  if (entry.keys.size() != sizeof(Sha256Digest) || entry.path.size() > kMaxBackupPathBytes) {
    return absl::InvalidArgumentError("a backup's path is too long, or its keys are not named");
  }
  if (view.share_threshold() != 0 || view.share_total() != 0) {
    KEKD_RETURN_IF_ERROR(CheckShareNumbers(view.share_threshold(), view.share_total()));
    entry.shares = ShareNumbers{view.share_threshold(), view.share_total()};
  }
  if (view.verified_ms() != 0) entry.verification_time = absl::FromUnixMillis(view.verified_ms());
  return entry;
}

}  // namespace kekd
