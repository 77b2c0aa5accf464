// Several tokens as one. Each is a fake worker with a folder of its own.
#include "hsm/token_group.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "hsm/pkcs11_key_backend.h"
#include "tests/hsm/fake_token.h"
#include "tests/support/secrets.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace kekd::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using State = KeyPlace::State;

class TokenGroupTest : public ::testing::Test {
 protected:
  static constexpr const char* kNames[] = {"first", "second", "third"};

  // `count` tokens, none of which was started.
  void Make(size_t count) {
    for (size_t i = 0; i < count; ++i) {
      tokens_.push_back(std::make_unique<FakeToken>());
      WorkerProcess::Options options = tokens_[i]->Options();
      options.config.token.label = kNames[i];
      options.call_timeout = absl::Seconds(2);
      clients_.push_back(std::make_shared<TokenClient>(options));
    }
    group_ = std::make_shared<TokenGroup>(clients_);
    backend_ = CreatePkcs11KeyBackend(group_, "", RandomSource::System());
  }
  void MakeKey() {
    KEKD_ASSERT_OK_AND_ASSIGN(material_, backend_->GenerateKey(Spec(), FakeToken::Later()));
    Open();
  }
  void Open() {
    key_ = nullptr;
    KEKD_ASSERT_OK_AND_ASSIGN(key_, backend_->OpenKey(Spec(), material_, FakeToken::Later()));
  }
  // As a keyring does after it has opened a key.
  absl::Status CheckCanary() { return Decrypt(canary_).status(); }
  void MakeCanary() {
    KEKD_ASSERT_OK_AND_ASSIGN(canary_, Encrypt());
    KEKD_ASSERT_OK(CheckCanary());
  }
  void MakeProvedKey() {
    MakeKey();
    MakeCanary();
    KEKD_ASSERT_OK(key_->ProveEverywhere(FakeToken::Later()));
  }

  absl::StatusOr<std::string> Encrypt(absl::Duration time = absl::Seconds(3)) const {
    return key_->Encrypt(SecretFromText("seed"), AsBytes("aad"), FakeToken::In(time));
  }
  absl::StatusOr<SecretBytes> Decrypt(const std::string& sealed,
                                      absl::Duration time = absl::Seconds(3)) const {
    return key_->Decrypt(AsBytes(sealed), AsBytes("aad"), FakeToken::In(time));
  }
  // From now on, whatever is asked.
  void Break(size_t token, absl::string_view fault) {
    const std::string file = tokens_[token]->folder() + "/fault";
    WriteTestFile(file + ".new", fault);
    std::filesystem::rename(file + ".new", file);
  }
  void Mend(size_t token) { std::filesystem::remove(tokens_[token]->folder() + "/fault"); }
  void GiveOtherKeys(size_t token) { WriteTestFile(tokens_[token]->folder() + "/other-keys", ""); }
  void KillWorker(size_t token) { ASSERT_EQ(::kill(clients_[token]->GetStats().pid, SIGKILL), 0); }
  bool AwaitState(size_t token, State state, absl::Duration time = absl::Seconds(10)) {
    const absl::Time until = absl::Now() + time;
    while (group_->Places()[token].state != state) {
      if (absl::Now() > until) return false;
      absl::SleepFor(absl::Milliseconds(5));
    }
    return true;
  }
  static size_t Threads() {
    size_t count = 0;
    for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
      static_cast<void>(task);
      ++count;
    }
    return count;
  }

  static KeySpec Spec() {
    KeySpec spec;
    spec.ring.name = "prod";
    spec.version = 3;
    return spec;
  }

  std::vector<std::unique_ptr<FakeToken>> tokens_;
  std::vector<std::shared_ptr<TokenClient>> clients_;
  std::shared_ptr<TokenGroup> group_;
  std::unique_ptr<KeyBackend> backend_;
  KeyMaterial material_;
  std::shared_ptr<const BackendKey> key_;
  std::string canary_;
};

TEST_F(TokenGroupTest, TellsOfATokenOnlyWhatItHasHeard) {
  Make(2);
  const KeyPlace before = group_->Places()[0];
  EXPECT_EQ(before.state, State::kNotAsked);
  EXPECT_EQ(ToString(before.state), "not asked yet");
  EXPECT_EQ(before.problem, "");
  MakeKey();
  MakeCanary();
  EXPECT_EQ(group_->Places()[0].state, State::kUp);
  EXPECT_GE(group_->Places()[0].since, before.since);
  EXPECT_EQ(group_->Places()[1].state, State::kNotAsked);
  Break(1, "away");
  EXPECT_FALSE(key_->ProveEverywhere(FakeToken::Later()).ok());
  EXPECT_EQ(group_->Places()[1].state, State::kDown);
  Mend(1);
  EXPECT_TRUE(AwaitState(1, State::kUp));
}

TEST_F(TokenGroupTest, OfOneHandsTheCallOnAndKeepsNoBooks) {
  Make(1);
  const absl::Time deadline = FakeToken::In(absl::Seconds(3));
  int asked = 0;
  EXPECT_THAT(group_->Run(
                  FakeToken::Key(""), deadline,
                  [](size_t) {
                    ADD_FAILURE() << "there is nothing to choose from";
                    return false;
                  },
                  [&](size_t index, absl::Time until) {
                    ++asked;
                    EXPECT_EQ(index, 0u);
                    EXPECT_EQ(until, deadline);
                    return TokenGroup::Judge(absl::UnavailableError("gone"));
                  }),
              StatusIs(absl::StatusCode::kUnavailable, "gone"));
  EXPECT_EQ(asked, 1);
  EXPECT_TRUE(group_->Places().empty());

  MakeKey();
  MakeCanary();
  const size_t threads = Threads();
  Break(0, "away");
  EXPECT_THAT(Encrypt(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(Threads(), threads);
}

TEST_F(TokenGroupTest, GoesToTheNextWithinTheCallAndComesBackByItself) {
  for (const char* fault : {"away", "crash", "exit", "hang", "restart", "garbage"}) {
    tokens_.clear();
    clients_.clear();
    Make(2);
    MakeProvedKey();
    KEKD_ASSERT_OK_AND_ASSIGN(const std::string sealed, Encrypt());
    const uint64_t before = clients_[1]->starts();
    Break(0, fault);
    const absl::Time begun = absl::Now();
    KEKD_EXPECT_OK(Decrypt(sealed)) << fault;
    EXPECT_LT(absl::Now() - begun, absl::Seconds(2)) << fault;
    EXPECT_EQ(group_->Places()[0].state, State::kDown) << fault;
    EXPECT_NE(group_->Places()[0].problem, "");
    EXPECT_EQ(group_->Places()[1].state, State::kUp);
    // From now on it costs nothing.
    const absl::Time again = absl::Now();
    for (int i = 0; i < 5; ++i) KEKD_EXPECT_OK(Encrypt()) << fault;
    EXPECT_LT(absl::Now() - again, absl::Milliseconds(200)) << fault;
    EXPECT_EQ(clients_[1]->starts(), before);

    Mend(0);
    EXPECT_TRUE(AwaitState(0, State::kUp)) << fault;
    Break(1, "away");
    KEKD_EXPECT_OK(Encrypt()) << fault;
    // Nobody has missed the second.
    EXPECT_EQ(group_->Places()[1].state, State::kUp) << fault;
    key_ = nullptr;
    backend_ = nullptr;
    group_ = nullptr;
  }
}

TEST_F(TokenGroupTest, ProbesInAThreadOnlyWhileATokenIsDown) {
  Make(2);
  MakeProvedKey();
  const size_t threads = Threads();
  Break(0, "away");
  KEKD_ASSERT_OK(Encrypt());
  EXPECT_EQ(Threads(), threads + 1);
  Mend(0);
  ASSERT_TRUE(AwaitState(0, State::kUp));
  const absl::Time until = absl::Now() + absl::Seconds(5);
  while (Threads() > threads && absl::Now() < until) absl::SleepFor(absl::Milliseconds(5));
  EXPECT_EQ(Threads(), threads);
}

TEST_F(TokenGroupTest, LeavesTheOnlyOneThatWorksTheTimeItNeeds) {
  Make(2);
  MakeProvedKey();
  Break(1, "away");
  EXPECT_THAT(key_->ProveEverywhere(FakeToken::Later()),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("second")));
  ASSERT_EQ(group_->Places()[1].state, State::kDown);
  // Slow for a second, where a call would turn to another after a quarter of one.
  Break(0, "slow");
  KEKD_EXPECT_OK(Encrypt());
}

TEST_F(TokenGroupTest, AProofDoesNotWaitForATokenThatIsKnownToBeDown) {
  Make(2);
  MakeProvedKey();
  Break(1, "hang");
  EXPECT_THAT(key_->ProveEverywhere(FakeToken::In(absl::Milliseconds(600))),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("second")));
  ASSERT_EQ(group_->Places()[1].state, State::kDown);
  const absl::Time begun = absl::Now();
  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT(key_->ProveEverywhere(FakeToken::In(absl::Milliseconds(600))),
                StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("it is down: ")));
  }
  EXPECT_LT(absl::Now() - begun, absl::Milliseconds(500));
  Mend(1);
  ASSERT_TRUE(AwaitState(1, State::kUp));
  KEKD_EXPECT_OK(key_->ProveEverywhere(FakeToken::Later()));
}

TEST_F(TokenGroupTest, TakesTwoNamesOfOneTokenForNoSecondPlace) {
  Make(3);
  for (const size_t i : {0, 2}) WriteTestFile(tokens_[i]->folder() + "/serial", "0a1b");
  MakeKey();
  MakeCanary();
  EXPECT_THAT(key_->ProveEverywhere(FakeToken::Later()),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("(token third: it is the same token as first)"))));
  // Serials that say nothing are no reason.
  for (const size_t i : {0, 2}) {
    WriteTestFile(tokens_[i]->folder() + "/serial", "0000");
    KillWorker(i);
  }
  KEKD_EXPECT_OK(key_->ProveEverywhere(FakeToken::Later()));
}

// The fake's is always the same.
TEST_F(TokenGroupTest, LetsNoNonceOutTwiceWhicheverTokenMadeIt) {
  Make(2);
  MakeKey();
  KEKD_ASSERT_OK_AND_ASSIGN(KeyReference reference, KeyReference::Parse(material_.key_reference));
  for (const KeyMechanism mechanism : {KeyMechanism::kGcmTokenIv, KeyMechanism::kGcmMessage}) {
    reference.mechanism = mechanism;
    reference.mechanism_reason = "CKR_MECHANISM_PARAM_INVALID";
    material_.key_reference = reference.ToString();
    Open();
    MakeCanary();
    Break(0, "away");
    EXPECT_THAT(Encrypt(), StatusIs(absl::StatusCode::kUnavailable,
                                    HasSubstr("second: the token repeats its initialisation")));
    Mend(0);
    ASSERT_TRUE(AwaitState(0, State::kUp));
    ASSERT_TRUE(AwaitState(1, State::kUp));
  }
}

TEST_F(TokenGroupTest, LosesNoCallUnderLoad) {
  for (const char* fault : {"away", "crash", "hang"}) {
    tokens_.clear();
    clients_.clear();
    Make(2);
    MakeProvedKey();
    std::atomic<bool> stop = false;
    std::atomic<int> good = 0, bad = 0;
    std::vector<std::thread> callers;
    for (int i = 0; i < 4; ++i) {
      callers.emplace_back([&] {
        while (!stop) {
          const absl::StatusOr<std::string> sealed = Encrypt();
          const bool ok = sealed.ok() && Decrypt(*sealed).ok();
          EXPECT_TRUE(ok) << fault << ": " << sealed.status();
          ++(ok ? good : bad);
        }
      });
    }
    for (int round = 0; round < 2; ++round) {
      absl::SleepFor(absl::Milliseconds(200));
      Break(0, fault);
      EXPECT_TRUE(AwaitState(0, State::kDown));
      const int before = good;
      absl::SleepFor(absl::Milliseconds(100));
      EXPECT_GT(good, before) << fault;
      Mend(0);
      EXPECT_TRUE(AwaitState(0, State::kUp, absl::Seconds(20))) << fault;
    }
    stop = true;
    for (std::thread& caller : callers) caller.join();
    EXPECT_EQ(bad, 0) << fault;
    EXPECT_GT(good, 100) << fault;
    key_ = nullptr;
    backend_ = nullptr;
    group_ = nullptr;
  }
}

TEST_F(TokenGroupTest, NeverEncryptsUnderAnotherKeyOfTheName) {
  Make(2);
  GiveOtherKeys(1);
  MakeKey();
  MakeCanary();
  Break(0, "away");
  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT(Encrypt(), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("another key")));
    // Nor is what it says of a ciphertext believed.
    EXPECT_THAT(Decrypt(canary_), StatusIs(absl::StatusCode::kUnavailable,
                                           AllOf(HasSubstr("first"),
                                                 HasSubstr("second: the token has another key"))));
  }
  const KeyPlace other = group_->Places()[1];
  EXPECT_EQ(other.state, State::kOtherKey);
  EXPECT_THAT(other.problem, HasSubstr("key version 3: the token has another key"));
  Mend(0);
  ASSERT_TRUE(AwaitState(0, State::kUp));
  KEKD_EXPECT_OK(Encrypt());

  // It gets the right one, and with the next worker or proof it counts.
  std::filesystem::remove(tokens_[1]->folder() + "/other-keys");
  KillWorker(1);
  KEKD_EXPECT_OK(key_->ProveEverywhere(FakeToken::Later()));
  EXPECT_EQ(group_->Places()[1].state, State::kUp);
  Break(0, "away");
  KEKD_EXPECT_OK(Encrypt());
}

TEST_F(TokenGroupTest, ANewWorkerMustProveItselfBeforeItCounts) {
  Make(2);
  MakeProvedKey();
  GiveOtherKeys(0);
  KillWorker(0);
  // The first has another key now; the second serves at once.
  for (int i = 0; i < 3; ++i) {
    KEKD_ASSERT_OK_AND_ASSIGN(const std::string sealed, Encrypt());
    EXPECT_EQ(sealed.back(), canary_.back()) << "under the other key";
    KEKD_EXPECT_OK(Decrypt(sealed));
  }
  EXPECT_EQ(group_->Places()[0].state, State::kOtherKey);
  EXPECT_THAT(Decrypt(canary_.substr(0, canary_.size() - 1) + "x"),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(TokenGroupTest, OpensByTheOneThatDecryptsAndExcludesTheOther) {
  Make(2);
  MakeKey();
  MakeCanary();
  KillWorker(0);
  GiveOtherKeys(0);
  Open();  // as after a restart: nothing is remembered
  KEKD_EXPECT_OK(CheckCanary());
  EXPECT_EQ(group_->Places()[0].state, State::kOtherKey);
  KEKD_ASSERT_OK_AND_ASSIGN(const std::string sealed, Encrypt());
  EXPECT_EQ(sealed.back(), canary_.back());
  EXPECT_THAT(key_->ProveEverywhere(FakeToken::Later()),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("first: "), Not(HasSubstr("second")))));
  // What the key has told of the tokens goes with it.
  key_ = nullptr;
  EXPECT_EQ(group_->Places()[0].state, State::kUp);
}

TEST_F(TokenGroupTest, RefusesACiphertextOnFirstSightOnlyIfEveryTokenDoes) {
  Make(2);
  MakeKey();
  MakeCanary();
  const std::string forged = canary_.substr(0, canary_.size() - 1) + "x";
  Open();
  Break(1, "away");
  EXPECT_THAT(Decrypt(forged), StatusIs(absl::StatusCode::kUnavailable));
  Mend(1);
  ASSERT_TRUE(AwaitState(1, State::kUp));
  EXPECT_THAT(Decrypt(forged), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(group_->Places()[0].state, State::kUp);
  EXPECT_EQ(group_->Places()[1].state, State::kUp);
  // Of a proven token one refusal is enough.
  KEKD_EXPECT_OK(CheckCanary());
  Break(1, "away");
  EXPECT_THAT(Decrypt(forged), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(group_->Places()[1].state, State::kUp);
}

TEST_F(TokenGroupTest, SaysWhichTokensLackAKeyAndUsesThemOnceTheyHaveIt) {
  Make(3);
  MakeKey();
  MakeCanary();
  Break(0, "no-key");
  Break(2, "no-key");
  for (int i = 0; i < 3; ++i) KEKD_EXPECT_OK(Encrypt());
  EXPECT_THAT(key_->ProveEverywhere(FakeToken::Later()),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("key version 3 is not proved on every token"),
                             HasSubstr("token first: "), Not(HasSubstr("token second: ")),
                             HasSubstr("token third: "), HasSubstr("take it out of"))));
  EXPECT_EQ(group_->Places()[0].state, State::kLacksKey);
  EXPECT_EQ(group_->Places()[2].state, State::kLacksKey);
  Mend(0);
  Mend(2);
  KEKD_EXPECT_OK(key_->ProveEverywhere(FakeToken::Later()));
  for (const KeyPlace& place : group_->Places()) EXPECT_EQ(place.state, State::kUp) << place.name;
}

TEST_F(TokenGroupTest, MakesKeysOnTheFirstAndNowhereElse) {
  Make(2);
  Break(0, "away");
  EXPECT_THAT(backend_->GenerateKey(Spec(), FakeToken::Later()),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(clients_[1]->starts(), 0u);
}

TEST_F(TokenGroupTest, FailsWithWhatEveryTokenSaidWhenNoneWorks) {
  Make(2);
  MakeProvedKey();
  Break(0, "away");
  Break(1, "crash");
  const absl::Time begun = absl::Now();
  EXPECT_THAT(Encrypt(), StatusIs(absl::StatusCode::kUnavailable,
                                  AllOf(HasSubstr("token first: C_OpenSession"),
                                        HasSubstr("token second: the HSM worker is gone"))));
  EXPECT_LT(absl::Now() - begun, absl::Seconds(3));
  // One that comes back is found by the next call, before any probe.
  Mend(1);
  absl::Status encrypted;
  for (int i = 0; i < 20; ++i) {
    encrypted = Encrypt().status();
    if (encrypted.ok()) break;
  }
  KEKD_EXPECT_OK(encrypted);
}

TEST_F(TokenGroupTest, NamesItsTokensAsShortAsTellsThemApart) {
  const auto names = [](std::vector<WorkerConfig> configs) {
    std::vector<std::shared_ptr<TokenClient>> clients;
    for (WorkerConfig& config : configs) {
      WorkerProcess::Options options;
      options.config = std::move(config);
      clients.push_back(std::make_shared<TokenClient>(options));
    }
    const TokenGroup group(clients);
    return absl::StrCat(group.name(0), " ", group.name(1));
  };
  const auto config = [](const char* module, const char* label, const char* serial) {
    WorkerConfig made;
    made.module_path = module;
    made.token.label = label;
    made.token.serial = serial;
    return made;
  };
  EXPECT_EQ(names({config("/m", "a", ""), config("/m", "b", "")}), "a b");
  EXPECT_EQ(names({config("/m", "a", "1"), config("/m", "a", "2")}),
            "pkcs11:token=a;serial=1 pkcs11:token=a;serial=2");
  EXPECT_EQ(names({config("/m", "a", ""), config("/n", "a", "")}),
            "pkcs11:token=a?module-path=/m pkcs11:token=a?module-path=/n");
}

}  // namespace
}  // namespace kekd::testing
