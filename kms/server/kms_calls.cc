#include "kms/server/kms_calls.h"

#include <string>
#include <utility>

#include "base/bytes.h"
#include "base/secret_bytes.h"
#include "base/status_macros.h"
#include "kms/v2/api.pb.h"

namespace kekd {
namespace {

// Moves a secret out of a message into locked memory and wipes the message's own copy.
SecretBytes TakeSecret(std::string& field) {
  SecretBytes secret = SecretBytes::CopyOf(AsBytes(field));
  Wipe(field.data(), field.size());
  field.clear();
  return secret;
}

}  // namespace

absl::Status AnswerStatus(const EnvelopeService& service, ::v2::StatusResponse& response) {
  KEKD_ASSIGN_OR_RETURN(EnvelopeService::StatusAnswer answer, service.Status());
  response.set_version(EnvelopeService::kVersion.data(), EnvelopeService::kVersion.size());
  response.set_healthz(std::move(answer.healthz));
  response.set_key_id(std::move(answer.key_id));
  return absl::OkStatus();
}

std::optional<absl::Status> AnswerEncrypt(const EnvelopeService& service,
                                          ::v2::EncryptRequest& request, absl::Time deadline,
                                          ::v2::EncryptResponse& response,
                                          BlockingCalls* blocking) {
  SecretBytes plaintext = TakeSecret(*request.mutable_plaintext());
  absl::StatusOr<EnvelopeService::BegunCall> call = service.BeginEncrypt(plaintext, request.uid());
  if (!call.ok()) return call.status();
  if (blocking != nullptr && call->MayBlock()) {
    blocking->Encrypt(*std::move(call), std::move(plaintext), request.uid());
    return std::nullopt;
  }
  absl::StatusOr<EnvelopeService::Encrypted> encrypted =
      service.FinishEncrypt(*call, plaintext, request.uid(), deadline);
  if (encrypted.ok()) {
    FillResponse(*encrypted, response);
  } else {
    service.FailCall();
  }
  return encrypted.status();
}

std::optional<absl::Status> AnswerDecrypt(const EnvelopeService& service,
                                          const ::v2::DecryptRequest& request, absl::Time deadline,
                                          ::v2::DecryptResponse& response,
                                          BlockingCalls* blocking) {
  absl::StatusOr<EnvelopeService::BegunCall> call =
      service.BeginDecrypt({.ciphertext = request.ciphertext(),
                            .key_id = request.key_id(),
                            .uid = request.uid(),
                            .annotations = static_cast<size_t>(request.annotations_size())});
  if (!call.ok()) return call.status();
  if (blocking != nullptr && call->MayBlock()) {
    blocking->Decrypt(*std::move(call), request.ciphertext(), request.key_id(), request.uid());
    return std::nullopt;
  }
  const absl::StatusOr<SecretBytes> plaintext =
      service.FinishDecrypt(*call, request.ciphertext(), request.uid(), deadline);
  if (plaintext.ok()) {
    FillResponse(*plaintext, response);
  } else {
    service.FailCall();
  }
  return plaintext.status();
}

void FillResponse(const EnvelopeService::Encrypted& encrypted, ::v2::EncryptResponse& response) {
  response.set_ciphertext(encrypted.ciphertext);
  response.set_key_id(encrypted.key_id);
}

void FillResponse(const SecretBytes& plaintext, ::v2::DecryptResponse& response) {
  const ByteView raw = plaintext.Reveal(SecretAccessToken());
  response.set_plaintext(raw.data(), raw.size());
}

void WipePlaintext(::v2::DecryptResponse& response) {
  std::string* plaintext = response.mutable_plaintext();
  Wipe(plaintext->data(), plaintext->size());
}

}  // namespace kekd
