#include "kms/server/kms_server.h"

#include <memory>

#include "base/status_macros.h"
#include "kms/server/async_server.h"
#include "kms/server/kms_calls.h"
#include "kms/server/secret_message.h"
#include "kms/v2/api.grpc.pb.h"

namespace kekd {
namespace {

// Encrypt and Decrypt in gRPC's own buffers, because there are secrets in them to be wiped.
using Generated = ::v2::KeyManagementService::WithAsyncMethod_Status<
    ::v2::KeyManagementService::WithRawMethod_Encrypt<
        ::v2::KeyManagementService::WithRawMethod_Decrypt<::v2::KeyManagementService::Service>>>;

class KmsService final : public AsyncService<Generated> {
 public:
  explicit KmsService(const EnvelopeService& service) : service_(service) {
    AddMethod(&Generated::RequestStatus, this, &KmsService::Status);
    AddMethod(&Generated::RequestEncrypt, this, &KmsService::Encrypt, &WipeMessage);
    AddMethod(&Generated::RequestDecrypt, this, &KmsService::Decrypt);
  }

 private:
  absl::Status Status(const CallContext& /*call*/, ::v2::StatusRequest& /*request*/,
                      ::v2::StatusResponse& response) const {
    return AnswerStatus(service_, response);
  }

  absl::Status Encrypt(const CallContext& call, grpc::ByteBuffer& received,
                       grpc::ByteBuffer& answer) const {
    ::v2::EncryptRequest request;
    KEKD_RETURN_IF_ERROR(TakeMessage(received, request));
    ::v2::EncryptResponse response;
    KEKD_RETURN_IF_ERROR(
        AnswerEncrypt(service_, request, call.Deadline(kMaxKmsCallTime), response));
    answer = PutMessage(response);
    return absl::OkStatus();
  }

  absl::Status Decrypt(const CallContext& call, grpc::ByteBuffer& received,
                       grpc::ByteBuffer& answer) const {
    ::v2::DecryptRequest request;
    KEKD_RETURN_IF_ERROR(TakeMessage(received, request));
    ::v2::DecryptResponse response;
    KEKD_RETURN_IF_ERROR(
        AnswerDecrypt(service_, request, call.Deadline(kMaxKmsCallTime), response));
    answer = PutMessage(response);
    WipePlaintext(response);
    return absl::OkStatus();
  }

  const EnvelopeService& service_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<AsyncServer>> StartKmsServer(const EnvelopeService& service) {
  return AsyncServer::Start(std::make_unique<KmsService>(service),
                            {.thread_name = "kekd-kms", .max_receive_bytes = kMaxKmsReceiveBytes});
}

}  // namespace kekd
