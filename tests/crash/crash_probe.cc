// crash_probe SOCKET encrypt FILE...: encrypts 32 random bytes into each file, with what is needed
// to open it again. crash_probe SOCKET decrypt FILE...: opens each and compares.
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <string>

#include "kms/v2/api.grpc.pb.h"

namespace kekd::testing {
namespace {

constexpr size_t kSeedBytes = 32;
constexpr std::chrono::seconds kDeadline(20);

class Probe final {
 public:
  explicit Probe(const std::string& socket) {
    grpc::ChannelArguments arguments;
    arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, "localhost");
    stub_ = ::v2::KeyManagementService::NewStub(
        grpc::CreateCustomChannel("unix:" + socket, grpc::InsecureChannelCredentials(), arguments));
  }

  bool Encrypt(const char* path) {
    std::random_device random;
    ::v2::EncryptRequest request;
    for (size_t i = 0; i < kSeedBytes; ++i) {
      request.mutable_plaintext()->push_back(static_cast<char>(random()));
    }
    request.set_uid("probe");
    ::v2::EncryptResponse response;
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kDeadline);
    if (!Succeeded(path, stub_->Encrypt(&context, request, &response))) return false;
    std::ofstream file(path, std::ios::binary);
    file << request.plaintext() << response.key_id() << '\n' << response.ciphertext();
    return file.flush().good();
  }

  bool Decrypt(const char* path) {
    std::ifstream file(path, std::ios::binary);
    const std::string all((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    const size_t key_id_end = all.find('\n', kSeedBytes);
    if (key_id_end == std::string::npos) {
      fprintf(stderr, "crash_probe: %s is none of mine\n", path);
      return false;
    }
    ::v2::DecryptRequest request;
    request.set_key_id(all.substr(kSeedBytes, key_id_end - kSeedBytes));
    request.set_ciphertext(all.substr(key_id_end + 1));
    request.set_uid("probe");
    ::v2::DecryptResponse response;
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kDeadline);
    if (!Succeeded(path, stub_->Decrypt(&context, request, &response))) return false;
    if (response.plaintext() == all.substr(0, kSeedBytes)) return true;
    fprintf(stderr, "crash_probe: %s decrypts to something else\n", path);
    return false;
  }

 private:
  static bool Succeeded(const char* path, const grpc::Status& status) {
    if (status.ok()) return true;
    fprintf(stderr, "crash_probe: %s: %s\n", path, status.error_message().c_str());
    return false;
  }

  std::unique_ptr<::v2::KeyManagementService::Stub> stub_;
};

}  // namespace
}  // namespace kekd::testing

int main(int argc, char** argv) {
  if (argc < 4) {
    fputs("usage: crash_probe SOCKET encrypt|decrypt FILE...\n", stderr);
    return 2;
  }
  kekd::testing::Probe probe(argv[1]);
  const bool encrypts = strcmp(argv[2], "encrypt") == 0;
  bool good = true;
  for (int i = 3; i < argc; ++i) good &= encrypts ? probe.Encrypt(argv[i]) : probe.Decrypt(argv[i]);
  return good ? 0 : 1;
}
