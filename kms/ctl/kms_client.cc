#include "kms/ctl/kms_client.h"

#include <grpcpp/client_context.h>

#include <memory>
#include <utility>

#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "kms/v2/api.grpc.pb.h"

namespace kekd {
namespace {

using v2::KeyManagementService;

template <typename Request, typename Response>
absl::StatusOr<Response> Call(const UnixChannel& channel,
                              grpc::Status (KeyManagementService::Stub::*method)(
                                  grpc::ClientContext*, const Request&, Response*),
                              const Request& request) {
  const std::unique_ptr<KeyManagementService::Stub> stub =
      KeyManagementService::NewStub(channel.channel());
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + KmsClient::kCallTime));
  Response response;
  KEKD_RETURN_IF_ERROR(channel.StatusOf((stub.get()->*method)(&context, request, &response)));
  return response;
}

}  // namespace

absl::StatusOr<KmsClient> KmsClient::Connect(const SocketConfig& socket) {
  KEKD_ASSIGN_OR_RETURN(UnixChannel channel, UnixChannel::Connect(socket));
  return KmsClient(std::move(channel));
}

absl::StatusOr<v2::StatusResponse> KmsClient::Status() const {
  return Call(channel_, &KeyManagementService::Stub::Status, v2::StatusRequest());
}

absl::StatusOr<v2::EncryptResponse> KmsClient::Encrypt(const v2::EncryptRequest& request) const {
  return Call(channel_, &KeyManagementService::Stub::Encrypt, request);
}

absl::StatusOr<v2::DecryptResponse> KmsClient::Decrypt(const v2::DecryptRequest& request) const {
  return Call(channel_, &KeyManagementService::Stub::Decrypt, request);
}

}  // namespace kekd
