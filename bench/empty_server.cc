// empty_server: the call that everything else is compared with. The same gRPC server as kekd's,
// built with the same flags, whose answers are constants of the size of kekd's.
#include <fcntl.h>

#include <cstdio>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"
#include "base/status_macros.h"
#include "bench/unix_socket.h"
#include "kms/server/async_server.h"
#include "kms/server/grpc_process.h"
#include "kms/v2/api.grpc.pb.h"

namespace kekd::bench {
namespace {

using AsyncService = ::v2::KeyManagementService::AsyncService;

template <typename Request, typename Response>
using Call = UnaryCall<AsyncService, Request, Response>;

constexpr size_t kCiphertextBytes = 78;  // of 32 bytes: header 6, nonce 24, tag 16
constexpr size_t kPlaintextBytes = 32;
constexpr absl::string_view kKeyId = "bench.1.00112233445566778899aabbccddeeff";

class EmptyService final {
 public:
  absl::Status Start() {
    KEKD_ASSIGN_OR_RETURN(
        server_, AsyncServer::Start({.service = &async_service_,
                                     .expect_calls = [this](grpc::ServerCompletionQueue* queue) {
                                       ExpectCalls(queue);
                                     }}));
    return absl::OkStatus();
  }

  void Adopt(UniqueFd connection) { server_->Adopt(std::move(connection)); }

 private:
  void ExpectCalls(grpc::ServerCompletionQueue* queue) {
    Call<::v2::StatusRequest, ::v2::StatusResponse>::ExpectNext(
        &async_service_, &AsyncService::RequestStatus, queue, &on_status_, nullptr);
    Call<::v2::EncryptRequest, ::v2::EncryptResponse>::ExpectNext(
        &async_service_, &AsyncService::RequestEncrypt, queue, &on_encrypt_, nullptr);
    Call<::v2::DecryptRequest, ::v2::DecryptResponse>::ExpectNext(
        &async_service_, &AsyncService::RequestDecrypt, queue, &on_decrypt_, nullptr);
  }

  const std::string key_id_{kKeyId};
  const std::string ciphertext_ = std::string(kCiphertextBytes, 'c');
  const std::string plaintext_ = std::string(kPlaintextBytes, 'p');
  const Call<::v2::StatusRequest, ::v2::StatusResponse>::Handler on_status_ =
      [this](const grpc::ServerContext&, ::v2::StatusRequest&, ::v2::StatusResponse& response) {
        response.set_version("v2");
        response.set_healthz("ok");
        response.set_key_id(key_id_);
        return absl::OkStatus();
      };
  const Call<::v2::EncryptRequest, ::v2::EncryptResponse>::Handler on_encrypt_ =
      [this](const grpc::ServerContext&, ::v2::EncryptRequest&, ::v2::EncryptResponse& response) {
        response.set_ciphertext(ciphertext_);
        response.set_key_id(key_id_);
        return absl::OkStatus();
      };
  const Call<::v2::DecryptRequest, ::v2::DecryptResponse>::Handler on_decrypt_ =
      [this](const grpc::ServerContext&, ::v2::DecryptRequest&, ::v2::DecryptResponse& response) {
        response.set_plaintext(plaintext_);
        return absl::OkStatus();
      };
  AsyncService async_service_;
  std::unique_ptr<AsyncServer> server_;  // last: it ends before what it calls
};

// Returns on an error only; a signal ends the process.
absl::Status Serve(absl::string_view path) {
  EmptyService service;
  KEKD_RETURN_IF_ERROR(service.Start());
  KEKD_ASSIGN_OR_RETURN(const UniqueFd listener, ListenUnix(path));
  for (;;) {
    KEKD_ASSIGN_OR_RETURN(UniqueFd connection, AcceptUnix(listener.get()));
    fcntl(connection.get(), F_SETFL, O_NONBLOCK);
    service.Adopt(std::move(connection));
  }
}

int Main(int argc, char** argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: empty_server PATH\n");
    return 2;
  }
  PrepareGrpc();
  fprintf(stderr, "empty_server: %s\n", Serve(argv[1]).ToString().c_str());
  return 1;
}

}  // namespace
}  // namespace kekd::bench

int main(int argc, char** argv) { return kekd::bench::Main(argc, argv); }
