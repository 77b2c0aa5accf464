// KMS v2's messages, answered.
#ifndef KEKD_KMS_SERVER_KMS_CALLS_H_
#define KEKD_KMS_SERVER_KMS_CALLS_H_

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "kms/service/envelope_service.h"

namespace v2 {
class StatusResponse;
class EncryptRequest;
class EncryptResponse;
class DecryptRequest;
class DecryptResponse;
}  // namespace v2

namespace kekd {

// What stands between a message and EnvelopeService, without gRPC. A response is meant only if the
// call is OK. The plaintext of a request is wiped.
absl::Status AnswerStatus(const EnvelopeService& service, ::v2::StatusResponse& response);
absl::Status AnswerEncrypt(const EnvelopeService& service, ::v2::EncryptRequest& request,
                           absl::Time deadline, ::v2::EncryptResponse& response);
absl::Status AnswerDecrypt(const EnvelopeService& service, const ::v2::DecryptRequest& request,
                           absl::Time deadline, ::v2::DecryptResponse& response);
// For a response that has been sent.
void WipePlaintext(::v2::DecryptResponse& response);

}  // namespace kekd

#endif  // KEKD_KMS_SERVER_KMS_CALLS_H_
