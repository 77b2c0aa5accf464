#include "kms/server/kms_server.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/secret_bytes.h"
#include "base/status_macros.h"
#include "kms/server/async_server.h"
#include "kms/server/device_calls.h"
#include "kms/server/kms_calls.h"
#include "kms/server/secret_message.h"
#include "kms/v2/api.grpc.pb.h"

namespace kekd {
namespace {

// Encrypt and Decrypt in gRPC's own buffers, because there are secrets in them to be wiped.
using Generated = ::v2::KeyManagementService::WithAsyncMethod_Status<
    ::v2::KeyManagementService::WithRawMethod_Encrypt<
        ::v2::KeyManagementService::WithRawMethod_Decrypt<::v2::KeyManagementService::Service>>>;

// Equal ones are one: the same ciphertext under the same key.
class DeviceDecrypt final : public DeviceWork {
 public:
  DeviceDecrypt(const EnvelopeService& service, EnvelopeService::BegunCall call,
                const std::string& ciphertext, const std::string& uid)
      : service_(service), call_(std::move(call)), ciphertext_(ciphertext), uid_(uid) {}

  absl::Status Run(absl::Time deadline) override {
    absl::StatusOr<SecretBytes> plaintext =
        service_.FinishDecrypt(call_, ciphertext_, uid_, deadline);
    if (plaintext.ok()) plaintext_ = *std::move(plaintext);
    return plaintext.status();
  }
  grpc::ByteBuffer Message() const {
    ::v2::DecryptResponse response;
    FillResponse(plaintext_, response);
    grpc::ByteBuffer message = PutMessage(response);
    WipePlaintext(response);
    return message;
  }

 private:
  const EnvelopeService& service_;
  const EnvelopeService::BegunCall call_;
  const std::string ciphertext_;
  const std::string uid_;  // of the first call
  SecretBytes plaintext_;
};

class DeviceEncrypt final : public DeviceWork {
 public:
  DeviceEncrypt(const EnvelopeService& service, EnvelopeService::BegunCall call,
                SecretBytes plaintext, const std::string& uid)
      : service_(service), call_(std::move(call)), plaintext_(std::move(plaintext)), uid_(uid) {}

  absl::Status Run(absl::Time deadline) override {
    absl::StatusOr<EnvelopeService::Encrypted> encrypted =
        service_.FinishEncrypt(call_, plaintext_, uid_, deadline);
    if (encrypted.ok()) encrypted_ = *std::move(encrypted);
    return encrypted.status();
  }
  grpc::ByteBuffer Message() const {
    ::v2::EncryptResponse response;
    FillResponse(encrypted_, response);
    return PutMessage(response);
  }

 private:
  const EnvelopeService& service_;
  const EnvelopeService::BegunCall call_;
  const SecretBytes plaintext_;
  const std::string uid_;
  EnvelopeService::Encrypted encrypted_;
};

// One call, as long as its handler runs: hands it on to the device's threads if it may block.
class HandOn final : public BlockingCalls {
 public:
  HandOn(const EnvelopeService& service, DeviceCalls& devices, const CallContext& call,
         LateAnswer<grpc::ByteBuffer>& late)
      : service_(service), devices_(devices), call_(call), late_(late) {}

  void Encrypt(EnvelopeService::BegunCall call, SecretBytes plaintext,
               const std::string& uid) override {
    Submit("",
           std::make_shared<DeviceEncrypt>(service_, std::move(call), std::move(plaintext), uid));
  }

  void Decrypt(EnvelopeService::BegunCall call, const std::string& ciphertext,
               const std::string& key_id, const std::string& uid) override {
    // The key_id has been found in the keyring: there is no line feed in it.
    Submit(absl::StrCat(key_id, "\n", ciphertext),
           std::make_shared<DeviceDecrypt>(service_, std::move(call), ciphertext, uid));
  }

 private:
  template <typename Work>
  void Submit(const std::string& flight, const std::shared_ptr<Work>& work) {
    devices_.Submit(
        flight, work, call_.GivesUp(kMaxKmsCallTime),
        [&service = service_, &late = late_](const absl::Status& status, const DeviceWork& done) {
          if (!status.ok()) service.FailCall();
          late.Answer(status,
                      status.ok() ? static_cast<const Work&>(done).Message() : grpc::ByteBuffer());
        });
  }

  const EnvelopeService& service_;
  DeviceCalls& devices_;
  const CallContext& call_;
  LateAnswer<grpc::ByteBuffer>& late_;
};

class KmsService final : public AsyncService<Generated> {
 public:
  KmsService(const EnvelopeService& service, size_t device_calls)
      : service_(service), devices_({.threads = device_calls}) {
    AddMethod(&Generated::RequestStatus, this, &KmsService::Status);
    AddMethod(&Generated::RequestEncrypt, this, &KmsService::Encrypt, &WipeMessage);
    AddMethod(&Generated::RequestDecrypt, this, &KmsService::Decrypt);
  }
  void EndLateAnswers() override { devices_.Stop(); }
  uint64_t refused_calls() const override { return devices_.refused(); }

 private:
  absl::Status Status(const CallContext& /*call*/, ::v2::StatusRequest& /*request*/,
                      ::v2::StatusResponse& response) {
    return AnswerStatus(service_, response);
  }

  std::optional<absl::Status> Encrypt(const CallContext& call, grpc::ByteBuffer& received,
                                      grpc::ByteBuffer& answer,
                                      LateAnswer<grpc::ByteBuffer>& late) {
    ::v2::EncryptRequest request;
    KEKD_RETURN_IF_ERROR(TakeMessage(received, request));
    ::v2::EncryptResponse response;
    HandOn hand_on(service_, devices_, call, late);
    std::optional<absl::Status> answered =
        AnswerEncrypt(service_, request, call.Deadline(kMaxKmsCallTime), response, &hand_on);
    if (answered.has_value() && answered->ok()) answer = PutMessage(response);
    return answered;
  }

  std::optional<absl::Status> Decrypt(const CallContext& call, grpc::ByteBuffer& received,
                                      grpc::ByteBuffer& answer,
                                      LateAnswer<grpc::ByteBuffer>& late) {
    ::v2::DecryptRequest request;
    KEKD_RETURN_IF_ERROR(TakeMessage(received, request));
    ::v2::DecryptResponse response;
    HandOn hand_on(service_, devices_, call, late);
    std::optional<absl::Status> answered =
        AnswerDecrypt(service_, request, call.Deadline(kMaxKmsCallTime), response, &hand_on);
    if (answered.has_value() && answered->ok()) {
      answer = PutMessage(response);
      WipePlaintext(response);
    }
    return answered;
  }

  const EnvelopeService& service_;
  DeviceCalls devices_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<AsyncServer>> StartKmsServer(const EnvelopeService& service,
                                                            size_t device_calls) {
  return AsyncServer::Start(std::make_unique<KmsService>(service, device_calls),
                            {.thread_name = "kekd-kms", .max_receive_bytes = kMaxKmsReceiveBytes});
}

}  // namespace kekd
