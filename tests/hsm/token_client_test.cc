#include "hsm/token_client.h"

#include <dirent.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <set>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/monotonic.h"
#include "base/status_macros.h"
#include "hsm/worker_spawn.h"
#include "tests/hsm/fake_token.h"
#include "tests/support/secrets.h"
#include "tests/support/status_matchers.h"

namespace kekd::testing {
namespace {

using ::testing::AnyOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// Long enough for a loaded machine; that something ended by itself is what is meant.
constexpr absl::Duration kNotHung = absl::Seconds(15);

size_t OpenDescriptors() {
  size_t open = 0;
  DIR* folder = ::opendir("/proc/self/fd");
  while (::readdir(folder) != nullptr) ++open;
  ::closedir(folder);
  return open;
}

// Running, not only still in the table of processes.
bool IsRunning(pid_t pid) {
  std::ifstream stat(absl::StrCat("/proc/", pid, "/stat"));
  std::string number, name, state;
  return (stat >> number >> name >> state) && state != "Z" && state != "X";
}

class TokenClientTest : public ::testing::Test {
 protected:
  TokenClientTest() : client_(token_.Options()) {}

  absl::StatusOr<std::string> Encrypt(absl::string_view label,
                                      absl::Time deadline = FakeToken::Later()) {
    return FakeToken::Encrypt(client_, label, deadline);
  }
  void ExpectWorks(TokenClient& client) {
    KEKD_ASSERT_OK_AND_ASSIGN(const std::string sealed, FakeToken::Encrypt(client, ""));
    KEKD_ASSERT_OK_AND_ASSIGN(const SecretBytes opened,
                              client.Decrypt(FakeToken::Key(""), AsBytes(sealed),
                                             AsBytes("associated data"), FakeToken::Later()));
    EXPECT_EQ(RevealedText(opened), "plaintext");
  }

  const FakeToken token_;
  TokenClient client_;
};

TEST_F(TokenClientTest, StartsNothingBeforeTheFirstCall) {
  EXPECT_EQ(client_.GetStats().starts, 0u);
  ExpectWorks(client_);
  ExpectWorks(client_);
  EXPECT_EQ(client_.GetStats().starts, 1u);
  EXPECT_GT(client_.GetStats().pid, 0);
}

TEST_F(TokenClientTest, CarriesEveryVerb) {
  const absl::Time later = FakeToken::Later();
  KEKD_EXPECT_OK(client_.Probe(later));
  KEKD_EXPECT_OK(client_.Probe(FakeToken::Key("a"), later));
  KEKD_EXPECT_OK(client_.Destroy(FakeToken::Key("a"), later));
  KEKD_EXPECT_OK(client_.List(later));
  KEKD_EXPECT_OK(client_.Measure(FakeToken::Key("a"), 1, later));
  KEKD_ASSERT_OK_AND_ASSIGN(const KeyReference made,
                            client_.Generate({.selector = {"new", "id"}}, later));
  EXPECT_EQ(made.key, (KeySelector{"new", "id"}));
  KEKD_ASSERT_OK_AND_ASSIGN(const KeyReference adopted,
                            client_.Adopt({.selector = {"old", ""}}, later));
  EXPECT_EQ(adopted.key.label, "old");
  KEKD_ASSERT_OK_AND_ASSIGN(const TokenDescription token, client_.Describe(later));
  EXPECT_EQ(token.token.label, "fake");
}

// Each is broken twice, by the call and by its repetition.
TEST_F(TokenClientTest, OutlivesEveryKindOfBreakdown) {
  const struct {
    const char* fault;
    const char* end;
  } kFaults[] = {{"crash", "signal 11 (SIGSEGV)"},
                 {"exit", "it ended with code 0"},
                 {"hang", "encrypt was not answered within 1s"},
                 {"garbage", "its answer to encrypt is none"},
                 {"half", "its answer to encrypt is none"},
                 {"flood", "its answer to encrypt is none"},
                 {"close", "it closed a channel"},
                 {"restart", "it asked for another"}};
  for (const auto& test : kFaults) {
    ExpectWorks(client_);
    const uint64_t starts = client_.GetStats().starts;
    const absl::Time before = absl::Now();
    EXPECT_THAT(Encrypt(test.fault), StatusIs(absl::StatusCode::kUnavailable)) << test.fault;
    EXPECT_LT(absl::Now() - before, kNotHung) << test.fault;
    ExpectWorks(client_);
    EXPECT_EQ(client_.GetStats().starts, starts + 2) << test.fault;
    EXPECT_THAT(client_.GetStats().last_end, HasSubstr(test.end)) << test.fault;
  }
}

TEST_F(TokenClientTest, RepeatsACallThatTheWorkerBroke) {
  for (const char* fault : {"crash-once", "exit-once", "hang-once", "garbage-once", "half-once",
                            "flood-once", "close-once", "restart-once"}) {
    KEKD_EXPECT_OK(Encrypt(fault)) << fault;
  }
  EXPECT_EQ(client_.GetStats().starts, 9u);
}

TEST_F(TokenClientTest, NeverRepeatsAGenerateThatMayHaveHappened) {
  ExpectWorks(client_);
  EXPECT_THAT(client_.Generate({.selector = {"crash-once", "id"}}, FakeToken::Later()),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(client_.GetStats().starts, 1u);
  KEKD_EXPECT_OK(client_.Generate({.selector = {"crash-once", "id"}}, FakeToken::Later()));
}

TEST_F(TokenClientTest, WhatTheTokenSaysIsNoReasonForAnotherWorker) {
  EXPECT_THAT(Encrypt("away"), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(Encrypt("away"), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(client_.Decrypt(FakeToken::Key(""), AsBytes("short"), {}, FakeToken::Later()),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(client_.GetStats().starts, 1u);
  TokenClient away(token_.Options("away"));
  ExpectWorks(away);
  EXPECT_EQ(away.GetStats().starts, 1u);
}

TEST_F(TokenClientTest, WhatIsPrintedToStdoutStaysOutOfTheProtocolAndOfOurs) {
  ::testing::internal::CaptureStdout();
  KEKD_EXPECT_OK(Encrypt("print"));
  EXPECT_EQ(::testing::internal::GetCapturedStdout(), "");
  EXPECT_EQ(client_.GetStats().starts, 1u);
}

// The answer that comes later must not be taken for that of the next call.
TEST_F(TokenClientTest, AShortDeadlineEndsTheWaitAndNotTheWorker) {
  WorkerProcess::Options options = token_.Options();
  options.channels = 1;
  options.call_timeout = absl::Seconds(20);
  TokenClient client(options);
  ExpectWorks(client);
  EXPECT_THAT(FakeToken::Encrypt(client, "late", FakeToken::In(absl::Milliseconds(20))),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_THAT(FakeToken::Encrypt(client, "", FakeToken::In(absl::Milliseconds(1))),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
  KEKD_ASSERT_OK_AND_ASSIGN(
      const SecretBytes opened,
      client.Decrypt(FakeToken::Key(""),
                     AsBytes(std::string(12, 'n') + "\x3b" + std::string(16, 't')), {},
                     FakeToken::Later()));
  EXPECT_EQ(RevealedText(opened), "a");
  EXPECT_EQ(client.GetStats().starts, 1u);
}

TEST_F(TokenClientTest, ACallThatHangsBehindAShortDeadlineIsCutByTheNextOne) {
  WorkerProcess::Options options = token_.Options();
  options.channels = 1;
  TokenClient client(options);
  ExpectWorks(client);
  EXPECT_THAT(FakeToken::Encrypt(client, "hang", FakeToken::In(absl::Milliseconds(20))),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
  ExpectWorks(client);
  EXPECT_EQ(client.GetStats().starts, 2u);
  EXPECT_THAT(client.GetStats().last_end, HasSubstr("encrypt hung"));
}

TEST_F(TokenClientTest, DoesNotBelieveAnAnswerThatItDidNotAskFor) {
  WorkerProcess::Options options = token_.Options();
  options.channels = 1;
  TokenClient client(options);
  // kProbe's answers are all alike, so that the first of two is a good one.
  KEKD_EXPECT_OK(client.Probe(FakeToken::Key("twice"), FakeToken::Later()));
  KEKD_ASSERT_OK_AND_ASSIGN(const TokenDescription token, client.Describe(FakeToken::Later()));
  EXPECT_EQ(token.token.label, "fake");
  EXPECT_EQ(client.GetStats().starts, 2u);
}

TEST_F(TokenClientTest, SpacesStartsThatFail) {
  for (const char* fault : {"crash", "exit", "garbage", "restart"}) {
    TokenClient client(token_.Options(fault));
    const absl::Time before = absl::Now();
    do {
      EXPECT_THAT(FakeToken::Encrypt(client, ""), StatusIs(absl::StatusCode::kUnavailable));
    } while (absl::Now() < before + absl::Milliseconds(400));
    // At 0, 0, 50, 150, 350, 750 ms after one another, whatever a start takes.
    EXPECT_LE(client.GetStats().starts, 6u) << fault;
    EXPECT_GE(client.GetStats().starts, 1u) << fault;
  }
}

TEST_F(TokenClientTest, AProgramThatIsNotThereIsAnError) {
  WorkerProcess::Options options = token_.Options();
  options.program = "/nonexistent/kekd-hsm-worker";
  TokenClient client(options);
  EXPECT_THAT(FakeToken::Encrypt(client, ""), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(std::string(FakeToken::Encrypt(client, "").status().message()),
              HasSubstr("/nonexistent/kekd-hsm-worker"));
}

TEST_F(TokenClientTest, AProgramThatIsNotNamedIsLookedForAtEachStart) {
  WorkerProcess::Options options = token_.Options();
  options.program.clear();
  const absl::StatusOr<std::string> found = FindWorkerProgram();
  TokenClient client(options);
  const absl::Status status = FakeToken::Encrypt(client, "").status();
  EXPECT_FALSE(status.ok());  // the real one has no module here
  if (found.ok()) {
    EXPECT_EQ(client.starts(), 1u);
  } else {
    EXPECT_EQ(status, absl::UnavailableError(found.status().message()));
  }
}

TEST_F(TokenClientTest, WhatAModuleHasStartedEndsWithItsWorker) {
  for (const bool killed_by_kekd : {true, false}) {
    SCOPED_TRACE(killed_by_kekd);
    const FakeToken token;
    TokenClient client(token.Options());
    KEKD_ASSERT_OK(FakeToken::Encrypt(client, "child"));
    pid_t child = 0;
    DIR* folder = ::opendir(token.folder().c_str());
    while (const dirent* entry = ::readdir(folder)) {
      const absl::string_view name = entry->d_name;
      if (absl::StartsWith(name, "child-")) {
        ASSERT_TRUE(absl::SimpleAtoi(name.substr(6), &child));
      }
    }
    ::closedir(folder);
    ASSERT_GT(child, 0);
    EXPECT_TRUE(IsRunning(child));
    EXPECT_FALSE(FakeToken::Encrypt(client, killed_by_kekd ? "garbage" : "crash").ok());
    const absl::Time end = absl::Now() + kNotHung;
    while (IsRunning(child) && absl::Now() < end) absl::SleepFor(absl::Milliseconds(5));
    EXPECT_FALSE(IsRunning(child));
  }
}

TEST_F(TokenClientTest, DoesNotFillTheLogWithAWorkerThatDoesNotStart) {
  TokenClient client(token_.Options("exit"));
  ::testing::internal::CaptureStderr();
  while (client.starts() < 4) EXPECT_FALSE(FakeToken::Encrypt(client, "").ok());
  const std::string log = ::testing::internal::GetCapturedStderr();
  const size_t first = log.find("warning HSM worker did not start");
  ASSERT_NE(first, std::string::npos);
  EXPECT_EQ(log.find("warning HSM worker did not start", first + 1), std::string::npos) << log;
}

TEST_F(TokenClientTest, AStartGoesOnBehindADeadlineThatIsShorter) {
  TokenClient client(token_.Options("slow"));
  EXPECT_THAT(FakeToken::Encrypt(client, "", FakeToken::In(absl::Milliseconds(50))),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
  ExpectWorks(client);
  EXPECT_EQ(client.GetStats().starts, 1u);
}

TEST_F(TokenClientTest, AStartThatHangsIsCut) {
  WorkerProcess::Options options = token_.Options("hang");
  options.start_timeout = absl::Milliseconds(200);
  options.call_timeout = absl::Milliseconds(200);
  TokenClient client(options);
  const absl::Time before = absl::Now();
  EXPECT_THAT(FakeToken::Encrypt(client, ""), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_LT(absl::Now() - before, kNotHung);
  // Ending it while it starts takes no longer either.
  TokenClient ended(token_.Options("hang"));
  EXPECT_FALSE(FakeToken::Encrypt(ended, "", FakeToken::In(absl::Milliseconds(20))).ok());
}

TEST_F(TokenClientTest, GivesTheWorkerItsChannelsAndNothingElse) {
  const int inherited = ::open("/dev/null", O_RDONLY);  // without close-on-exec
  ASSERT_EQ(::setenv("KEKD_TEST_VENDOR_CONFIG", "/etc/vendor.conf", 1), 0);
  ASSERT_EQ(::setenv("KEKD_TEST_SECRET", "hunter2", 1), 0);
  ASSERT_EQ(::setenv("NOTIFY_SOCKET", "/run/systemd/notify", 1), 0);
  TokenClient client(token_.Options());
  KEKD_ASSERT_OK_AND_ASSIGN(const TokenDescription token, client.Describe(FakeToken::Later()));
  ::unsetenv("NOTIFY_SOCKET");
  ::unsetenv("KEKD_TEST_SECRET");
  ::close(inherited);
  std::set<std::string> descriptors;
  for (const std::string& line : token.mechanisms) {
    if (line.substr(0, 3) == "fd ") descriptors.insert(line);
  }
  EXPECT_EQ(descriptors,
            (std::set<std::string>{"fd 0", "fd 1", "fd 2", "fd 3", "fd 4", "fd 5", "fd 6"}));
  EXPECT_THAT(token.mechanisms, Contains("KEKD_TEST_VENDOR_CONFIG=/etc/vendor.conf"));
  EXPECT_THAT(token.mechanisms, Not(Contains(HasSubstr("hunter2"))));
  EXPECT_THAT(token.mechanisms, Not(Contains(StartsWith("NOTIFY_SOCKET"))));
}

TEST(IsForWorkerTest, TellsModulesSettingsFromSecrets) {
  for (const char* kept : {"SOFTHSM2_CONF=/a", "ChrystokiConfigurationPath=/etc", "PATH=/bin",
                           "CKNFAST_LOADSHARING=1", "TPM2_PKCS11_STORE=/a", "LANG=C"}) {
    EXPECT_TRUE(IsForWorker(kept)) << kept;
  }
  for (const char* dropped : {"VAULT_TOKEN=a", "AWS_SECRET_ACCESS_KEY=a", "Db_Password=a",
                              "HSM_PIN=1", "LISTEN_FDS=2", "NOTIFY_SOCKET=/a", "WATCHDOG_USEC=1",
                              "CREDENTIALS_DIRECTORY=/run/credentials", "A_PASSPHRASE=a"}) {
    EXPECT_FALSE(IsForWorker(dropped)) << dropped;
  }
}

TEST_F(TokenClientTest, LeavesNoProcessAndNoDescriptorBehind) {
  ExpectWorks(client_);
  const size_t open = OpenDescriptors();
  {
    TokenClient client(token_.Options());
    for (int i = 0; i < 200; ++i) {
      KEKD_ASSERT_OK(FakeToken::Encrypt(client, absl::StrCat("exit-once"))) << i;
      ASSERT_EQ(::kill(client.GetStats().pid, SIGKILL), 0);
    }
    EXPECT_GE(client.GetStats().starts, 200u);
  }
  EXPECT_EQ(OpenDescriptors(), open);
  // All that is left is the first client's worker.
  const pid_t living = client_.GetStats().pid;
  ASSERT_EQ(::kill(living, 0), 0);
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), 0);
  ::kill(living, SIGKILL);
  ExpectWorks(client_);
}

// Some calls break the worker that the others are using.
TEST_F(TokenClientTest, ServesSixteenThreadsWhateverTheyDoToEachOther) {
  std::atomic<int> good = 0;
  std::vector<std::jthread> threads;
  for (int t = 0; t < 16; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 40; ++i) {
        const bool breaks = t < 3 && i % 10 == 5;
        const char* fault = t == 0 ? "crash" : t == 1 ? "restart" : "garbage";
        const absl::StatusOr<std::string> sealed = Encrypt(breaks ? fault : "");
        if (sealed.ok()) ++good;
        if (!sealed.ok()) {
          EXPECT_THAT(sealed, StatusIs(absl::StatusCode::kUnavailable));
        }
      }
    });
  }
  threads.clear();
  EXPECT_GT(good, 16 * 40 / 2);
  ExpectWorks(client_);
}

absl::StatusOr<std::shared_ptr<WorkerProcess>> StartWorker(const WorkerProcess::Options& options) {
  KEKD_ASSIGN_OR_RETURN(std::shared_ptr<WorkerProcess> worker, WorkerProcess::Spawn(options));
  KEKD_RETURN_IF_ERROR(worker->Configure(options, MonotonicDeadline(FakeToken::Later())));
  return worker;
}

TEST(WorkerProcessTest, SaysWhyItEnded) {
  const FakeToken token;
  KEKD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<WorkerProcess> worker,
                            StartWorker(token.Options()));
  KEKD_EXPECT_OK(worker->start_status());
  EXPECT_EQ(worker->token().token.label, "fake");
  EXPECT_TRUE(worker->alive());
  EXPECT_EQ(worker->end(), "");
  worker->Kill("because");
  worker->Kill("another reason");
  EXPECT_FALSE(worker->alive());
  EXPECT_EQ(worker->end(), "because");
  WorkerRequest request;
  EXPECT_THAT(worker->Call(request, MonotonicDeadline(FakeToken::Later())),
              StatusIs(absl::StatusCode::kUnavailable));
}

TEST(WorkerProcessTest, LivesOnWithoutItsToken) {
  const FakeToken token;
  KEKD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<WorkerProcess> worker,
                            StartWorker(token.Options("away")));
  EXPECT_THAT(worker->start_status(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_TRUE(worker->alive());
}

TEST(WorkerProcessTest, RefusesImpossibleChannels) {
  const FakeToken token;
  for (const uint32_t channels : {0u, kMaxChannels + 1}) {
    WorkerProcess::Options options = token.Options();
    options.channels = channels;
    EXPECT_THAT(WorkerProcess::Spawn(options), StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

TEST(FindWorkerProgramTest, LooksBesideTheProgramOnly) {
  const absl::StatusOr<std::string> found = FindWorkerProgram();
  if (found.ok()) {
    EXPECT_THAT(*found, AnyOf(HasSubstr("/bin/kekd-hsm-worker"), HasSubstr("/libexec/kekd/")));
  } else {
    EXPECT_THAT(found, StatusIs(absl::StatusCode::kNotFound));
    EXPECT_THAT(std::string(found.status().message()), HasSubstr("/libexec/kekd/"));
  }
}

}  // namespace
}  // namespace kekd::testing
