#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/unique_fd.h"
#include "kms/ctl/commands.h"
#include "kms/v2/api.grpc.pb.h"
#include "tests/kms/ctl/test_command.h"
#include "tests/support/status_matchers.h"

namespace kekd {
namespace {

using ::kekd::testing::ServeOn;
using ::kekd::testing::StatusIs;
using ::kekd::testing::TestCommand;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kKeyId[] = "prod.1.0123456789abcdef0123456789abcdef";

grpc::Status Invalid() { return {grpc::StatusCode::INVALID_ARGUMENT, "invalid"}; }

// A plugin that answers as it must, unless one of its faults is switched on. Its "ciphertext" is a
// number, the plaintext and a checksum.
class FakeKms final : public v2::KeyManagementService::Service {
 public:
  grpc::Status Status(grpc::ServerContext*, const v2::StatusRequest*,
                      v2::StatusResponse* response) override {
    if (status_error) return {grpc::StatusCode::UNAVAILABLE, "must not encrypt"};
    response->set_version("v2");
    response->set_healthz(healthz);
    response->set_key_id(kKeyId);
    return grpc::Status::OK;
  }

  grpc::Status Encrypt(grpc::ServerContext*, const v2::EncryptRequest* request,
                       v2::EncryptResponse* response) override {
    const std::string& plaintext = request->plaintext();
    if (plaintext.empty() || plaintext.size() > max_plaintext) return Invalid();
    if (!same_nonce) ++nonce_;
    const std::string body = absl::StrCat(nonce_, ":", plaintext);
    response->set_ciphertext(absl::StrCat(body, ":", Sum(body)));
    response->set_key_id(encrypt_key_id);
    if (annotates) (*response->mutable_annotations())["a.b"].assign(1, 'c');
    return grpc::Status::OK;
  }

  grpc::Status Decrypt(grpc::ServerContext*, const v2::DecryptRequest* request,
                       v2::DecryptResponse* response) override {
    if (request->key_id() != kKeyId) return {unknown_key_code, "unknown"};
    if (!request->annotations().empty()) return Invalid();
    const std::string& sealed = request->ciphertext();
    const size_t first = sealed.find(':');
    const size_t last = sealed.rfind(':');
    if (last == std::string::npos || first == last) return Invalid();
    if (sealed.substr(last + 1) != Sum(sealed.substr(0, last))) return Invalid();
    response->set_plaintext(wrong_plaintext ? "wrong" : sealed.substr(first + 1, last - first - 1));
    return grpc::Status::OK;
  }

  std::string healthz = "ok";
  bool status_error = false;
  bool same_nonce = false;
  bool annotates = false;
  bool wrong_plaintext = false;
  size_t max_plaintext = 512;
  std::string encrypt_key_id = kKeyId;
  grpc::StatusCode unknown_key_code = grpc::StatusCode::NOT_FOUND;

 private:
  static std::string Sum(const std::string& text) {
    return std::to_string(std::hash<std::string>()(text));
  }

  int nonce_ = 1000;
};

class CheckCommandTest : public ::testing::Test {
 protected:
  // The report of a check that found something wrong.
  std::string FailedCheck() {
    const std::unique_ptr<grpc::Server> server = ServeOn(command_.keyring().socket, &kms_);
    const absl::StatusOr<CommandResult> result = Check(command_.Context(), {.count = 2});
    EXPECT_THAT(result, ::kekd::testing::IsOk());
    if (!result.ok()) return "";
    EXPECT_EQ(result->exit_code, kExitFailure);
    return result->output;
  }

  FakeKms kms_;
  TestCommand command_;
};

TEST_F(CheckCommandTest, PassesWhatAnswersAsItMust) {
  const std::unique_ptr<grpc::Server> server = ServeOn(command_.keyring().socket, &kms_);
  KEKD_ASSERT_OK_AND_ASSIGN(const CommandResult result, Check(command_.Context(), {.count = 10}));
  EXPECT_EQ(result.exit_code, kExitOk) << result.output;
  EXPECT_THAT(result.output, Not(HasSubstr("FAIL")));
  EXPECT_THAT(result.output, HasSubstr("ok    round trip"));
  EXPECT_THAT(result.output, HasSubstr("Encrypt  10 calls: p50 "));
  EXPECT_THAT(result.output, HasSubstr("Decrypt  10 calls: p50 "));
}

TEST_F(CheckCommandTest, MeasuresNothingIfNotAsked) {
  const std::unique_ptr<grpc::Server> server = ServeOn(command_.keyring().socket, &kms_);
  KEKD_ASSERT_OK_AND_ASSIGN(const CommandResult result,
                            Check(command_.Context(OutputFormat::kJson), {.count = 0}));
  EXPECT_THAT(result.output, HasSubstr("\"encrypt\": null"));
  EXPECT_THAT(result.output, HasSubstr("\"ok\": true"));
}

TEST_F(CheckCommandTest, FindsAHealthzThatIsNotOk) {
  kms_.healthz = "degraded";
  EXPECT_THAT(FailedCheck(), HasSubstr("FAIL  Status: healthz is ok: degraded"));
}

TEST_F(CheckCommandTest, FindsAStatusThatIsAnError) {
  kms_.status_error = true;
  EXPECT_THAT(FailedCheck(), HasSubstr("FAIL  Status answers: must not encrypt"));
}

TEST_F(CheckCommandTest, FindsNoncesThatRepeat) {
  kms_.same_nonce = true;
  EXPECT_THAT(FailedCheck(), HasSubstr("FAIL  the same plaintext"));
}

TEST_F(CheckCommandTest, FindsAnotherKeyIdThanThatOfStatus) {
  kms_.encrypt_key_id = "prod.2.0";
  EXPECT_THAT(FailedCheck(), HasSubstr("is not that of Status"));
}

TEST_F(CheckCommandTest, FindsAnnotations) {
  kms_.annotates = true;
  EXPECT_THAT(FailedCheck(), HasSubstr("it has annotations"));
}

TEST_F(CheckCommandTest, FindsARoundTripThatChangesThePlaintext) {
  kms_.wrong_plaintext = true;
  EXPECT_THAT(FailedCheck(), HasSubstr("FAIL  round trip: Decrypt gave another plaintext back"));
}

TEST_F(CheckCommandTest, FindsARefusalWithAnotherCodeAndAMissingOne) {
  kms_.unknown_key_code = grpc::StatusCode::UNKNOWN;
  kms_.max_plaintext = 513;
  const std::string report = FailedCheck();
  EXPECT_THAT(report, HasSubstr("FAIL  refuses an unknown key_id: the answer is UNKNOWN, not "
                                "NOT_FOUND"));
  EXPECT_THAT(report, HasSubstr("FAIL  refuses a plaintext of 513 bytes: it was answered"));
}

TEST_F(CheckCommandTest, IsUnavailableWhenNobodyListens) {
  EXPECT_THAT(Check(command_.Context(), {}),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("kekd is not running")));
}

// A socket that closes every connection at once, as kekd does for a user it does not allow.
class ClosingListener final {
 public:
  explicit ClosingListener(const std::string& path)
      : fd_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    memcpy(address.sun_path, path.data(), path.size());
    EXPECT_EQ(bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_EQ(listen(fd_.get(), 8), 0);
    thread_ = std::thread([this] {
      while (UniqueFd(accept(fd_.get(), nullptr, nullptr)).valid()) {
      }
    });
  }
  ~ClosingListener() {
    shutdown(fd_.get(), SHUT_RDWR);
    thread_.join();
  }

 private:
  UniqueFd fd_;
  std::thread thread_;
};

TEST_F(CheckCommandTest, TellsWhoIsNotAllowedFromAConnectionThatBroke) {
  const ClosingListener listener(command_.keyring().socket.path);
  EXPECT_THAT(Check(command_.Context(), {}),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("ended the connection")));
  command_.config().keyrings[0].socket.allowed_users = {geteuid() + 1};
  EXPECT_THAT(Check(command_.Context(), {}),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("allowedUsers")));
}

}  // namespace
}  // namespace kekd
