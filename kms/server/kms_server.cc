#include "kms/server/kms_server.h"

#include <string>
#include <utility>

#include "base/bytes.h"
#include "base/secret_bytes.h"
#include "base/status_macros.h"
#include "kms/server/async_server.h"
#include "kms/server/secret_message.h"
#include "kms/v2/api.grpc.pb.h"

namespace kekd {
namespace {

// Encrypt and Decrypt in gRPC's own buffers, because there are secrets in them to be wiped.
using Generated = ::v2::KeyManagementService::WithAsyncMethod_Status<
    ::v2::KeyManagementService::WithRawMethod_Encrypt<
        ::v2::KeyManagementService::WithRawMethod_Decrypt<::v2::KeyManagementService::Service>>>;

void WipeField(std::string& field) { Wipe(field.data(), field.size()); }

// Moves a secret out of a message into locked memory and wipes the message's own copy.
SecretBytes TakeSecret(std::string& field) {
  SecretBytes secret = SecretBytes::CopyOf(AsBytes(field));
  WipeField(field);
  field.clear();
  return secret;
}

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
    KEKD_ASSIGN_OR_RETURN(EnvelopeService::StatusAnswer answer, service_.Status());
    response.set_version(EnvelopeService::kVersion.data(), EnvelopeService::kVersion.size());
    response.set_healthz(std::move(answer.healthz));
    response.set_key_id(std::move(answer.key_id));
    return absl::OkStatus();
  }

  absl::Status Encrypt(const CallContext& call, grpc::ByteBuffer& received,
                       grpc::ByteBuffer& answer) const {
    ::v2::EncryptRequest request;
    KEKD_RETURN_IF_ERROR(TakeMessage(received, request));
    const SecretBytes plaintext = TakeSecret(*request.mutable_plaintext());
    KEKD_ASSIGN_OR_RETURN(
        EnvelopeService::Encrypted encrypted,
        service_.Encrypt(plaintext, request.uid(), call.Deadline(kMaxKmsCallTime)));
    ::v2::EncryptResponse response;
    response.set_ciphertext(std::move(encrypted.ciphertext));
    response.set_key_id(std::move(encrypted.key_id));
    answer = PutMessage(response);
    return absl::OkStatus();
  }

  absl::Status Decrypt(const CallContext& call, grpc::ByteBuffer& received,
                       grpc::ByteBuffer& answer) const {
    ::v2::DecryptRequest request;
    KEKD_RETURN_IF_ERROR(TakeMessage(received, request));
    KEKD_ASSIGN_OR_RETURN(
        const SecretBytes plaintext,
        service_.Decrypt({.ciphertext = request.ciphertext(),
                          .key_id = request.key_id(),
                          .uid = request.uid(),
                          .annotations = static_cast<size_t>(request.annotations_size())},
                         call.Deadline(kMaxKmsCallTime)));
    const ByteView raw = plaintext.Reveal(SecretAccessToken());
    ::v2::DecryptResponse response;
    response.set_plaintext(raw.data(), raw.size());
    answer = PutMessage(response);
    WipeField(*response.mutable_plaintext());
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
