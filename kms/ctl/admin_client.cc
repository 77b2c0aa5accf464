#include "kms/ctl/admin_client.h"

#include <grpcpp/client_context.h>
#include <unistd.h>

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/file_system.h"
#include "base/status_macros.h"
#include "kekd/admin/v1/admin.grpc.pb.h"

namespace kekd {
namespace {

using admin::v1::Admin;

// One call of the admin service.
template <typename Request, typename Response>
absl::StatusOr<Response> Call(const UnixChannel& channel,
                              grpc::Status (Admin::Stub::*method)(grpc::ClientContext*,
                                                                  const Request&, Response*),
                              const Request& request, absl::Time deadline) {
  const std::unique_ptr<Admin::Stub> stub = Admin::NewStub(channel.channel());
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(deadline));
  Response response;
  KEKD_RETURN_IF_ERROR(channel.StatusOf((stub.get()->*method)(&context, request, &response)));
  return response;
}

// What kekctl asks for and is told must not come from somebody who took kekd's place while it was
// down: kekd's user is the one that its state folder belongs to. For who may not look into that,
// it is the owner of the socket's file.
absl::Status CheckServer(FileSystem& fs, const Config& config, const PeerCredentials& server) {
  if (server.uid == 0 || server.uid == geteuid()) return absl::OkStatus();
  absl::StatusOr<FileInfo> known = fs.GetInfo(config.state_directory);
  if (!known.ok()) known = fs.GetInfo(config.admin_socket.path);
  if (known.ok() && known->owner == server.uid) return absl::OkStatus();
  return absl::PermissionDeniedError(
      absl::StrCat("the admin socket ", config.admin_socket.path, " is served by ",
                   server.ToString(), ", who is neither root nor the user that ",
                   config.state_directory, " belongs to; nothing was asked"));
}

}  // namespace

absl::StatusOr<AdminClient> AdminClient::Connect(const Config& config) {
  KEKD_ASSIGN_OR_RETURN(UnixChannel channel, UnixChannel::Connect(config.admin_socket));
  KEKD_RETURN_IF_ERROR(CheckServer(FileSystem::System(), config, channel.server()));
  return AdminClient(std::move(channel));
}

absl::StatusOr<admin::v1::GetStatusResponse> AdminClient::GetStatus(absl::Time deadline) const {
  return Call(channel_, &Admin::Stub::GetStatus, admin::v1::GetStatusRequest(), deadline);
}

absl::StatusOr<admin::v1::Keyring> AdminClient::GetKeyring(absl::string_view name,
                                                           absl::Time deadline) const {
  admin::v1::GetKeyringRequest request;
  request.set_keyring(std::string(name));
  return Call(channel_, &Admin::Stub::GetKeyring, request, deadline);
}

absl::StatusOr<admin::v1::ApplyResponse> AdminClient::Apply(const admin::v1::ApplyRequest& request,
                                                            absl::Time deadline) const {
  return Call(channel_, &Admin::Stub::Apply, request, deadline);
}

absl::StatusOr<std::string> AdminClient::ProveNode(const admin::v1::ProveNodeRequest& request,
                                                   absl::Time deadline) const {
  KEKD_ASSIGN_OR_RETURN(const admin::v1::ProveNodeResponse response,
                        Call(channel_, &Admin::Stub::ProveNode, request, deadline));
  return response.proof();
}

absl::Status AdminClient::RecordBackup(const admin::v1::RecordBackupRequest& request,
                                       absl::Time deadline) const {
  return Call(channel_, &Admin::Stub::RecordBackup, request, deadline).status();
}

}  // namespace kekd
