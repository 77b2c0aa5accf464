// Calls a KMS v2 socket from several connections, as API servers do, until its standard input ends;
// then says in one line of JSON how many calls there were and how many failed.
#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "kms/v2/api.grpc.pb.h"

namespace kekd::testing {
namespace {

using Clock = std::chrono::steady_clock;
using Stub = ::v2::KeyManagementService::Stub;

constexpr int kThreadsOfConnection = 2;
constexpr std::chrono::seconds kDeadline(3);  // kube-apiserver's
constexpr std::chrono::milliseconds kPause(1);

class Load final {
 public:
  Load(const std::string& socket, bool wait_for_ready)
      : target_("unix:" + socket), wait_for_ready_(wait_for_ready) {}

  void Run(int connections) {
    for (int i = 0; i < connections; ++i) {
      grpc::ChannelArguments arguments;
      arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, "localhost");
      arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // a connection of its own
      const std::shared_ptr<Stub> stub = ::v2::KeyManagementService::NewStub(
          grpc::CreateCustomChannel(target_, grpc::InsecureChannelCredentials(), arguments));
      for (int j = 0; j < kThreadsOfConnection; ++j) {
        threads_.emplace_back([this, stub] { CallUntilStopped(*stub); });
      }
    }
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0) {
    }
    stop_ = true;
    for (std::thread& thread : threads_) thread.join();
    printf("{\"calls\": %ld, \"failed\": %ld, \"slowest_ms\": %.1f}\n", calls_.load(),
           failed_.load(), static_cast<double>(slowest_us_.load()) / 1000);
  }

 private:
  void CallUntilStopped(Stub& stub) {
    const std::string seed(32, 's');
    while (!stop_) {
      ::v2::EncryptRequest encrypt;
      encrypt.set_plaintext(seed);
      encrypt.set_uid("load");
      ::v2::EncryptResponse encrypted;
      if (!Call("Encrypt", &Stub::Encrypt, stub, encrypt, encrypted)) continue;
      ::v2::DecryptRequest decrypt;
      decrypt.set_ciphertext(encrypted.ciphertext());
      decrypt.set_key_id(encrypted.key_id());
      decrypt.set_uid("load");
      ::v2::DecryptResponse decrypted;
      if (Call("Decrypt", &Stub::Decrypt, stub, decrypt, decrypted) &&
          decrypted.plaintext() != seed) {
        Fail("Decrypt", "another plaintext came back");
      }
      ::v2::StatusResponse status;
      if (Call("Status", &Stub::Status, stub, ::v2::StatusRequest(), status) &&
          status.healthz() != "ok") {
        Fail("Status", status.healthz());
      }
      std::this_thread::sleep_for(kPause);
    }
  }

  template <typename Request, typename Response>
  bool Call(const char* name,
            grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
            Stub& stub, const Request& request, Response& response) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kDeadline);
    context.set_wait_for_ready(wait_for_ready_);
    const Clock::time_point begin = Clock::now();
    const grpc::Status status = (stub.*method)(&context, request, &response);
    const int64_t took =
        std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - begin).count();
    int64_t slowest = slowest_us_.load();
    while (took > slowest && !slowest_us_.compare_exchange_weak(slowest, took)) {
    }
    ++calls_;
    if (!status.ok())
      Fail(name, std::to_string(status.error_code()) + " " + status.error_message());
    return status.ok();
  }

  void Fail(const char* name, const std::string& why) {
    ++failed_;
    fprintf(stderr, "kms_load: %s: %s\n", name, why.c_str());
  }

  const std::string target_;
  const bool wait_for_ready_;
  std::vector<std::thread> threads_;
  std::atomic<bool> stop_{false};
  std::atomic<long> calls_{0};
  std::atomic<long> failed_{0};
  std::atomic<int64_t> slowest_us_{0};
};

}  // namespace
}  // namespace kekd::testing

int main(int argc, char** argv) {
  if (argc != 4) {
    fprintf(stderr,
            "usage: kms_load SOCKET CONNECTIONS wait|fail\n"
            "  wait  calls wait for a connection, as kube-apiserver's do; fail: they don't\n");
    return 2;
  }
  kekd::testing::Load(argv[1], strcmp(argv[3], "wait") == 0).Run(atoi(argv[2]));
  return 0;
}
