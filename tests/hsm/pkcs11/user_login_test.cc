// No token is ever locked by kekd: what is sent is counted by p11fault.
#include "hsm/pkcs11/user_login.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "absl/time/clock.h"
#include "base/file_system.h"
#include "hsm/pkcs11/pin_log.h"
#include "tests/hsm/pkcs11/faulty_token.h"
#include "tests/support/status_matchers.h"

namespace kekd {
namespace {

using ::testing::_;
using ::testing::AllOf;
using testing::FaultyToken;
using ::testing::HasSubstr;
using testing::IsOk;
using ::testing::Not;
using testing::StatusIs;
using testing::WriteTestFile;

class UserLoginTest : public FaultyToken {
 protected:
  void WritePin(const std::string& pin) {
    WriteTestFile(made_->pin_file, pin);
    ASSERT_EQ(chmod(made_->pin_file.c_str(), 0600), 0);
  }
  WorkerResponse Start() {
    // Requests come at any pace; recoveries don't.
    absl::SleepFor(Token::kRecoveryPause);
    return Only(WorkerVerb::kStart);
  }
  PinLog Log() {
    return PinLog(FileSystem::System(), config_.pin_log_directory,
                  {.label = made_->label, .serial = made_->serial});
  }
  void NewWorker() {
    EndModule();
    Begin();
  }
};

TEST_F(UserLoginTest, SendsTheRightPinOnceAndWritesNothingWhenItIsKnownToWork) {
  ASSERT_THAT(Start().status, IsOk());
  EXPECT_EQ(Calls("C_Login"), 1u);
  ASSERT_EQ((*Log().Read())->outcome, PinLog::Outcome::kWorked);
  const auto written = FileSystem::System().GetInfo(Log().path());
  ASSERT_THAT(written, IsOk());
  NewWorker();
  ASSERT_THAT(Start().status, IsOk());
  EXPECT_EQ(Calls("C_Login"), 2u);
  EXPECT_EQ(FileSystem::System().GetInfo(Log().path())->changed_ns, written->changed_ns);
}

TEST_F(UserLoginTest, SendsARefusedPinNeverAgainUntilItsFileChanges) {
  WritePin("zebra99");
  const WorkerResponse refused = Start();
  EXPECT_THAT(refused.status,
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("C_Login: CKR_PIN_INCORRECT (0xa0)"),
                             HasSubstr(made_->pin_file), Not(HasSubstr("zebra99")))));
  EXPECT_FALSE(refused.restart);
  for (int i = 0; i < 3; ++i) {
    const WorkerResponse again = Start();
    EXPECT_THAT(again.status,
                StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("not sent again")));
    EXPECT_THAT(again.token.pin_problem, HasSubstr("not sent again"));
    EXPECT_EQ(again.token.pin_state, "count low");
    if (i == 1) NewWorker();
  }
  EXPECT_EQ(Calls("C_Login"), 1u);
  WritePin(std::string(kPin) + "\n");
  EXPECT_THAT(Start().status, IsOk());
  EXPECT_EQ(Calls("C_Login"), 2u);
  EXPECT_EQ((*Log().Read())->outcome, PinLog::Outcome::kWorked);
}

TEST_F(UserLoginTest, SendsNothingOnTheFinalTryOrWhenLocked) {
  Order("pin-final-try");
  EXPECT_THAT(Start().status,
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("would lock the token")));
  Order("pin-locked");
  EXPECT_THAT(Start().status,
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("PIN is locked")));
  EXPECT_EQ(Calls("C_Login"), 0u);
  Order("");
  EXPECT_THAT(Start().status, IsOk());
}

TEST_F(UserLoginTest, SendsNothingAfterACrashInTheMiddleOfATryThatWasCounted) {
  ASSERT_THAT(Start().status, IsOk());
  PinLog log = Log();
  PinLog::Entry entry = **log.Read();
  entry.outcome = PinLog::Outcome::kTried;
  ASSERT_THAT(log.Write(entry), IsOk());
  Order("pin-count-low");
  NewWorker();
  EXPECT_THAT(Start().status,
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("answer is not known")));
  EXPECT_EQ(Calls("C_Login"), 1u);
  Order("");  // the token counts nothing: it was right, or never arrived
  EXPECT_THAT(Start().status, IsOk());
}

TEST_F(UserLoginTest, SendsNothingThatItCantWriteDownBefore) {
  WriteTestFile(directory_.path() + "/file", "");
  config_.pin_log_directory = directory_.path() + "/file/pins";
  Begin();
  EXPECT_THAT(Start().status, StatusIs(absl::StatusCode::kFailedPrecondition, _));
  EXPECT_EQ(Calls("C_Login"), 0u);
}

TEST_F(UserLoginTest, SendsNothingWhenTheLogIsDamaged) {
  ASSERT_THAT(Start().status, IsOk());
  WriteTestFile(Log().path(), "kekd-pin-log 1\n");
  NewWorker();
  EXPECT_THAT(Start().status,
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("is damaged")));
  EXPECT_EQ(Calls("C_Login"), 1u);
}

TEST_F(UserLoginTest, RefusesAPinFileThatOthersCanRead) {
  ASSERT_EQ(chmod(made_->pin_file.c_str(), 0644), 0);
  EXPECT_THAT(Start().status, StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("chmod")));
  EXPECT_EQ(Calls("C_Login"), 0u);
}

TEST_F(UserLoginTest, TakesACredentialAsSystemdMakesIt) {
  config_.pin_is_credential = true;
  Begin();
  ASSERT_EQ(chmod(made_->pin_file.c_str(), 0444), 0);
  EXPECT_THAT(Start().status, StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("rights")));
  ASSERT_EQ(chmod(made_->pin_file.c_str(), 0440), 0);
  EXPECT_THAT(Start().status, IsOk());
}

TEST_F(UserLoginTest, TriesAgainWhenTheErrorIsNotAboutThePin) {
  Order("C_Login return CKR_GENERAL_ERROR times 3");
  EXPECT_THAT(Start().status, IsOk());
  EXPECT_EQ(Calls("C_Login"), 4u);
}

}  // namespace
}  // namespace kekd
