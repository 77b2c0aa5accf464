#include "kms/admin/admin_server.h"

#include <optional>
#include <string>
#include <utility>

#include "kekd/admin/v1/admin.grpc.pb.h"

namespace kekd {
namespace {

namespace pb = ::kekd::admin::v1;

using Generated = pb::Admin::AsyncService;

AdminCaller CallerOf(const CallContext& call) {
  const std::optional<PeerCredentials> peer = call.Peer();
  return {.who = peer.has_value() ? peer->ToString() : "an unknown process",
          .deadline = call.Deadline(kMaxAdminCallTime)};
}

class AdminService final : public AsyncService<Generated> {
 public:
  explicit AdminService(AdminOptions options) : calls_(std::move(options)) {
    AddMethod(&Generated::RequestGetStatus, this, &AdminService::GetStatus);
    AddMethod(&Generated::RequestGetKeyring, this, &AdminService::GetKeyring);
    AddMethod(&Generated::RequestApply, this, &AdminService::Apply);
    AddMethod(&Generated::RequestRecordBackup, this, &AdminService::RecordBackup);
    AddMethod(&Generated::RequestProveNode, this, &AdminService::ProveNode);
  }

 private:
  absl::Status GetStatus(const CallContext& /*call*/, pb::GetStatusRequest& /*request*/,
                         pb::GetStatusResponse& response) const {
    return calls_.GetStatus(response);
  }
  absl::Status GetKeyring(const CallContext& /*call*/, pb::GetKeyringRequest& request,
                          pb::Keyring& response) const {
    return calls_.GetKeyring(request, response);
  }
  absl::Status Apply(const CallContext& call, pb::ApplyRequest& request,
                     pb::ApplyResponse& response) const {
    return calls_.Apply(CallerOf(call), request, response);
  }
  absl::Status RecordBackup(const CallContext& call, pb::RecordBackupRequest& request,
                            pb::RecordBackupResponse& /*response*/) const {
    return calls_.RecordBackup(CallerOf(call), request);
  }

  absl::Status ProveNode(const CallContext& call, pb::ProveNodeRequest& request,
                         pb::ProveNodeResponse& response) const {
    return calls_.ProveNode(CallerOf(call), request, response);
  }

  const AdminCalls calls_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<AsyncServer>> StartAdminServer(AdminOptions options) {
  return AsyncServer::Start(
      std::make_unique<AdminService>(std::move(options)),
      {.thread_name = "kekd-admin", .max_receive_bytes = kMaxAdminReceiveBytes});
}

}  // namespace kekd
