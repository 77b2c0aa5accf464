// memory_load SOCKET CALLS SECRETS CIPHERTEXTS: encrypts and decrypts CALLS plaintexts, no two of
// them the same, over several connections, and has some more calls refused or given up. Writes the
// plaintexts to SECRETS ("KIND HEX" a line, as find_secrets takes them) and what they became to
// CIPHERTEXTS (hexadecimal lines), prints "done", and keeps its connections until its standard
// input ends, as an API server keeps them between two calls.
#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/bytes.h"
#include "base/hex.h"
#include "base/random_source.h"
#include "base/status_macros.h"
#include "kms/v2/api.grpc.pb.h"

namespace kekd::testing {
namespace {

using Stub = ::v2::KeyManagementService::Stub;
using Microseconds = std::chrono::microseconds;

constexpr int kConnections = 3;
constexpr Microseconds kPatience(10'000'000);
constexpr Microseconds kImpatience(100);  // about what a call takes
constexpr size_t kSeedBytes = 32;
constexpr char kUid[] = "7c0ab9d2-5f61-4e57-9c3c-2a1b6f0e8d44";  // as an API server's are
// The sizes of a few: the least, some that gRPC keeps in other ways, and the greatest.
constexpr size_t kOtherSizes[] = {16, 20, 24, 64, 511, 512};

// For Encrypt, and for gRPC, which refuses it before anybody else sees it.
struct TooLarge {
  size_t size;
  const char* kind;
};
constexpr TooLarge kTooLarge[] = {
    {513, "refused-plaintext"}, {4000, "refused-plaintext"}, {80000, "oversized-plaintext"}};

class Load final {
 public:
  Load(const std::string& socket, const std::string& secrets, const std::string& ciphertexts)
      : secrets_(secrets), ciphertexts_(ciphertexts) {
    for (int i = 0; i < kConnections; ++i) {
      grpc::ChannelArguments arguments;
      arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, "localhost");
      arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // a connection of its own
      stubs_.push_back(::v2::KeyManagementService::NewStub(grpc::CreateCustomChannel(
          absl::StrCat("unix:", socket), grpc::InsecureChannelCredentials(), arguments)));
    }
  }

  absl::Status Run(int calls) {
    for (int i = 0; i < calls; ++i) {
      Stub& stub = *stubs_[static_cast<size_t>(i) % stubs_.size()];
      const size_t size = i % 10 == 9
                              ? kOtherSizes[static_cast<size_t>(i / 10) % std::size(kOtherSizes)]
                              : kSeedBytes;
      KEKD_RETURN_IF_ERROR(RoundTrip(stub, size));
      // In between, so that good calls follow and may or may not write over what these leave.
      if (i == calls / 2) KEKD_RETURN_IF_ERROR(BadCalls(stub));
    }
    KEKD_RETURN_IF_ERROR(BadCalls(*stubs_.front()));
    // The last that each connection sees is a good one.
    for (const auto& stub : stubs_) KEKD_RETURN_IF_ERROR(RoundTrip(*stub, kSeedBytes));
    secrets_.close();
    ciphertexts_.close();
    if (secrets_ && ciphertexts_) return absl::OkStatus();
    return absl::DataLossError("the lists can't be written");
  }

 private:
  absl::StatusOr<std::string> NewPlaintext(absl::string_view kind, size_t size) {
    std::string plaintext(size, '\0');
    KEKD_RETURN_IF_ERROR(RandomSource::System().Fill(AsWritableBytes(plaintext)));
    secrets_ << kind << ' ' << HexEncode(AsBytes(plaintext)) << '\n';
    return plaintext;
  }

  static grpc::Status Encrypt(Stub& stub, const std::string& plaintext, Microseconds patience,
                              ::v2::EncryptResponse& response) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + patience);
    ::v2::EncryptRequest request;
    request.set_plaintext(plaintext);
    request.set_uid(kUid);
    return stub.Encrypt(&context, request, &response);
  }

  static grpc::Status Decrypt(Stub& stub, const ::v2::EncryptResponse& encrypted,
                              Microseconds patience, ::v2::DecryptResponse& response) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + patience);
    ::v2::DecryptRequest request;
    request.set_ciphertext(encrypted.ciphertext());
    request.set_key_id(encrypted.key_id());
    request.set_uid(kUid);
    return stub.Decrypt(&context, request, &response);
  }

  absl::Status RoundTrip(Stub& stub, size_t size) {
    KEKD_ASSIGN_OR_RETURN(const std::string plaintext, NewPlaintext("plaintext", size));
    ::v2::EncryptResponse encrypted;
    grpc::Status status = Encrypt(stub, plaintext, kPatience, encrypted);
    if (!status.ok()) return absl::InternalError("Encrypt: " + status.error_message());
    ciphertexts_ << HexEncode(AsBytes(encrypted.ciphertext())) << '\n';
    ::v2::DecryptResponse decrypted;
    status = Decrypt(stub, encrypted, kPatience, decrypted);
    if (!status.ok()) return absl::InternalError("Decrypt: " + status.error_message());
    if (decrypted.plaintext() == plaintext) return absl::OkStatus();
    return absl::InternalError("Decrypt gave another plaintext");
  }

  // Calls that must fail, and some that are given up at whatever point they have come to.
  absl::Status BadCalls(Stub& stub) {
    ::v2::EncryptResponse encrypted;
    ::v2::DecryptResponse decrypted;
    for (const auto& [size, kind] : kTooLarge) {
      KEKD_ASSIGN_OR_RETURN(const std::string plaintext, NewPlaintext(kind, size));
      if (Encrypt(stub, plaintext, kPatience, encrypted).ok()) {
        return absl::InternalError(absl::StrCat("Encrypt took ", size, " bytes"));
      }
    }
    KEKD_ASSIGN_OR_RETURN(const std::string plaintext,
                          NewPlaintext("refused-plaintext", kSeedBytes));
    const grpc::Status status = Encrypt(stub, plaintext, kPatience, encrypted);
    if (!status.ok()) return absl::InternalError("Encrypt: " + status.error_message());
    ciphertexts_ << HexEncode(AsBytes(encrypted.ciphertext())) << '\n';
    ::v2::EncryptResponse altered = encrypted;
    altered.mutable_ciphertext()->back() ^= 1;
    ::v2::EncryptResponse unknown = encrypted;
    unknown.mutable_key_id()->back() ^= 1;
    for (const auto& bad : {altered, unknown}) {
      if (Decrypt(stub, bad, kPatience, decrypted).ok()) {
        return absl::InternalError("Decrypt took what it must refuse");
      }
    }
    for (int i = 1; i <= 4; ++i) {
      KEKD_ASSIGN_OR_RETURN(const std::string given_up,
                            NewPlaintext("abandoned-plaintext", kSeedBytes));
      ::v2::EncryptResponse ignored;
      if (Encrypt(stub, given_up, i * kImpatience, ignored).ok()) {
        ciphertexts_ << HexEncode(AsBytes(ignored.ciphertext())) << '\n';
      }
      (void)Decrypt(stub, encrypted, i * kImpatience, decrypted);
    }
    return absl::OkStatus();
  }

  std::vector<std::unique_ptr<Stub>> stubs_;
  std::ofstream secrets_;
  std::ofstream ciphertexts_;
};

}  // namespace
}  // namespace kekd::testing

int main(int argc, char** argv) {
  int calls = 0;
  if (argc != 5 || !absl::SimpleAtoi(argv[2], &calls)) {
    std::cerr << "usage: memory_load SOCKET CALLS SECRETS CIPHERTEXTS\n";
    return 2;
  }
  kekd::testing::Load load(argv[1], argv[3], argv[4]);
  const absl::Status status = load.Run(calls);
  if (!status.ok()) {
    std::cerr << "memory_load: " << status << "\n";
    return EXIT_FAILURE;
  }
  std::cout << "done" << std::endl;
  char byte;
  while (read(STDIN_FILENO, &byte, 1) > 0) {
  }
  return EXIT_SUCCESS;
}
