#include "bench/stub_client.h"

#include <grpcpp/grpcpp.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "kms/v2/api.grpc.pb.h"

namespace kekd::bench {
namespace {

using Stub = ::v2::KeyManagementService::Stub;

class StubClient final : public KmsClient {
 public:
  explicit StubClient(std::unique_ptr<Stub> stub) : stub_(std::move(stub)) {}

  absl::Status Status(const ::v2::StatusRequest& request, ::v2::StatusResponse& response) override {
    grpc::ClientContext context;
    return FromGrpc(stub_->Status(&context, request, &response));
  }

  absl::Status Encrypt(const ::v2::EncryptRequest& request,
                       ::v2::EncryptResponse& response) override {
    grpc::ClientContext context;
    return FromGrpc(stub_->Encrypt(&context, request, &response));
  }

  absl::Status Decrypt(const ::v2::DecryptRequest& request,
                       ::v2::DecryptResponse& response) override {
    grpc::ClientContext context;
    return FromGrpc(stub_->Decrypt(&context, request, &response));
  }

 private:
  static absl::Status FromGrpc(const grpc::Status& status) {
    if (status.ok()) return absl::OkStatus();
    return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  }

  const std::unique_ptr<Stub> stub_;
};

}  // namespace

std::unique_ptr<KmsClient> CreateStubClient(absl::string_view path) {
  return std::make_unique<StubClient>(::v2::KeyManagementService::NewStub(
      grpc::CreateChannel(absl::StrCat("unix:", path), grpc::InsecureChannelCredentials())));
}

}  // namespace kekd::bench
