#include "kms/server/kms_server.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/time/clock.h"
#include "base/bytes.h"
#include "base/secret_bytes.h"
#include "base/status_macros.h"
#include "kms/server/async_server.h"
#include "kms/v2/api.grpc.pb.h"

namespace kekd {
namespace {

using AsyncService = ::v2::KeyManagementService::AsyncService;

template <typename Request, typename Response>
using KmsCall = UnaryCall<AsyncService, Request, Response>;

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

absl::Time DeadlineOf(const grpc::ServerContext& context) {
  return std::min(absl::FromChrono(context.deadline()), absl::Now() + KmsServer::kMaxCallTime);
}

}  // namespace

class KmsServer::Impl final {
 public:
  explicit Impl(const EnvelopeService& service)
      : service_(service),
        on_status_([this](const grpc::ServerContext&, ::v2::StatusRequest&,
                          ::v2::StatusResponse& response) { return Status(response); }),
        on_encrypt_([this](const grpc::ServerContext& context, ::v2::EncryptRequest& request,
                           ::v2::EncryptResponse& response) {
          return Encrypt(context, request, response);
        }),
        on_decrypt_([this](const grpc::ServerContext& context, ::v2::DecryptRequest& request,
                           ::v2::DecryptResponse& response) {
          return Decrypt(context, request, response);
        }) {}

  absl::Status Start() {
    KEKD_ASSIGN_OR_RETURN(
        server_, AsyncServer::Start({.service = &async_service_,
                                     .max_receive_bytes = kMaxReceiveBytes,
                                     .expect_calls = [this](grpc::ServerCompletionQueue* queue) {
                                       ExpectCalls(queue);
                                     }}));
    return absl::OkStatus();
  }

  AsyncServer& server() { return *server_; }

 private:
  void ExpectCalls(grpc::ServerCompletionQueue* queue) {
    KmsCall<::v2::StatusRequest, ::v2::StatusResponse>::ExpectNext(
        &async_service_, &AsyncService::RequestStatus, queue, &on_status_, nullptr);
    KmsCall<::v2::EncryptRequest, ::v2::EncryptResponse>::ExpectNext(
        &async_service_, &AsyncService::RequestEncrypt, queue, &on_encrypt_, nullptr);
    KmsCall<::v2::DecryptRequest, ::v2::DecryptResponse>::ExpectNext(
        &async_service_, &AsyncService::RequestDecrypt, queue, &on_decrypt_, &WipePlaintext);
  }

  absl::Status Status(::v2::StatusResponse& response) const {
    KEKD_ASSIGN_OR_RETURN(EnvelopeService::StatusAnswer answer, service_.Status());
    response.set_version(EnvelopeService::kVersion.data(), EnvelopeService::kVersion.size());
    response.set_healthz(std::move(answer.healthz));
    response.set_key_id(std::move(answer.key_id));
    return absl::OkStatus();
  }

  absl::Status Encrypt(const grpc::ServerContext& context, ::v2::EncryptRequest& request,
                       ::v2::EncryptResponse& response) const {
    const SecretBytes plaintext = TakeSecret(*request.mutable_plaintext());
    KEKD_ASSIGN_OR_RETURN(EnvelopeService::Encrypted encrypted,
                          service_.Encrypt(plaintext, request.uid(), DeadlineOf(context)));
    response.set_ciphertext(std::move(encrypted.ciphertext));
    response.set_key_id(std::move(encrypted.key_id));
    return absl::OkStatus();
  }

  absl::Status Decrypt(const grpc::ServerContext& context, const ::v2::DecryptRequest& request,
                       ::v2::DecryptResponse& response) const {
    KEKD_ASSIGN_OR_RETURN(
        const SecretBytes plaintext,
        service_.Decrypt({.ciphertext = request.ciphertext(),
                          .key_id = request.key_id(),
                          .uid = request.uid(),
                          .annotations = static_cast<size_t>(request.annotations_size())},
                         DeadlineOf(context)));
    const ByteView raw = plaintext.Reveal(SecretAccessToken());
    response.set_plaintext(raw.data(), raw.size());
    return absl::OkStatus();
  }

  const EnvelopeService& service_;
  const KmsCall<::v2::StatusRequest, ::v2::StatusResponse>::Handler on_status_;
  const KmsCall<::v2::EncryptRequest, ::v2::EncryptResponse>::Handler on_encrypt_;
  const KmsCall<::v2::DecryptRequest, ::v2::DecryptResponse>::Handler on_decrypt_;
  AsyncService async_service_;
  std::unique_ptr<AsyncServer> server_;  // last: it ends before what it calls
};

absl::StatusOr<std::unique_ptr<KmsServer>> KmsServer::Start(const EnvelopeService& service) {
  auto impl = std::make_unique<Impl>(service);
  KEKD_RETURN_IF_ERROR(impl->Start());
  return std::unique_ptr<KmsServer>(new KmsServer(std::move(impl)));
}

KmsServer::KmsServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
KmsServer::~KmsServer() = default;
void KmsServer::Adopt(UniqueFd connection) { impl_->server().Adopt(std::move(connection)); }
void KmsServer::Shutdown(absl::Time deadline) { impl_->server().Shutdown(deadline); }

}  // namespace kekd
