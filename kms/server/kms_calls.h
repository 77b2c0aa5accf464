// KMS v2's messages, answered.
#ifndef KEKD_KMS_SERVER_KMS_CALLS_H_
#define KEKD_KMS_SERVER_KMS_CALLS_H_

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/secret_bytes.h"
#include "kms/service/envelope_service.h"

namespace v2 {
class StatusResponse;
class EncryptRequest;
class EncryptResponse;
class DecryptRequest;
class DecryptResponse;
}  // namespace v2

namespace kekd {

// Takes over calls whose key may block, where they must not wait. Each is to be answered with what
// EnvelopeService::Finish… gives for it.
class BlockingCalls {
 public:
  virtual ~BlockingCalls() = default;
  virtual void Encrypt(EnvelopeService::BegunCall call, SecretBytes plaintext,
                       const std::string& uid) = 0;
  virtual void Decrypt(EnvelopeService::BegunCall call, const std::string& ciphertext,
                       const std::string& key_id, const std::string& uid) = 0;
};

// What stands between a message and EnvelopeService, without gRPC. A response is meant only if the
// call is OK. The plaintext of a request is wiped. Nothing is returned for a call that `blocking`
// has taken over; with null for it every call waits here.
absl::Status AnswerStatus(const EnvelopeService& service, ::v2::StatusResponse& response);
std::optional<absl::Status> AnswerEncrypt(const EnvelopeService& service,
                                          ::v2::EncryptRequest& request, absl::Time deadline,
                                          ::v2::EncryptResponse& response, BlockingCalls* blocking);
std::optional<absl::Status> AnswerDecrypt(const EnvelopeService& service,
                                          const ::v2::DecryptRequest& request, absl::Time deadline,
                                          ::v2::DecryptResponse& response, BlockingCalls* blocking);
void FillResponse(const EnvelopeService::Encrypted& encrypted, ::v2::EncryptResponse& response);
void FillResponse(const SecretBytes& plaintext, ::v2::DecryptResponse& response);
// For a response that has been sent.
void WipePlaintext(::v2::DecryptResponse& response);

}  // namespace kekd

#endif  // KEKD_KMS_SERVER_KMS_CALLS_H_
