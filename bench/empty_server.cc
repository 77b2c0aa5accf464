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

using Generated = ::v2::KeyManagementService::AsyncService;

constexpr size_t kCiphertextBytes = 78;  // of 32 bytes: header 6, nonce 24, tag 16
constexpr size_t kPlaintextBytes = 32;
constexpr absl::string_view kKeyId = "bench.1.00112233445566778899aabbccddeeff";

class EmptyService final : public AsyncService<Generated> {
 public:
  EmptyService() {
    AddMethod(&Generated::RequestStatus, this, &EmptyService::Status);
    AddMethod(&Generated::RequestEncrypt, this, &EmptyService::Encrypt);
    AddMethod(&Generated::RequestDecrypt, this, &EmptyService::Decrypt);
  }

 private:
  absl::Status Status(const CallContext& /*call*/, ::v2::StatusRequest& /*request*/,
                      ::v2::StatusResponse& response) const {
    response.set_version("v2");
    response.set_healthz("ok");
    response.set_key_id(key_id_);
    return absl::OkStatus();
  }
  absl::Status Encrypt(const CallContext& /*call*/, ::v2::EncryptRequest& /*request*/,
                       ::v2::EncryptResponse& response) const {
    response.set_ciphertext(ciphertext_);
    response.set_key_id(key_id_);
    return absl::OkStatus();
  }
  absl::Status Decrypt(const CallContext& /*call*/, ::v2::DecryptRequest& /*request*/,
                       ::v2::DecryptResponse& response) const {
    response.set_plaintext(plaintext_);
    return absl::OkStatus();
  }

  const std::string key_id_{kKeyId};
  const std::string ciphertext_ = std::string(kCiphertextBytes, 'c');
  const std::string plaintext_ = std::string(kPlaintextBytes, 'p');
};

// Returns on an error only; a signal ends the process.
absl::Status Serve(absl::string_view path) {
  KEKD_ASSIGN_OR_RETURN(const std::unique_ptr<AsyncServer> server,
                        AsyncServer::Start(std::make_unique<EmptyService>(), {}));
  KEKD_ASSIGN_OR_RETURN(const UniqueFd listener, ListenUnix(path));
  for (;;) {
    KEKD_ASSIGN_OR_RETURN(UniqueFd connection, AcceptUnix(listener.get()));
    fcntl(connection.get(), F_SETFL, O_NONBLOCK);
    server->Adopt(std::move(connection), {});
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
