#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "kekd/admin/v1/admin.grpc.pb.h"
#include "kms/ctl/commands.h"
#include "tests/kms/ctl/test_command.h"
#include "tests/support/status_matchers.h"

namespace kekd {
namespace {

using ::kekd::testing::ServeOn;
using ::kekd::testing::StatusIs;
using ::kekd::testing::TestCommand;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class FakeAdmin final : public admin::v1::Admin::Service {
 public:
  grpc::Status GetStatus(grpc::ServerContext*, const admin::v1::GetStatusRequest*,
                         admin::v1::GetStatusResponse* response) override {
    *response = answer;
    return grpc::Status::OK;
  }

  admin::v1::GetStatusResponse answer;
};

class StatusCommandTest : public ::testing::Test {
 protected:
  StatusCommandTest() {
    admin_.answer.set_version("9.9.9");
    admin_.answer.set_pid(4711);
    admin_.answer.set_uptime_ms(192 * 60 * 1000);
    ring_ = admin_.answer.add_keyrings();
    ring_->set_name("prod");
    ring_->set_generation(3);
    ring_->set_primary_version(2);
    ring_->set_key_id("prod.2.abc");
    ring_->set_healthz("ok");
    ring_->set_encrypt_calls(5);
  }

  FakeAdmin admin_;
  admin::v1::KeyringStatus* ring_;
  TestCommand command_;
};

TEST_F(StatusCommandTest, ShowsWhatKekdAnswers) {
  const std::unique_ptr<grpc::Server> server = ServeOn(command_.config().admin_socket, &admin_);
  KEKD_ASSERT_OK_AND_ASSIGN(const CommandResult result, Status(command_.Context()));
  EXPECT_EQ(result.exit_code, kExitOk);
  EXPECT_THAT(result.note, IsEmpty());
  EXPECT_THAT(result.output, HasSubstr("kekd 9.9.9, pid 4711, up 3h12m, secrets NOT locked"));
  EXPECT_THAT(result.output, HasSubstr("prod.2.abc"));
}

TEST_F(StatusCommandTest, HasTheDocumentedJsonFields) {
  const std::unique_ptr<grpc::Server> server = ServeOn(command_.config().admin_socket, &admin_);
  KEKD_ASSERT_OK_AND_ASSIGN(const CommandResult result,
                            Status(command_.Context(OutputFormat::kJson)));
  for (const char* field :
       {"\"version\": \"9.9.9\"", "\"pid\": 4711", "\"uptimeSeconds\": 11520", "\"name\": \"prod\"",
        "\"generation\": 3", "\"healthz\": \"ok\"", "\"keyId\": \"prod.2.abc\"",
        "\"primaryVersion\": 2", "\"encrypts\": 5", "\"decrypts\": 0", "\"statuses\": 0",
        "\"connections\": 0", "\"lastCanary\": null"}) {
    EXPECT_THAT(result.output, HasSubstr(field));
  }
}

TEST_F(StatusCommandTest, FailsWhenAKeyringMustNotEncrypt) {
  ring_->set_must_not_encrypt(true);
  ring_->set_healthz("the primary does not decrypt");
  ring_->clear_key_id();
  const std::unique_ptr<grpc::Server> server = ServeOn(command_.config().admin_socket, &admin_);
  KEKD_ASSERT_OK_AND_ASSIGN(const CommandResult result, Status(command_.Context()));
  EXPECT_EQ(result.exit_code, kExitFailure);
  EXPECT_THAT(result.note,
              HasSubstr("keyring prod must not encrypt: the primary does not decrypt"));
  EXPECT_THAT(result.output, HasSubstr("MUST NOT ENCRYPT"));
}

TEST_F(StatusCommandTest, SaysThatADegradedKeyringServes) {
  ring_->set_healthz("key version 1 can't be opened");
  ring_->add_warnings("the disk holds another\x1b[2Jkeyring");
  const std::unique_ptr<grpc::Server> server = ServeOn(command_.config().admin_socket, &admin_);
  KEKD_ASSERT_OK_AND_ASSIGN(const CommandResult result, Status(command_.Context()));
  EXPECT_EQ(result.exit_code, kExitOk);
  EXPECT_THAT(result.note, HasSubstr("is degraded"));
  EXPECT_THAT(result.output, HasSubstr("  warning  the disk holds another\\x1b[2Jkeyring"));
}

TEST_F(StatusCommandTest, IsUnavailableWhenKekdDoesNotRun) {
  EXPECT_THAT(Status(command_.Context()),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("kekd is not running")));
}

TEST_F(StatusCommandTest, TellsOfEachTokenAndFailsForNone) {
  admin::v1::Token* const up = ring_->add_tokens();
  up->set_name("a");
  up->set_state("up");
  up->set_since_ms(absl::ToUnixMillis(command_.Context().now - absl::Minutes(2)));
  up->set_last_error("it was away once");
  admin::v1::Token* const down = ring_->add_tokens();
  down->set_name("b\x1b");
  down->set_state("down");
  down->set_since_ms(absl::ToUnixMillis(command_.Context().now - absl::Minutes(1)));
  down->set_problem("it is away");
  const std::unique_ptr<grpc::Server> server = ServeOn(command_.config().admin_socket, &admin_);
  KEKD_ASSERT_OK_AND_ASSIGN(const CommandResult table, Status(command_.Context()));
  EXPECT_EQ(table.exit_code, kExitOk);
  EXPECT_THAT(table.output, ::testing::ContainsRegex("  token    a: up since .*2m"));
  EXPECT_THAT(table.output, ::testing::ContainsRegex("  token    b[^\x1b]*: down since .*1m"));
  EXPECT_THAT(table.note, IsEmpty());
  KEKD_ASSERT_OK_AND_ASSIGN(const CommandResult json,
                            Status(command_.Context(OutputFormat::kJson)));
  for (const char* field :
       {"\"tokens\": [", "\"state\": \"up\"", "\"lastError\": \"it was away once\"",
        "\"problem\": null", "\"problem\": \"it is away\""}) {
    EXPECT_THAT(json.output, HasSubstr(field));
  }
}

}  // namespace
}  // namespace kekd
