// The whole way from a client's socket to the service: acceptor, gRPC, adapter.
#include "kms/server/kms_server.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "kms/server/connection_acceptor.h"
#include "kms/server/unix_listener.h"
#include "kms/v2/api.grpc.pb.h"
#include "tests/kms/rings/test_ring.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace kekd::testing {
namespace {

using ::testing::HasSubstr;

// Sooner than by the deadline for the preface, and still no matter on a busy machine.
const absl::Duration kBeforePrefaceTimeout =
    ConnectionAcceptor::kPrefaceTimeout - absl::Milliseconds(100);

class KmsServerTest : public ::testing::Test {
 protected:
  KmsServerTest() : service_(ring_.current(), health_) {
    ring_.CreateAndPromote();
    server_ = StartKmsServer(service_).value();
    listener_ =
        UnixListener::Bind(FileSystem::System(), {.path = folder_.File("kms.sock")}).value();
    StartAcceptor({.users = {geteuid()}});
  }

  void StartAcceptor(PeerPolicy policy) {
    acceptor_.reset();
    acceptor_ = ConnectionAcceptor::Create({{.name = "test",
                                             .fd = listener_->fd(),
                                             .policy = std::move(policy),
                                             .adopt =
                                                 [this](UniqueFd fd, const PeerCredentials& peer) {
                                                   server_->Adopt(std::move(fd), peer);
                                                 }}})
                    .value();
    acceptor_->Start();
  }

  std::unique_ptr<v2::KeyManagementService::Stub> Client(
      const std::string& authority = "localhost") {
    grpc::ChannelArguments arguments;
    if (!authority.empty()) arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, authority);
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // a connection of its own
    return v2::KeyManagementService::NewStub(
        grpc::CreateCustomChannel(absl::StrCat("unix:", folder_.File("kms.sock")),
                                  grpc::InsecureChannelCredentials(), arguments));
  }

  static void SetDeadline(grpc::ClientContext& context) {
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
  }

  grpc::Status Encrypt(v2::KeyManagementService::Stub& stub, const std::string& plaintext,
                       v2::EncryptResponse* response) {
    grpc::ClientContext context;
    SetDeadline(context);
    v2::EncryptRequest request;
    request.set_plaintext(plaintext);
    request.set_uid("uid");
    return stub.Encrypt(&context, request, response);
  }

  grpc::Status Decrypt(v2::KeyManagementService::Stub& stub, const v2::EncryptResponse& encrypted,
                       v2::DecryptResponse* response) {
    grpc::ClientContext context;
    SetDeadline(context);
    v2::DecryptRequest request;
    request.set_ciphertext(encrypted.ciphertext());
    request.set_key_id(encrypted.key_id());
    request.set_uid("uid");
    return stub.Decrypt(&context, request, response);
  }

  grpc::Status Status(v2::KeyManagementService::Stub& stub, v2::StatusResponse* response) {
    grpc::ClientContext context;
    SetDeadline(context);
    return stub.Status(&context, {}, response);
  }

  // A plain connection to the socket.
  UniqueFd Connect() {
    UniqueFd fd(socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    const std::string path = folder_.File("kms.sock");
    memcpy(address.sun_path, path.c_str(), path.size() + 1);
    EXPECT_EQ(connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    return fd;
  }

  // Whether the other side ends the connection within `timeout`.
  static bool EndsWithin(const UniqueFd& fd, absl::Duration timeout) {
    const timeval limit = absl::ToTimeval(timeout);
    setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    char byte;
    const ssize_t n = recv(fd.get(), &byte, 1, 0);
    return n == 0 || (n < 0 && errno == ECONNRESET);
  }

  void WaitForConnections(uint64_t count) {
    const absl::Time deadline = absl::Now() + absl::Seconds(10);
    while (acceptor_->GetStats(0).connections != count && absl::Now() < deadline) {
      std::this_thread::yield();
    }
    EXPECT_EQ(acceptor_->GetStats(0).connections, count);
  }

  TempDirectory folder_;
  TestRing ring_;
  std::shared_ptr<KeyringHealth> health_ = std::make_shared<KeyringHealth>();
  EnvelopeService service_;
  std::unique_ptr<AsyncServer> server_;
  std::unique_ptr<UnixListener> listener_;
  std::unique_ptr<ConnectionAcceptor> acceptor_;
};

TEST_F(KmsServerTest, AnswersAsAnApiServerExpects) {
  const auto stub = Client();
  v2::StatusResponse status;
  ASSERT_TRUE(Status(*stub, &status).ok());
  EXPECT_EQ(status.version(), "v2");
  EXPECT_EQ(status.healthz(), "ok");
  v2::EncryptResponse encrypted;
  ASSERT_TRUE(Encrypt(*stub, std::string(32, 's'), &encrypted).ok());
  EXPECT_EQ(encrypted.key_id(), status.key_id());
  EXPECT_EQ(encrypted.annotations_size(), 0);
  v2::DecryptResponse decrypted;
  ASSERT_TRUE(Decrypt(*stub, encrypted, &decrypted).ok());
  EXPECT_EQ(decrypted.plaintext(), std::string(32, 's'));
}

TEST_F(KmsServerTest, TakesAnyAuthority) {
  // kube-apiserver before 1.32 sends the socket's path, others "localhost" or a name.
  for (const std::string& authority :
       {std::string("localhost"), folder_.File("kms.sock"), std::string("@abstract"),
        std::string("%2Frun%2Fkekd.sock")}) {
    v2::StatusResponse status;
    const grpc::Status result = Status(*Client(authority), &status);
    EXPECT_TRUE(result.ok()) << authority << ": " << result.error_message();
  }
}

TEST_F(KmsServerTest, TellsTheCallersFaultFromItsOwn) {
  const auto stub = Client();
  v2::EncryptResponse encrypted;
  EXPECT_EQ(Encrypt(*stub, std::string(513, 's'), &encrypted).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  ASSERT_TRUE(Encrypt(*stub, std::string(32, 's'), &encrypted).ok());
  v2::DecryptResponse decrypted;
  v2::EncryptResponse altered = encrypted;
  altered.mutable_ciphertext()->back() ^= 1;
  EXPECT_EQ(Decrypt(*stub, altered, &decrypted).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  altered = encrypted;
  altered.set_key_id("other.1.00000000000000000000000000000000");
  EXPECT_EQ(Decrypt(*stub, altered, &decrypted).error_code(), grpc::StatusCode::NOT_FOUND);
  health_->Set({.may_encrypt = absl::UnavailableError("kekd must not encrypt")});
  v2::StatusResponse status;
  EXPECT_EQ(Status(*stub, &status).error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(KmsServerTest, RefusesAMessageThatIsTooLarge) {
  const auto stub = Client();
  v2::EncryptResponse encrypted;
  EXPECT_EQ(Encrypt(*stub, std::string(kMaxKmsReceiveBytes + 1, 's'), &encrypted).error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(Encrypt(*stub, std::string(20 << 20, 's'), &encrypted).error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_TRUE(Encrypt(*stub, std::string(32, 's'), &encrypted).ok());
}

TEST_F(KmsServerTest, ClosesThePeerThatIsNotAllowed) {
  StartAcceptor({.users = {geteuid() + 1}});
  EXPECT_TRUE(EndsWithin(Connect(), absl::Seconds(5)));
  v2::StatusResponse status;
  EXPECT_EQ(Status(*Client(), &status).error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_GE(acceptor_->GetStats(0).refused, 2u);
  StartAcceptor({.groups = {getegid()}});
  EXPECT_TRUE(Status(*Client(), &status).ok());
}

TEST_F(KmsServerTest, NewPoliciesEndTheConnectionsThatTheyDontAllow) {
  const auto stub = Client();
  v2::StatusResponse status;
  ASSERT_TRUE(Status(*stub, &status).ok());
  const UniqueFd silent = Connect();
  WaitForConnections(1);
  acceptor_->SetPolicies({{.users = {geteuid() + 1}}});
  EXPECT_EQ(Status(*Client(), &status).error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_TRUE(EndsWithin(silent, kBeforePrefaceTimeout));
  WaitForConnections(0);
  acceptor_->SetPolicies({{.users = {geteuid()}}});
  EXPECT_TRUE(Status(*Client(), &status).ok());
}

TEST_F(KmsServerTest, GivesWhoHasJustConnectedAMomentWhenItStops) {
  const UniqueFd early = Connect();
  std::thread stopper([&] { acceptor_->Stop(); });
  constexpr absl::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  ASSERT_GT(send(early.get(), kPreface.data(), kPreface.size(), MSG_NOSIGNAL), 0);
  stopper.join();
  char settings[9];  // the server's first frame
  EXPECT_EQ(recv(early.get(), settings, sizeof(settings), MSG_WAITALL), 9);
}

TEST_F(KmsServerTest, TellsAThreadThatHangs) {
  const auto stub = Client();
  std::atomic<bool> inside{false};
  std::atomic<bool> go_on{false};
  ring_.backend().Queue(FakeKeyBackend::Call::kEncrypt, [&] {
    inside = true;
    while (!go_on) std::this_thread::yield();
    return absl::OkStatus();
  });
  std::thread caller([&] {
    v2::EncryptResponse encrypted;
    EXPECT_TRUE(Encrypt(*stub, std::string(32, 's'), &encrypted).ok());
  });
  while (!inside) std::this_thread::yield();
  EXPECT_EQ(server_->CheckPulse(), absl::ZeroDuration());  // asks
  absl::SleepFor(absl::Milliseconds(20));
  EXPECT_GE(server_->CheckPulse(), absl::Milliseconds(20));
  EXPECT_EQ(acceptor_->CheckPulse(), absl::ZeroDuration());
  go_on = true;
  caller.join();
  const absl::Time deadline = absl::Now() + absl::Seconds(10);
  while (server_->CheckPulse() > absl::ZeroDuration() && absl::Now() < deadline) {
    std::this_thread::yield();
  }
  EXPECT_LT(absl::Now(), deadline);
  absl::SleepFor(absl::Milliseconds(50));
  EXPECT_EQ(acceptor_->CheckPulse(), absl::ZeroDuration());
}

TEST_F(KmsServerTest, ClosesWhatDoesNotSpeakHttp2AtOnce) {
  for (const absl::string_view words :
       {"GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x02", "PRI * HTTP/1"}) {
    const UniqueFd peer = Connect();
    ASSERT_GT(send(peer.get(), words.data(), words.size(), MSG_NOSIGNAL), 0);
    EXPECT_TRUE(EndsWithin(peer, kBeforePrefaceTimeout)) << words;
  }
}

TEST_F(KmsServerTest, ClosesSilentPeersInTimeAndServesOthersMeanwhile) {
  std::vector<UniqueFd> silent;
  for (int i = 0; i < 40; ++i) {
    silent.push_back(Connect());
    if (i % 2 == 0) continue;
    ASSERT_EQ(send(silent.back().get(), "PRI * HTTP", 10, MSG_NOSIGNAL), 10);
  }
  v2::StatusResponse status;
  EXPECT_TRUE(Status(*Client(), &status).ok());
  for (const UniqueFd& peer : silent) {
    EXPECT_TRUE(EndsWithin(peer, 2 * ConnectionAcceptor::kPrefaceTimeout));
  }
}

TEST_F(KmsServerTest, BoundsSilentPeersAndDropsTheOldestFirst) {
  std::vector<UniqueFd> silent;
  for (size_t i = 0; i < ConnectionAcceptor::kMaxPending + 1; ++i) silent.push_back(Connect());
  EXPECT_TRUE(EndsWithin(silent.front(), kBeforePrefaceTimeout));
  v2::StatusResponse status;
  EXPECT_TRUE(Status(*Client(), &status).ok());
}

TEST_F(KmsServerTest, KnowsWhenAConnectionHasEnded) {
  {
    const auto first = Client();
    const auto second = Client();
    v2::StatusResponse status;
    ASSERT_TRUE(Status(*first, &status).ok());
    ASSERT_TRUE(Status(*second, &status).ok());
    WaitForConnections(2);
  }
  WaitForConnections(0);
}

TEST_F(KmsServerTest, BoundsItsConnections) {
  constexpr absl::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  std::vector<UniqueFd> peers;
  const auto connect = [&] {
    peers.push_back(Connect());
    ASSERT_GT(send(peers.back().get(), kPreface.data(), kPreface.size(), MSG_NOSIGNAL), 0);
  };
  for (size_t i = 0; i < ConnectionAcceptor::kMaxConnections; ++i) connect();
  WaitForConnections(ConnectionAcceptor::kMaxConnections);
  connect();
  EXPECT_TRUE(EndsWithin(peers.back(), absl::Seconds(10)));
  peers.clear();
  WaitForConnections(0);
  v2::StatusResponse status;
  EXPECT_TRUE(Status(*Client(), &status).ok());
}

TEST_F(KmsServerTest, AnswersManyCallersAtOnce) {
  std::atomic<int> good{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < 8; ++i) {
    callers.emplace_back([this, &good] {
      const auto stub = Client();
      for (int j = 0; j < 50; ++j) {
        v2::EncryptResponse encrypted;
        v2::DecryptResponse decrypted;
        if (Encrypt(*stub, std::string(32, 's'), &encrypted).ok() &&
            Decrypt(*stub, encrypted, &decrypted).ok() &&
            decrypted.plaintext() == std::string(32, 's')) {
          ++good;
        }
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(good, 8 * 50);
}

TEST_F(KmsServerTest, EndsCleanlyUnderLoad) {
  std::atomic<bool> stop{false};
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i) {
    callers.emplace_back([this, &stop] {
      const auto stub = Client();
      while (!stop) {
        v2::EncryptResponse encrypted;
        (void)Encrypt(*stub, std::string(32, 's'), &encrypted);
      }
    });
  }
  while (service_.counters().encrypt < 100) std::this_thread::yield();
  acceptor_->Stop();
  listener_.reset();
  server_->Shutdown(absl::Now() + absl::Seconds(5));
  stop = true;
  for (std::thread& caller : callers) caller.join();
  // Whoever comes late is closed.
  int late[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, late), 0);
  const UniqueFd peer(late[0]);
  server_->Adopt(UniqueFd(late[1]), {});
  EXPECT_TRUE(EndsWithin(peer, absl::Seconds(5)));
  server_.reset();
}

TEST_F(KmsServerTest, ShutdownLetsACallThatHasBegunEnd) {
  const auto stub = Client();
  std::atomic<bool> inside{false};
  std::atomic<bool> go_on{false};
  ring_.backend().Queue(FakeKeyBackend::Call::kEncrypt, [&] {
    inside = true;
    while (!go_on) std::this_thread::yield();
    return absl::OkStatus();
  });
  grpc::Status result;
  std::thread caller([&] {
    v2::EncryptResponse encrypted;
    result = Encrypt(*stub, std::string(32, 's'), &encrypted);
  });
  while (!inside) std::this_thread::yield();
  std::thread stopper([&] { server_->Shutdown(absl::Now() + absl::Seconds(5)); });
  go_on = true;
  stopper.join();
  caller.join();
  EXPECT_TRUE(result.ok()) << result.error_message();
}

}  // namespace
}  // namespace kekd::testing
