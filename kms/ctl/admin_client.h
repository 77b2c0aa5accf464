// kekctl's side of kekd's admin socket.
#ifndef KEKD_KMS_CTL_ADMIN_CLIENT_H_
#define KEKD_KMS_CTL_ADMIN_CLIENT_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "kekd/admin/v1/admin.pb.h"
#include "kms/config/config.h"
#include "kms/ctl/unix_channel.h"

namespace kekd {

// AdminClient asks a running kekd (proto/kekd/admin/v1). Errors are kekd's own with their codes;
// Unavailable also if the connection broke, and then a change may or may not have been made.
// Thread-compatible.
class AdminClient final {
 public:
  // NotFound if kekd is not running; other errors if that can't be told. `config` outlives the
  // client.
  static absl::StatusOr<AdminClient> Connect(const Config& config);

  absl::StatusOr<admin::v1::GetStatusResponse> GetStatus(absl::Time deadline) const;
  absl::StatusOr<admin::v1::Keyring> GetKeyring(absl::string_view name, absl::Time deadline) const;
  absl::StatusOr<admin::v1::ApplyResponse> Apply(const admin::v1::ApplyRequest& request,
                                                 absl::Time deadline) const;
  absl::StatusOr<std::string> ProveNode(const admin::v1::ProveNodeRequest& request,
                                        absl::Time deadline) const;
  absl::Status RecordBackup(const admin::v1::RecordBackupRequest& request,
                            absl::Time deadline) const;

 private:
  explicit AdminClient(UnixChannel channel) : channel_(std::move(channel)) {}

  UnixChannel channel_;
};

}  // namespace kekd

#endif  // KEKD_KMS_CTL_ADMIN_CLIENT_H_
