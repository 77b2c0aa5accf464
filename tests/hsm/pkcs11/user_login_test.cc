// No token is ever locked by kekd: what is sent is counted by p11fault.
#include "hsm/pkcs11/user_login.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>
#include <vector>

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
  PinLog::Entry Last() {
    const absl::StatusOr<std::vector<PinLog::Entry>> entries = Log().Read();
    EXPECT_THAT(entries, IsOk());
    return entries.ok() && !entries->empty() ? entries->front() : PinLog::Entry();
  }
  // As often as there could be something to send, and by new workers too.
  void ExpectNothingMoreIsSent(absl::StatusCode code = absl::StatusCode::kFailedPrecondition) {
    const uint64_t before = Calls("C_Login");
    for (int i = 0; i < 4; ++i) {
      if (i == 2) NewWorker();
      EXPECT_THAT(Start().status, StatusIs(code, _));
    }
    EXPECT_EQ(Calls("C_Login"), before);
  }
  void NewWorker() {
    EndModule();
    Begin();
  }
};

TEST_F(UserLoginTest, SendsTheRightPinOnce) {
  ASSERT_THAT(Start().status, IsOk());
  EXPECT_EQ(Calls("C_Login"), 1u);
  EXPECT_EQ(Last().outcome, PinLog::Outcome::kWorked);
  NewWorker();
  ASSERT_THAT(Start().status, IsOk());
  EXPECT_EQ(Calls("C_Login"), 2u);
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
  EXPECT_EQ(Last().outcome, PinLog::Outcome::kWorked);
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

TEST_F(UserLoginTest, SendsAPinWhoseAnswerIsNotKnownOnceMoreAtMost) {
  ASSERT_THAT(Start().status, IsOk());
  PinLog::Entry entry = Last();
  entry.outcome = PinLog::Outcome::kTried;
  entry.unanswered = 1;
  ASSERT_THAT(Log().Write(entry), IsOk());
  Order("pin-count-low");
  NewWorker();
  EXPECT_THAT(Start().status,
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("answer is not known")));
  ExpectNothingMoreIsSent();
  Order("");  // the token counts nothing: it was right, or never arrived
  EXPECT_THAT(Start().status, IsOk());
  EXPECT_EQ(Calls("C_Login"), 2u);
  EXPECT_EQ(Last().unanswered, 0u);

  entry.unanswered = 2;
  entry.worked = {};
  ASSERT_THAT(Log().Write(entry), IsOk());
  NewWorker();
  ExpectNothingMoreIsSent();
  WritePin(kPin);
  EXPECT_THAT(Start().status, IsOk());
}

// As a token in the network that is away answers, or does not, for hours.
TEST_F(UserLoginTest, BelievesAPinThatHasWorkedWhileTheTokenCountsNothing) {
  ASSERT_THAT(Start().status, IsOk());
  PinLog::Entry entry = Last();
  EXPECT_EQ(entry.worked, entry.pin);
  entry.outcome = PinLog::Outcome::kTried;
  entry.unanswered = 20;
  ASSERT_THAT(Log().Write(entry), IsOk());
  Order("C_Login return CKR_DEVICE_ERROR always");
  for (int i = 0; i < 3; ++i) {
    NewWorker();
    const uint64_t before = Calls("C_Login");
    EXPECT_THAT(Start().status, StatusIs(absl::StatusCode::kUnavailable, _));
    EXPECT_LE(Calls("C_Login"), before + UserLogin::kMostUnclear);
  }
  Order("pin-count-low");
  NewWorker();
  ExpectNothingMoreIsSent();
  Order("");
  NewWorker();
  EXPECT_THAT(Start().status, IsOk());
  EXPECT_EQ(Last().unanswered, 0u);
}

TEST_F(UserLoginTest, SendsNothingWhileAnotherProcessLogsIn) {
  ASSERT_THAT(Start().status, IsOk());
  NewWorker();
  const std::string log = Log().path();
  absl::StatusOr<std::unique_ptr<FileLock>> other =
      FileSystem::System().Lock(log.substr(0, log.size() - 4) + ".lock", 0600);
  ASSERT_THAT(other, IsOk());
  WorkerRequest request;
  request.verb = WorkerVerb::kStart;
  EXPECT_THAT(Ask(std::move(request), absl::Milliseconds(300)).status,
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("another process is logging in")));
  EXPECT_EQ(Calls("C_Login"), 1u);
  // It may have sent this very PIN meanwhile, and what it says counts.
  PinLog::Entry entry = Last();
  entry.outcome = PinLog::Outcome::kFailed;
  std::thread answered([&] {
    absl::SleepFor(absl::Milliseconds(200));
    EXPECT_THAT(Log().Write(entry), IsOk());
    other->reset();
  });
  EXPECT_THAT(Start().status,
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("not sent again")));
  answered.join();
  EXPECT_EQ(Calls("C_Login"), 1u);
}

TEST_F(UserLoginTest, SendsNotEvenAKnownPinThatItCantWriteDownBefore) {
  ASSERT_THAT(Start().status, IsOk());
  NewWorker();
  const std::string in_the_way = Log().path() + ".tmp";
  ASSERT_EQ(mkdir(in_the_way.c_str(), 0700), 0);
  ExpectNothingMoreIsSent();
  ASSERT_EQ(rmdir(in_the_way.c_str()), 0);
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

TEST_F(UserLoginTest, TakesRightsAndOwnersForNoNewPin) {
  WritePin("zebra99");
  ASSERT_THAT(Start().status, StatusIs(absl::StatusCode::kFailedPrecondition, _));
  ASSERT_EQ(chmod(made_->pin_file.c_str(), 0400), 0);
  ASSERT_EQ(chown(made_->pin_file.c_str(), geteuid(), getegid()), 0);
  ExpectNothingMoreIsSent();
  EXPECT_EQ(Calls("C_Login"), 1u);
  // But touch(1) is an operator's word that it is right.
  ASSERT_EQ(utimensat(AT_FDCWD, made_->pin_file.c_str(), nullptr, 0), 0);
  EXPECT_THAT(Start().status, StatusIs(absl::StatusCode::kFailedPrecondition, _));
  EXPECT_EQ(Calls("C_Login"), 2u);
}

TEST_F(UserLoginTest, TakesARefusedCredentialForTheSameWhenTheUnitStartsAgain) {
  config_.pin_is_credential = true;
  Begin();
  WritePin("zebra99");
  ASSERT_THAT(Start().status, StatusIs(absl::StatusCode::kFailedPrecondition, _));
  const std::string name = made_->pin_file.substr(made_->pin_file.rfind('/') + 1);
  const PinLog log(FileSystem::System(), config_.pin_log_directory,
                   {.label = made_->label, .serial = made_->serial}, name);
  ASSERT_EQ(unlink(made_->pin_file.c_str()), 0);
  WritePin("zebra999");
  NewWorker();
  EXPECT_THAT(Start().status,
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("remove " + log.path() + " once the credential holds")));
  ExpectNothingMoreIsSent();
  EXPECT_EQ(Calls("C_Login"), 1u);
  WritePin(kPin);
  ASSERT_EQ(unlink(log.path().c_str()), 0);
  EXPECT_THAT(Start().status, IsOk());
}

TEST_F(UserLoginTest, LeavesWhatRootMadeToTheOwnerOfTheStateFolder) {
  if (geteuid() != 0) GTEST_SKIP() << "only root makes files of others";
  const std::string state = directory_.File("state");
  ASSERT_EQ(mkdir(state.c_str(), 0700), 0);
  ASSERT_EQ(chown(state.c_str(), 4711, 4712), 0);
  config_.pin_log_directory = state + "/pins";
  Begin();
  ASSERT_THAT(Start().status, IsOk());
  const absl::StatusOr<std::vector<std::string>> names =
      FileSystem::System().ListDirectory(config_.pin_log_directory);
  ASSERT_THAT(names, IsOk());
  EXPECT_EQ(names->size(), 2u);  // the log and the lock
  for (const std::string& name : *names) {
    const auto info = FileSystem::System().GetInfo(JoinPath(config_.pin_log_directory, name));
    ASSERT_THAT(info, IsOk());
    EXPECT_EQ(info->owner, 4711u) << name;
    EXPECT_EQ(info->group, 4712u) << name;
    EXPECT_EQ(info->mode, 0600u) << name;
  }
  const auto folder = FileSystem::System().GetInfo(config_.pin_log_directory);
  ASSERT_THAT(folder, IsOk());
  EXPECT_EQ(folder->owner, 4711u);
  EXPECT_EQ(folder->group, 4712u);
}

TEST_F(UserLoginTest, TriesAgainWhenTheErrorIsNotAboutThePin) {
  Order("C_Login return CKR_GENERAL_ERROR times 2");
  EXPECT_THAT(Start().status, IsOk());
  EXPECT_EQ(Calls("C_Login"), 3u);
  EXPECT_EQ(Last().unclear, 0u);
  // The session is of no more use: another try needs another one.
  Order("C_Login return CKR_SESSION_HANDLE_INVALID times 3");
  NewWorker();
  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT(Start().status, StatusIs(absl::StatusCode::kUnavailable, _));
    EXPECT_EQ(Last().unanswered, 0u);
  }
  EXPECT_THAT(Start().status, IsOk());
}

TEST_F(UserLoginTest, TakesACodeThatItDoesNotKnowForARefusal) {
  for (const char* const code : {"0x8a000001", "0x7777", "CKR_USER_TYPE_INVALID",
                                 "CKR_PIN_TOO_WEAK", "CKR_DATA_INVALID", "CKR_ARGUMENTS_BAD"}) {
    SCOPED_TRACE(code);
    const uint64_t before = Calls("C_Login");
    WritePin(kPin);
    Order(std::string("C_Login return ") + code);
    NewWorker();
    EXPECT_THAT(Start().status,
                StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("C_Login: ")));
    ExpectNothingMoreIsSent();
    EXPECT_EQ(Calls("C_Login"), before + 1);
  }
}

TEST_F(UserLoginTest, BoundsHowOftenAnUnclearAnswerIsHeard) {
  Order("C_Login return CKR_GENERAL_ERROR always");
  EXPECT_THAT(Start().status,
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("C_Login: CKR_GENERAL")));
  ExpectNothingMoreIsSent();
  EXPECT_EQ(Calls("C_Login"), UserLogin::kMostUnclear);
  // A token that counts low already says nothing new by that.
  WritePin(kPin);
  Order("C_Login return CKR_DEVICE_ERROR always\npin-count-low");
  EXPECT_THAT(Start().status, StatusIs(absl::StatusCode::kFailedPrecondition, _));
  ExpectNothingMoreIsSent();
  EXPECT_EQ(Calls("C_Login"), UserLogin::kMostUnclear + 1);
}

TEST_F(UserLoginTest, TakesATokenThatBeginsToCountForARefusal) {
  for (const char* const code : {"CKR_GENERAL_ERROR", "CKR_SESSION_HANDLE_INVALID"}) {
    SCOPED_TRACE(code);
    ASSERT_THAT(Start().status, IsOk());  // SoftHSM forgets what it has counted
    const uint64_t before = Calls("C_Login");
    WritePin("zebra99");
    Order(std::string("C_Login return-after ") + code + " always");
    NewWorker();
    EXPECT_THAT(Start().status, StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(code)));
    ExpectNothingMoreIsSent();
    EXPECT_EQ(Calls("C_Login"), before + 1);
    Order("");
    WritePin(kPin);
  }
}

}  // namespace
}  // namespace kekd
