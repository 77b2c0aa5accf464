#include "kms/server/kms_server.h"

#include <string>
#include <utility>

#include "base/bytes.h"
#include "base/secret_bytes.h"
#include "base/status_macros.h"
#include "kms/server/async_server.h"
#include "kms/v2/api.grpc.pb.h"

namespace kekd {
namespace {

using Generated = ::v2::KeyManagementService::AsyncService;

// Moves a secret out of a message into locked memory and wipes the message's own copy. What gRPC's
// buffers keep of it is out of our reach (docs/threat-model.md).
SecretBytes TakeSecret(std::string& field) {
  SecretBytes secret = SecretBytes::CopyOf(AsBytes(field));
  Wipe(field.data(), field.size());
  field.clear();
  return secret;
}

void WipePlaintext(::v2::DecryptResponse& response) {
  std::string* plaintext = response.mutable_plaintext();
  Wipe(plaintext->data(), plaintext->size());
}

class KmsService final : public AsyncService<Generated> {
 public:
  explicit KmsService(const EnvelopeService& service) : service_(service) {
    AddMethod(&Generated::RequestStatus, this, &KmsService::Status);
    AddMethod(&Generated::RequestEncrypt, this, &KmsService::Encrypt);
    AddMethod(&Generated::RequestDecrypt, this, &KmsService::Decrypt, &WipePlaintext);
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

  absl::Status Encrypt(const CallContext& call, ::v2::EncryptRequest& request,
                       ::v2::EncryptResponse& response) const {
    const SecretBytes plaintext = TakeSecret(*request.mutable_plaintext());
    KEKD_ASSIGN_OR_RETURN(
        EnvelopeService::Encrypted encrypted,
        service_.Encrypt(plaintext, request.uid(), call.Deadline(kMaxKmsCallTime)));
    response.set_ciphertext(std::move(encrypted.ciphertext));
    response.set_key_id(std::move(encrypted.key_id));
    return absl::OkStatus();
  }

  absl::Status Decrypt(const CallContext& call, ::v2::DecryptRequest& request,
                       ::v2::DecryptResponse& response) const {
    KEKD_ASSIGN_OR_RETURN(
        const SecretBytes plaintext,
        service_.Decrypt({.ciphertext = request.ciphertext(),
                          .key_id = request.key_id(),
                          .uid = request.uid(),
                          .annotations = static_cast<size_t>(request.annotations_size())},
                         call.Deadline(kMaxKmsCallTime)));
    const ByteView raw = plaintext.Reveal(SecretAccessToken());
    response.set_plaintext(raw.data(), raw.size());
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
