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

absl::Status AnswerEncrypt(const EnvelopeService& service, ::v2::EncryptRequest& request,
                           absl::Time deadline, ::v2::EncryptResponse& response) {
  const SecretBytes plaintext = TakeSecret(*request.mutable_plaintext());
  KEKD_ASSIGN_OR_RETURN(EnvelopeService::Encrypted encrypted,
                        service.Encrypt(plaintext, request.uid(), deadline));
  response.set_ciphertext(std::move(encrypted.ciphertext));
  response.set_key_id(std::move(encrypted.key_id));
  return absl::OkStatus();
}

absl::Status AnswerDecrypt(const EnvelopeService& service, const ::v2::DecryptRequest& request,
                           absl::Time deadline, ::v2::DecryptResponse& response) {
  KEKD_ASSIGN_OR_RETURN(
      const SecretBytes plaintext,
      service.Decrypt({.ciphertext = request.ciphertext(),
                       .key_id = request.key_id(),
                       .uid = request.uid(),
                       .annotations = static_cast<size_t>(request.annotations_size())},
                      deadline));
  const ByteView raw = plaintext.Reveal(SecretAccessToken());
  response.set_plaintext(raw.data(), raw.size());
  return absl::OkStatus();
}

void WipePlaintext(::v2::DecryptResponse& response) {
  std::string* plaintext = response.mutable_plaintext();
  Wipe(plaintext->data(), plaintext->size());
}

}  // namespace kekd
