// The admin service's messages, answered.
#ifndef KEKD_KMS_ADMIN_ADMIN_CALLS_H_
#define KEKD_KMS_ADMIN_ADMIN_CALLS_H_

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "keystore/keyring_writer.h"
#include "kms/service/envelope_service.h"
#include "kms/service/keyring_health.h"

namespace kekd::admin::v1 {
class ApplyRequest;
class ApplyResponse;
class GetKeyringRequest;
class GetStatusResponse;
class Keyring;
class ProveNodeRequest;
class ProveNodeResponse;
class RecordBackupRequest;
}  // namespace kekd::admin::v1

namespace kekd {

// One keyring as the admin service sees it. All outlive the server.
struct AdministeredKeyring {
  std::string name;
  std::string endpoint;  // of its KMS socket
  KeyringWriter* writer = nullptr;
  const EnvelopeService* service = nullptr;
  const KeyringHealth* health = nullptr;
  struct Connections {
    uint64_t open = 0;
    uint64_t refused = 0;
    uint64_t refused_calls = 0;  // for want of time
  };
  std::function<Connections()> connections;
  // What an operator should know of it beside its health. Called on the server's thread.
  std::function<std::vector<std::string>()> warnings;
};

struct AdminOptions {
  std::vector<AdministeredKeyring> keyrings;
  absl::Time start_time;
  // What an operator should know of the daemon itself. Called on the server's thread.
  std::function<std::vector<std::string>()> warnings;
};

// Who asks, and for how long he waits.
struct AdminCaller {
  std::string who;  // "uid 0 (pid 123)"
  absl::Time deadline;
};

// AdminCalls is kekd.admin.v1 without gRPC. A response is meant only if the call is OK.
// Thread-compatible.
class AdminCalls final {
 public:
  explicit AdminCalls(AdminOptions options) : options_(std::move(options)) {}

  absl::Status GetStatus(admin::v1::GetStatusResponse& response) const;
  absl::Status GetKeyring(const admin::v1::GetKeyringRequest& request,
                          admin::v1::Keyring& response) const;
  absl::Status Apply(const AdminCaller& caller, const admin::v1::ApplyRequest& request,
                     admin::v1::ApplyResponse& response) const;
  absl::Status ProveNode(const AdminCaller& caller, const admin::v1::ProveNodeRequest& request,
                         admin::v1::ProveNodeResponse& response) const;
  absl::Status RecordBackup(const AdminCaller& caller,
                            const admin::v1::RecordBackupRequest& request) const;

 private:
  absl::StatusOr<const AdministeredKeyring*> Find(absl::string_view name) const;

  const AdminOptions options_;
};

}  // namespace kekd

#endif  // KEKD_KMS_ADMIN_ADMIN_CALLS_H_
