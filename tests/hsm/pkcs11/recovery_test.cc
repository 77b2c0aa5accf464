// What a token does to a request, and what becomes of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "hsm/pkcs11/gcm.h"
#include "hsm/token/nonce_history.h"
#include "tests/hsm/pkcs11/faulty_token.h"
#include "tests/support/secrets.h"
#include "tests/support/status_matchers.h"

namespace kekd {
namespace {

using ::testing::_;
using testing::FaultyToken;
using ::testing::HasSubstr;
using testing::IsOk;
using testing::RevealedText;
using testing::StatusIs;

class RecoveryTest : public FaultyToken {
 protected:
  void SetUp() override {
    FaultyToken::SetUp();
    if (!made_.has_value()) return;
    const WorkerResponse made = Generate("kek", "1");
    ASSERT_THAT(made.status, IsOk());
    key_ = made.reference;
    sealed_ = Encrypt(key_, "text").bytes;
    ASSERT_FALSE(sealed_.empty());
    absl::SleepFor(Token::kRecoveryPause);
  }
  // Works until `deadline` at the latest.
  void ExpectGood(const std::string& what) {
    const WorkerResponse opened = Decrypt(key_, sealed_);
    ASSERT_THAT(opened.status, IsOk()) << what;
    EXPECT_EQ(RevealedText(opened.secret), "text") << what;
    EXPECT_THAT(Encrypt(key_, "text").status, IsOk()) << what;
  }
  void ExpectGoodWithin(absl::Duration time, const std::string& what) {
    const absl::Time end = absl::Now() + time;
    while (!Decrypt(key_, sealed_).status.ok() && absl::Now() < end) {
      absl::SleepFor(absl::Milliseconds(5));
    }
    ExpectGood(what);
  }

  KeyReference key_;
  std::string sealed_;
};

TEST_F(RecoveryTest, NothingIsLookedUpForAKeyThatIsKnown) {
  ExpectGood("first");
  const uint64_t searches = Calls("C_FindObjectsInit");
  for (int i = 0; i < 10; ++i) ExpectGood("again");
  EXPECT_EQ(Calls("C_FindObjectsInit"), searches);
  EXPECT_EQ(Calls("C_Login"), 1u);
}

TEST_F(RecoveryTest, OneErrorOfAnyKindAtAnyCallIsNeverSeen) {
  for (const char* const function : {"C_EncryptInit", "C_Encrypt", "C_DecryptInit", "C_Decrypt"}) {
    for (const char* const rv : {"CKR_HOST_MEMORY",
                                 "CKR_GENERAL_ERROR",
                                 "CKR_FUNCTION_FAILED",
                                 "CKR_ARGUMENTS_BAD",
                                 "CKR_DATA_LEN_RANGE",
                                 "CKR_DEVICE_ERROR",
                                 "CKR_DEVICE_MEMORY",
                                 "CKR_DEVICE_REMOVED",
                                 "CKR_ENCRYPTED_DATA_INVALID",
                                 "CKR_FUNCTION_NOT_SUPPORTED",
                                 "CKR_KEY_HANDLE_INVALID",
                                 "CKR_MECHANISM_INVALID",
                                 "CKR_MECHANISM_PARAM_INVALID",
                                 "CKR_OBJECT_HANDLE_INVALID",
                                 "CKR_OPERATION_ACTIVE",
                                 "CKR_OPERATION_NOT_INITIALIZED",
                                 "CKR_SESSION_CLOSED",
                                 "CKR_SESSION_COUNT",
                                 "CKR_SESSION_HANDLE_INVALID",
                                 "CKR_TOKEN_NOT_PRESENT",
                                 "CKR_USER_NOT_LOGGED_IN",
                                 "CKR_CRYPTOKI_NOT_INITIALIZED",
                                 "CKR_MUTEX_BAD",
                                 "CKR_VENDOR_DEFINED"}) {
      Order(absl::StrCat(function, " return ", rv));
      // An error that begins at the top asks for a new process, or comes too soon after another.
      ExpectGoodWithin(absl::Seconds(1), absl::StrCat(function, " ", rv));
    }
  }
}

TEST_F(RecoveryTest, SessionsThatAreKilledAreReplacedAndLoggedIn) {
  for (int i = 0; i < 5; ++i) {
    Order("C_EncryptInit sessions-killed");
    ExpectGoodWithin(absl::Seconds(1), "sessions");
  }
}

TEST_F(RecoveryTest, ATokenThatComesBackWorksByItself) {
  for (const char* const how : {"token-gone", "token-gone until-reinit"}) {
    Order(how);
    const WorkerResponse away = Decrypt(key_, sealed_);
    EXPECT_THAT(away.status, StatusIs(absl::StatusCode::kUnavailable, _));
    EXPECT_THAT(Decrypt(key_, sealed_).status,
                StatusIs(absl::StatusCode::kUnavailable, HasSubstr("no token with label")));
    Order("");
    ExpectGoodWithin(absl::Seconds(1), how);
  }
}

TEST_F(RecoveryTest, RequestsToATokenThatIsAwayFailAtOnceAndDoNotHammerIt) {
  Order("token-gone");
  EXPECT_FALSE(Decrypt(key_, sealed_).status.ok());
  const uint64_t before = Calls("C_Initialize");
  const absl::Time begin = absl::Now();
  for (int i = 0; i < 1000; ++i) EXPECT_FALSE(Decrypt(key_, sealed_).status.ok());
  const int64_t pauses = (absl::Now() - begin) / Token::kRecoveryPause;
  EXPECT_LE(Calls("C_Initialize") - before, static_cast<uint64_t>(pauses) + 1);
}

TEST_F(RecoveryTest, SlotsAndHandlesThatAreRenumberedAreFoundAgain) {
  Order("renumber");
  EndModule();
  ExpectGoodWithin(absl::Seconds(1), "renumbered");
}

TEST_F(RecoveryTest, ManyThreadsRecoverOnce) {
  const uint64_t before = Calls("C_Initialize");
  Order("C_DecryptInit return CKR_DEVICE_REMOVED times 4");
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] { ExpectGoodWithin(absl::Seconds(2), "thread"); });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(Calls("C_Initialize") - before, 4u);
  EXPECT_GE(Calls("C_Initialize") - before, 1u);
}

TEST_F(RecoveryTest, WaitsForASessionWhenTheTokenHasFew) {
  for (const char* const limit : {"max-sessions 2", "max-sessions 2 not-told", "max-sessions 3"}) {
    Order(limit);
    EndModule();
    Begin();
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        for (int n = 0; n < 20; ++n) EXPECT_THAT(Encrypt(key_, "text").status, IsOk()) << limit;
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
}

TEST_F(RecoveryTest, ABadTagIsNoBrokenToken) {
  const uint64_t before = Calls("C_Initialize");
  std::string damaged = sealed_;
  damaged.back() = static_cast<char>(damaged.back() ^ 1);
  for (int i = 0; i < 20; ++i) {
    EXPECT_THAT(Decrypt(key_, damaged).status, StatusIs(absl::StatusCode::kInvalidArgument, _));
  }
  EXPECT_EQ(Calls("C_Initialize"), before);
  EXPECT_EQ(Calls("C_Login"), 1u);
}

TEST_F(RecoveryTest, ABrokenTokenIsNoBadTag) {
  Order("C_Decrypt return CKR_GENERAL_ERROR always");
  EXPECT_THAT(Decrypt(key_, sealed_).status, StatusIs(absl::StatusCode::kUnavailable, _));
  Order("C_Decrypt return CKR_ENCRYPTED_DATA_INVALID always");
  EXPECT_THAT(Decrypt(key_, sealed_).status, StatusIs(absl::StatusCode::kUnavailable, _));
  Order("");
  ExpectGoodWithin(absl::Seconds(1), "after");
}

TEST_F(RecoveryTest, AFaultBeforeTheDecryptionIsNoBadTagEither) {
  for (const char* const fault : {"C_OpenSession return CKR_ARGUMENTS_BAD always",
                                  "C_FindObjectsInit return CKR_ARGUMENTS_BAD always",
                                  "C_EncryptInit return CKR_MECHANISM_PARAM_INVALID always",
                                  "C_Encrypt return CKR_DATA_INVALID always",
                                  "C_DecryptInit return CKR_ATTRIBUTE_READ_ONLY always"}) {
    Order(fault);
    Begin();
    EXPECT_THAT(Decrypt(key_, sealed_).status, StatusIs(absl::StatusCode::kUnavailable, _))
        << fault;
    EXPECT_THAT(Encrypt(key_, "text").status, StatusIs(absl::StatusCode::kUnavailable, _)) << fault;
    Order("");
    ExpectGoodWithin(absl::Seconds(1), fault);
  }
}

TEST_F(RecoveryTest, AnotherKeyOfTheSameNameIsNotUsed) {
  const std::string tokens = directory_.path() + "/tokens";
  ExpectGood("before");
  std::filesystem::copy(tokens, tokens + ".first", std::filesystem::copy_options::recursive);
  std::unique_ptr<Token> old = std::move(token_);
  Begin();
  ASSERT_THAT(OfKey(WorkerVerb::kDestroy, key_).status, IsOk());
  ASSERT_THAT(Generate("kek", "1").status, IsOk());
  token_ = std::move(old);
  // The handle is gone; then the whole attachment; and neither is a reason to start anew.
  for (const char* const order : {"", "C_EncryptInit return CKR_DEVICE_REMOVED"}) {
    Order(order);
    for (int i = 0; i < 2; ++i) {
      const WorkerResponse refused = Encrypt(key_, "text");
      EXPECT_THAT(refused.status, StatusIs(absl::StatusCode::kFailedPrecondition,
                                           HasSubstr("another key of this name than before")));
      EXPECT_FALSE(refused.restart);
      EXPECT_THAT(Decrypt(key_, sealed_).status,
                  StatusIs(absl::StatusCode::kFailedPrecondition, _));
      EXPECT_THAT(OfKey(WorkerVerb::kProbe, key_).status,
                  StatusIs(absl::StatusCode::kFailedPrecondition, _));
    }
  }
  // The key that was meant is given back.
  EndModule();
  std::filesystem::rename(tokens, tokens + ".second");
  std::filesystem::rename(tokens + ".first", tokens);
  ExpectGoodWithin(absl::Seconds(1), "given back");
}

TEST_F(RecoveryTest, AnErrorDoesNotPassForARefusalWhenAKeyIsTried) {
  const uint64_t before = Calls("C_GenerateKey");
  Order("C_Decrypt return CKR_DEVICE_MEMORY");  // of a ciphertext that was altered
  EXPECT_THAT(Generate("other", "2").status, IsOk());
  EXPECT_EQ(Calls("C_GenerateKey") - before, 2u);
}

TEST_F(RecoveryTest, AKeyThatIsMissingForLongCostsTheOthersLittle) {
  const KeyReference missing = {.key = {.label = "none", .id = "9"}};
  const uint64_t before = Calls("C_Initialize");
  const auto ask = [&] {
    EXPECT_THAT(OfKey(WorkerVerb::kProbe, missing).status,
                StatusIs(absl::StatusCode::kNotFound, _));
    absl::SleepFor(absl::Milliseconds(10));
  };
  const absl::Time end = absl::Now() + absl::Seconds(20);
  while (Calls("C_Initialize") - before < 2 && absl::Now() < end) ask();
  // It was still missing twice: the pause is two seconds now.
  const absl::Time begin = absl::Now();
  while (absl::Now() < begin + absl::Milliseconds(1600)) {
    ask();
    if (absl::Now() < begin + absl::Milliseconds(1900)) {
      EXPECT_EQ(Calls("C_Initialize") - before, 2u);
    }
  }
  // One that appears is found without any recovery.
  ASSERT_THAT(Generate("none", "9").status, IsOk());
  EXPECT_THAT(OfKey(WorkerVerb::kProbe, missing).status, IsOk());
}

TEST_F(RecoveryTest, SessionsThatWereLeakedAreFreedInTheEnd) {
  ExpectGood("before");
  const absl::StatusOr<std::unique_ptr<Module>> module = Module::Load(config_.module_path, "");
  ASSERT_THAT(module, IsOk());
  const absl::StatusOr<TokenInfo> token = FindToken(**module, config_.token);
  ASSERT_THAT(token, IsOk());
  for (int i = 0; i < 4; ++i) {
    CK_SESSION_HANDLE leaked = 0;
    ASSERT_EQ((**module)->C_OpenSession(token->slot, CKF_SERIAL_SESSION, nullptr, nullptr, &leaked),
              CKR_OK);
  }
  const uint64_t before = Calls("C_Initialize");
  Order("max-sessions 3\nC_DecryptInit return CKR_SESSION_CLOSED");
  const auto probe = [&] {
    WorkerRequest request;
    request.verb = WorkerVerb::kProbe;
    request.key = key_;
    return Ask(std::move(request), absl::Milliseconds(200)).status;
  };
  EXPECT_THAT(probe(), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("SESSION_COUNT")));
  const absl::Time end = absl::Now() + absl::Seconds(20);
  while (!probe().ok() && absl::Now() < end) {
  }
  ExpectGood("freed");
  EXPECT_EQ(Calls("C_Initialize") - before, 1u);
}

TEST_F(RecoveryTest, ATokenThatRepeatsItsInitialisationVectorsSealsNothing) {
  for (const char* const who : {"gcm-iv token", "gcm-iv token-appended"}) {
    Order(who);
    const std::string id = who;
    const WorkerResponse made = Generate("cloud", id);
    ASSERT_THAT(made.status, IsOk());
    EXPECT_THAT(Encrypt(made.reference, "text").status, IsOk());
    Order(absl::StrCat(who, " repeats"));
    EXPECT_THAT(Encrypt(made.reference, "text").status, IsOk());  // it is new, once
    for (int i = 0; i < 3; ++i) {
      const WorkerResponse refused = Encrypt(made.reference, "text");
      EXPECT_THAT(refused.status,
                  StatusIs(absl::StatusCode::kInternal,
                           HasSubstr("the token repeats its initialisation vector")));
      EXPECT_EQ(refused.bytes, "");
      EndModule();  // what is known of it outlives a recovery
    }
    EXPECT_FALSE(Generate("other", id + "2").status.ok());
    Order(who);
    EXPECT_THAT(Encrypt(made.reference, "text").status, IsOk());
  }
}

TEST_F(RecoveryTest, WhatAnotherThreadHasFoundIsNotForgotten) {
  const WorkerResponse made = Generate("copied", "5", true);
  ASSERT_THAT(made.status, IsOk());
  const absl::StatusOr<std::unique_ptr<Module>> module = Module::Load(config_.module_path, "");
  ASSERT_THAT(module, IsOk());
  const absl::StatusOr<TokenInfo> token = FindToken(**module, config_.token);
  ASSERT_THAT(token, IsOk());
  CK_SESSION_HANDLE session = 0;
  ASSERT_EQ((**module)->C_OpenSession(token->slot, CKF_SERIAL_SESSION, nullptr, nullptr, &session),
            CKR_OK);
  KnownKeys known_keys;
  Attachment attachment(**module, *token, session, 2, true, RandomSource::System(), known_keys);
  absl::StatusOr<SessionPool::Lease> lease = attachment.sessions().Acquire(absl::InfiniteFuture());
  ASSERT_THAT(lease, IsOk());
  const KeySelector& key = made.reference.key;
  const auto first = attachment.Find(made.reference, *lease);
  ASSERT_THAT(first, IsOk());
  attachment.Forget(key, first->get());
  const auto second = attachment.Find(made.reference, *lease);
  ASSERT_THAT(second, IsOk());
  EXPECT_NE(*first, *second);
  EXPECT_NE((*second)->copy.key, 0u);
  attachment.Forget(key, first->get());  // by a thread for which it failed too, but later
  EXPECT_EQ(*attachment.Find(made.reference, *lease), *second);
  EXPECT_THAT(attachment.OpenCanary(**second, *lease), IsOk());
  attachment.Forget(key, second->get());
  EXPECT_NE(*attachment.Find(made.reference, *lease), *second);
}

TEST(NonceHistoryTest, KnowsTheFirstAndTheLast) {
  NonceHistory history;
  const auto note = [&](size_t n) {
    std::string sealed(12 + 16 + 1, static_cast<char>(n));
    return history.Note(sealed, KeyMechanism::kGcmTokenIv);
  };
  for (size_t n = 0; n < NonceHistory::kKept + 2; ++n) {
    EXPECT_THAT(note(n), IsOk()) << n;
    EXPECT_THAT(note(n), StatusIs(absl::StatusCode::kInternal, _)) << n;
    EXPECT_THAT(note(0), StatusIs(absl::StatusCode::kInternal, _)) << n;
  }
  EXPECT_THAT(note(2), StatusIs(absl::StatusCode::kInternal, _));
  EXPECT_THAT(note(1), IsOk());  // too long ago
}

TEST_F(RecoveryTest, AsksForANewProcessWhenNothingHelps) {
  absl::SleepFor(Token::kRestartAge);
  Order("C_EncryptInit return CKR_DEVICE_ERROR always");
  const WorkerResponse response = Encrypt(key_, "text");
  EXPECT_THAT(response.status,
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("CKR_DEVICE_ERROR")));
  EXPECT_TRUE(response.restart);
}

TEST_F(RecoveryTest, ATokensFolderThatIsTakenAwayAndGivenBack) {
  const std::string tokens = directory_.path() + "/tokens";
  for (const bool lately_used : {true, false}) {
    if (!lately_used) {
      EndModule();
      Begin();
    }
    ASSERT_EQ(rename(tokens.c_str(), (tokens + ".away").c_str()), 0);
    EXPECT_THAT(Decrypt(key_, sealed_).status, StatusIs(absl::StatusCode::kUnavailable, _));
    EXPECT_THAT(OfKey(WorkerVerb::kDestroy, key_).status,
                StatusIs(absl::StatusCode::kUnavailable, _));
    ASSERT_EQ(rename((tokens + ".away").c_str(), tokens.c_str()), 0);
    ExpectGoodWithin(absl::Seconds(1), "given back");
  }
}

TEST_F(RecoveryTest, FindsOutWhoMakesTheInitialisationVector) {
  const std::string text(32, 's');
  Order("gcm-iv token");
  const WorkerResponse cloud = Generate("cloud", "2");
  ASSERT_THAT(cloud.status, IsOk());
  EXPECT_EQ(cloud.reference.mechanism, KeyMechanism::kGcmTokenIv);
  EXPECT_THAT(cloud.reference.mechanism_reason, HasSubstr("CKR_"));
  const WorkerResponse sealed = Encrypt(cloud.reference, text);
  EXPECT_EQ(sealed.bytes.size(), 12 + 32 + 16);
  EXPECT_EQ(RevealedText(Decrypt(cloud.reference, sealed.bytes).secret), text);

  Order("gcm-iv token-appended");
  const WorkerResponse luna = Generate("luna", "3");
  ASSERT_THAT(luna.status, IsOk());
  EXPECT_EQ(luna.reference.mechanism, KeyMechanism::kGcmTokenIvAppended);
  const WorkerResponse appended = Encrypt(luna.reference, text);
  EXPECT_EQ(appended.bytes.size(), 16 + 32 + 16);
  EXPECT_EQ(RevealedText(Decrypt(luna.reference, appended.bytes).secret), text);

  // Neither is it a reason to look for something worse.
  Order("gcm-iv token repeats");
  EXPECT_THAT(Generate("none", "4").status,
              StatusIs(absl::StatusCode::kInternal, HasSubstr("twice")));
  Order("");
  EXPECT_EQ(Only(WorkerVerb::kList).keys.size(), 3u);  // nothing is left of it
}

}  // namespace
}  // namespace kekd
