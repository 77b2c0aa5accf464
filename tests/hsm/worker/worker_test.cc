// kekd-hsm-worker itself, with a real module in it, started as kekd does.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/monotonic.h"
#include "hsm/token_client.h"
#include "hsm/worker_spawn.h"
#include "tests/hsm/tokens/test_token.h"
#include "tests/support/secrets.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace kekd {
namespace {

using ::testing::_;
using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::IsOk;
using testing::ReadTestFile;
using testing::SecretFromText;
using testing::StatusIs;
using testing::WriteTestFile;

class WorkerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    made_ = testing::MakeTestToken("softhsm2", directory_.path(), "kekd-test", "kekd-test-4711");
    if (!made_.has_value()) GTEST_SKIP() << "NOT INSTALLED: softhsm2";
    const std::string control = directory_.path() + "/control";
    setenv("P11FAULT_CONTROL", control.c_str(), 1);
    Order("");
    WorkerProcess::Options options;
    options.program = KEKD_HSM_WORKER;
    options.config = made_->Config(directory_.path());
    options.config.module_path = KEKD_P11FAULT_PATH;
    client_ = std::make_unique<TokenClient>(std::move(options));
    const absl::StatusOr<KeyReference> made =
        client_->Generate({.selector = {.label = "kek", .id = "1"}}, Soon());
    ASSERT_THAT(made, IsOk());
    key_ = *made;
  }
  static absl::Time Soon() { return absl::Now() + absl::Seconds(10); }

  void Order(const std::string& line) {
    const std::string control = directory_.path() + "/control";
    WriteTestFile(control + ".new",
                  absl::StrCat("module ", made_->module, "\n", line, " # ", ++orders_, "\n"));
    ASSERT_EQ(rename((control + ".new").c_str(), control.c_str()), 0);
  }
  absl::Status Encrypt() {
    return client_->Encrypt(key_, SecretFromText("text"), AsBytes("data"), Soon()).status();
  }
  // A worker may need to be started anew before it works again.
  void ExpectGoodSoon(const std::string& what) {
    const absl::Time end = Soon();
    absl::Status status = Encrypt();
    while (!status.ok() && absl::Now() < end) {
      absl::SleepFor(absl::Milliseconds(10));
      status = Encrypt();
    }
    EXPECT_THAT(status, IsOk()) << what;
  }

  testing::TempDirectory directory_;
  std::optional<testing::TestToken> made_;
  std::unique_ptr<TokenClient> client_;
  KeyReference key_;
  int orders_ = 0;
};

TEST_F(WorkerTest, WorksAndHidesWhatIsInIt) {
  EXPECT_THAT(Encrypt(), IsOk());
  const std::string proc = absl::StrCat("/proc/", client_->GetStats().pid);
  EXPECT_THAT(ReadTestFile(proc + "/status"),
              AllOf(HasSubstr("NoNewPrivs:\t1"), HasSubstr("Seccomp:\t2")));
  EXPECT_THAT(ReadTestFile(proc + "/limits"), ::testing::ContainsRegex("Max core file size +0 +0"));
  EXPECT_EQ(ReadTestFile(proc + "/cmdline").find("4711"), std::string::npos);
}

TEST_F(WorkerTest, AModuleThatCrashesEndsOrHangsIsReplaced) {
  for (const char* const fault : {"crash", "abort", "exit 0", "exit 1", "hang"}) {
    const uint64_t starts = client_->GetStats().starts;
    Order(absl::StrCat("C_EncryptInit ", fault, " as f", orders_, " in-all"));
    ExpectGoodSoon(fault);
    EXPECT_GT(client_->GetStats().starts, starts) << fault;
  }
}

// A key that takes long to make holds up nobody: each call has a session and a thread of its own.
TEST_F(WorkerTest, ServesOtherCallsWhileAKeyIsMade) {
  Order("C_GenerateKey delay 2000000");
  absl::Time made_at = absl::InfiniteFuture();
  std::thread maker([&] {
    EXPECT_THAT(client_->Generate({.selector = {.label = "slow", .id = "2"}}, Soon()), IsOk());
    made_at = absl::Now();
  });
  absl::SleepFor(absl::Milliseconds(300));
  absl::Duration longest;
  absl::Time last;
  for (int i = 0; i < 100; ++i) {
    const absl::Time begun = absl::Now();
    EXPECT_THAT(Encrypt(), IsOk());
    last = absl::Now();
    longest = std::max(longest, last - begun);
    absl::SleepFor(absl::Milliseconds(10));
  }
  maker.join();
  EXPECT_LT(last, made_at);
  EXPECT_LT(longest, absl::Milliseconds(700)) << "of a second and a half";
}

TEST_F(WorkerTest, AnErrorThatOnlyAnotherProcessGetsRidOfLeadsToOne) {
  absl::SleepFor(absl::Milliseconds(1100));  // a younger worker would not be given up
  const uint64_t starts = client_->GetStats().starts;
  Order("C_EncryptInit return CKR_DEVICE_ERROR always");
  EXPECT_THAT(Encrypt(), StatusIs(absl::StatusCode::kUnavailable, _));
  Order("");
  ExpectGoodSoon("after");
  EXPECT_GT(client_->GetStats().starts, starts);
}

TEST_F(WorkerTest, EndsWithItsSocketsEvenWhileTheModuleHangs) {
  Order("C_GetSlotList hang always");
  absl::StatusOr<SpawnedWorker> worker = SpawnWorker(KEKD_HSM_WORKER, 2);
  ASSERT_THAT(worker, IsOk());
  WorkerRequest start;
  start.verb = WorkerVerb::kStart;
  start.timeout = absl::Seconds(1);
  start.config = made_->Config(directory_.path());
  start.config.module_path = KEKD_P11FAULT_PATH;
  ASSERT_THAT(SendFrame(worker->channels[0].get(), Encode(start), MonotonicDeadline(Soon())),
              IsOk());
  absl::SleepFor(absl::Milliseconds(200));
  worker->channels.clear();
  const absl::Time end = Soon();
  int status = 0;
  pid_t ended = 0;
  while ((ended = waitpid(worker->pid, &status, WNOHANG)) == 0 && absl::Now() < end) {
    absl::SleepFor(absl::Milliseconds(5));
  }
  EXPECT_EQ(ended, worker->pid);
  EXPECT_TRUE(WIFEXITED(status));
  if (ended == 0) {
    kill(worker->pid, SIGKILL);
    waitpid(worker->pid, &status, 0);
  }
}

TEST_F(WorkerTest, SaysThatKekdIsOfAnotherRelease) {
  ::testing::internal::CaptureStderr();
  const absl::StatusOr<SpawnedWorker> worker = SpawnWorker(KEKD_HSM_WORKER, 1);
  ASSERT_THAT(worker, IsOk());
  WorkerRequest start;
  start.verb = WorkerVerb::kStart;
  start.config = made_->Config(directory_.path());
  WorkerFrame frame = Encode(start);
  frame.fields[0] = static_cast<char>(frame.fields[0] ^ 0x40);  // where the version is
  ASSERT_THAT(SendFrame(worker->channels[0].get(), frame, Soon()), IsOk());
  EXPECT_THAT(ReceiveFrame(worker->channels[0].get(), Soon()).status(),
              StatusIs(absl::StatusCode::kUnavailable, _));
  kill(worker->pid, SIGKILL);
  EXPECT_EQ(waitpid(worker->pid, nullptr, 0), worker->pid);
  EXPECT_THAT(::testing::internal::GetCapturedStderr(),
              HasSubstr("kekd-hsm-worker: kekd speaks version"));
}

TEST_F(WorkerTest, SaysWhatItIsToWhoStartsItByHand) {
  FILE* const pipe = popen("'" KEKD_HSM_WORKER "' 2>&1", "r");
  ASSERT_NE(pipe, nullptr);
  char text[4096] = "";
  const size_t size = fread(text, 1, sizeof(text) - 1, pipe);
  EXPECT_EQ(WEXITSTATUS(pclose(pipe)), 2);
  EXPECT_THAT(std::string(text, size), HasSubstr("kekd starts this program by itself"));
}

}  // namespace
}  // namespace kekd
