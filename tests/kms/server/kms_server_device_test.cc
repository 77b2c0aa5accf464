// The KMS service with keys on a device that hangs, fails and comes back.
#include <gmock/gmock.h>
#include <grpcpp/create_channel_posix.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "base/unix_socket.h"
#include "kms/server/kms_server.h"
#include "kms/v2/api.grpc.pb.h"
#include "tests/kms/rings/test_ring.h"
#include "tests/support/status_matchers.h"

namespace kekd::testing {
namespace {

using Call = FakeKeyBackend::Call;

// Long enough for any machine, short enough that a hang is told from it.
constexpr std::chrono::seconds kPatience(20);

// What a device does until it is let go on.
class Blockade final {
 public:
  // The device's next calls of this kind wait here.
  void Block(FakeKeyBackend& backend, Call call, int times) {
    for (int i = 0; i < times; ++i) {
      backend.Queue(call, [this] {
        MutexLock lock(&mu_);
        ++inside_;
        changed_.NotifyAll();
        while (!lifted_) changed_.Wait(&mu_);
        return absl::OkStatus();
      });
    }
  }
  void Lift() {
    MutexLock lock(&mu_);
    lifted_ = true;
    changed_.NotifyAll();
  }
  void AwaitInside(int count) {
    MutexLock lock(&mu_);
    while (inside_ < count) changed_.Wait(&mu_);
  }

 private:
  Mutex mu_;
  CondVar changed_;
  int inside_ ABSL_GUARDED_BY(mu_) = 0;
  bool lifted_ ABSL_GUARDED_BY(mu_) = false;
};

// A Decrypt that is on its way.
struct Pending {
  grpc::ClientContext context;
  v2::DecryptResponse response;
  grpc::Status status;
  std::unique_ptr<grpc::ClientAsyncResponseReader<v2::DecryptResponse>> reader;
};

class KmsServerDeviceTest : public ::testing::Test {
 protected:
  KmsServerDeviceTest() : service_(ring_.current(), health_) {
    ring_.CreateAndPromote();
    server_ = StartKmsServer(service_).value();
    int fds[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    server_->Adopt(UniqueFd(fds[0]), {});
    stub_ = v2::KeyManagementService::NewStub(grpc::CreateInsecureChannelFromFd("device", fds[1]));
    EXPECT_TRUE(Encrypt("a seed", &sealed_).ok());
    ring_.backend().SetMayBlock(true);
  }
  ~KmsServerDeviceTest() override {
    blockade_.Lift();
    queue_.Shutdown();
    void* tag;
    bool ok;
    while (queue_.Next(&tag, &ok)) {
    }
  }

  grpc::Status Encrypt(const std::string& plaintext, v2::EncryptResponse* response) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kPatience);
    v2::EncryptRequest request;
    request.set_plaintext(plaintext);
    request.set_uid("uid");
    return stub_->Encrypt(&context, request, response);
  }
  static v2::DecryptRequest RequestFor(const v2::EncryptResponse& sealed) {
    v2::DecryptRequest request;
    request.set_ciphertext(sealed.ciphertext());
    request.set_key_id(sealed.key_id());
    request.set_uid("uid");
    return request;
  }
  grpc::Status Decrypt(const v2::EncryptResponse& sealed, v2::DecryptResponse* response,
                       std::chrono::milliseconds timeout = kPatience) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + timeout);
    return stub_->Decrypt(&context, RequestFor(sealed), response);
  }
  grpc::Status Status(v2::StatusResponse* response) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kPatience);
    return stub_->Status(&context, {}, response);
  }
  std::unique_ptr<Pending> StartDecrypt(const v2::EncryptResponse& sealed) {
    auto pending = std::make_unique<Pending>();
    pending->context.set_deadline(std::chrono::system_clock::now() + kPatience);
    pending->reader = stub_->AsyncDecrypt(&pending->context, RequestFor(sealed), &queue_);
    pending->reader->Finish(&pending->response, &pending->status, pending.get());
    return pending;
  }
  void AwaitPending(size_t count) {
    void* tag;
    bool ok;
    for (size_t i = 0; i < count; ++i) ASSERT_TRUE(queue_.Next(&tag, &ok));
  }
  // Calls that the service has looked at.
  void AwaitDecrypts(uint64_t count) {
    while (service_.counters().decrypt < count) std::this_thread::yield();
  }

  TestRing ring_;
  std::shared_ptr<KeyringHealth> health_ = std::make_shared<KeyringHealth>();
  EnvelopeService service_;
  Blockade blockade_;  // outlives the threads that wait at it
  std::unique_ptr<AsyncServer> server_;
  std::unique_ptr<v2::KeyManagementService::Stub> stub_;
  grpc::CompletionQueue queue_;
  v2::EncryptResponse sealed_;
};

TEST_F(KmsServerDeviceTest, AnswersThroughTheDevice) {
  v2::EncryptResponse sealed;
  ASSERT_TRUE(Encrypt("another seed", &sealed).ok());
  v2::DecryptResponse opened;
  ASSERT_TRUE(Decrypt(sealed, &opened).ok());
  EXPECT_EQ(opened.plaintext(), "another seed");
  sealed.mutable_ciphertext()->back() ^= 1;
  EXPECT_EQ(Decrypt(sealed, &opened).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  ring_.backend().QueueFailure(Call::kEncrypt, absl::UnavailableError("away"));
  EXPECT_EQ(Encrypt("seed", &sealed).error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(service_.counters().failed, 2u);
}

TEST_F(KmsServerDeviceTest, VerifiesWhatTheDeviceEncrypted) {
  v2::EncryptResponse sealed;
  ring_.backend().QueueCorruptedCiphertext();
  EXPECT_EQ(Encrypt("seed", &sealed).error_code(), grpc::StatusCode::INTERNAL);
  ring_.backend().QueueWrongPlaintext();
  EXPECT_EQ(Encrypt("seed", &sealed).error_code(), grpc::StatusCode::INTERNAL);
}

TEST_F(KmsServerDeviceTest, ADeviceThatHangsHoldsUpNobodyElse) {
  blockade_.Block(ring_.backend(), Call::kDecrypt, 2);
  const auto first = StartDecrypt(sealed_);
  blockade_.AwaitInside(1);
  // Status, refusals, and calls in memory are answered as ever.
  v2::StatusResponse status;
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(Status(&status).ok());
  v2::EncryptResponse encrypted;
  EXPECT_EQ(Encrypt("", &encrypted).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(server_->CheckPulse(), absl::ZeroDuration());
  absl::SleepFor(absl::Milliseconds(20));
  EXPECT_EQ(server_->CheckPulse(), absl::ZeroDuration());
  blockade_.Lift();
  AwaitPending(1);
  EXPECT_TRUE(first->status.ok()) << first->status.error_message();
  EXPECT_EQ(first->response.plaintext(), "a seed");
}

TEST_F(KmsServerDeviceTest, KeysInMemoryWorkBesideADeviceThatHangs) {
  blockade_.Block(ring_.backend(), Call::kDecrypt, 1);
  const auto first = StartDecrypt(sealed_);
  blockade_.AwaitInside(1);
  ring_.backend().SetMayBlock(false);  // as a software version of the same ring
  v2::EncryptResponse sealed;
  ASSERT_TRUE(Encrypt("in memory", &sealed).ok());
  v2::DecryptResponse opened;
  ASSERT_TRUE(Decrypt(sealed, &opened).ok());
  EXPECT_EQ(opened.plaintext(), "in memory");
  blockade_.Lift();
  AwaitPending(1);
  EXPECT_TRUE(first->status.ok());
}

TEST_F(KmsServerDeviceTest, EqualDecryptsAskTheDeviceOnce) {
  constexpr int kCalls = 200;
  const int before = ring_.backend().CallCount(Call::kDecrypt);
  blockade_.Block(ring_.backend(), Call::kDecrypt, 1);
  std::vector<std::unique_ptr<Pending>> calls;
  for (int i = 0; i < kCalls; ++i) calls.push_back(StartDecrypt(sealed_));
  AwaitDecrypts(kCalls);
  blockade_.Lift();
  AwaitPending(kCalls);
  for (const auto& call : calls) {
    EXPECT_TRUE(call->status.ok()) << call->status.error_message();
    EXPECT_EQ(call->response.plaintext(), "a seed");
  }
  EXPECT_EQ(ring_.backend().CallCount(Call::kDecrypt) - before, 1);
  EXPECT_EQ(service_.counters().decrypt, static_cast<uint64_t>(kCalls));
}

TEST_F(KmsServerDeviceTest, RefusesAtOnceWhatWouldComeTooLate) {
  blockade_.Block(ring_.backend(), Call::kEncrypt, 4);
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i) {
    callers.emplace_back([this] {
      v2::EncryptResponse sealed;
      EXPECT_TRUE(Encrypt("seed", &sealed).ok());
    });
  }
  blockade_.AwaitInside(4);
  absl::SleepFor(absl::Milliseconds(400));
  v2::DecryptResponse opened;
  EXPECT_EQ(Decrypt(sealed_, &opened, std::chrono::milliseconds(300)).error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(server_->refused_calls(), 1u);
  blockade_.Lift();
  for (std::thread& caller : callers) caller.join();
}

TEST_F(KmsServerDeviceTest, ShutdownLetsADeviceCallEnd) {
  blockade_.Block(ring_.backend(), Call::kDecrypt, 1);
  const auto call = StartDecrypt(sealed_);
  blockade_.AwaitInside(1);
  std::thread stopper([&] { server_->Shutdown(absl::Now() + absl::Seconds(10)); });
  absl::SleepFor(absl::Milliseconds(20));
  blockade_.Lift();
  stopper.join();
  AwaitPending(1);
  EXPECT_TRUE(call->status.ok()) << call->status.error_message();
}

TEST_F(KmsServerDeviceTest, ShutdownDoesNotWaitForADeviceThatHangs) {
  blockade_.Block(ring_.backend(), Call::kDecrypt, 1);
  std::vector<std::unique_ptr<Pending>> calls;
  for (int i = 0; i < 10; ++i) calls.push_back(StartDecrypt(sealed_));
  AwaitDecrypts(10);
  blockade_.AwaitInside(1);
  server_->Shutdown(absl::Now() + absl::Milliseconds(50));  // the device still hangs
  AwaitPending(10);
  for (const auto& call : calls) EXPECT_FALSE(call->status.ok());
  blockade_.Lift();
  server_.reset();
}

TEST_F(KmsServerDeviceTest, TellsWhoWantsToKnowThatAKeyFailed) {
  std::vector<uint32_t> failed;
  const EnvelopeService service(ring_.current(), health_,
                                [&](uint32_t version) { failed.push_back(version); });
  ring_.backend().QueueFailure(Call::kDecrypt, absl::UnavailableError("away"));
  const EnvelopeService::DecryptRequest request{.ciphertext = sealed_.ciphertext(),
                                                .key_id = sealed_.key_id()};
  EXPECT_THAT(service.Decrypt(request, absl::InfiniteFuture()),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(failed, ::testing::ElementsAre(1u));
  // A ciphertext that was altered says nothing of the key.
  std::string altered = sealed_.ciphertext();
  altered.back() ^= 1;
  EXPECT_THAT(
      service.Decrypt({.ciphertext = altered, .key_id = sealed_.key_id()}, absl::InfiniteFuture()),
      StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(failed.size(), 1u);
}

}  // namespace
}  // namespace kekd::testing
