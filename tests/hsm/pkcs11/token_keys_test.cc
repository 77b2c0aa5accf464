// What a Token does with keys while its module misbehaves. With SoftHSM2.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "hsm/pkcs11/attributes.h"
#include "hsm/pkcs11/key_objects.h"
#include "hsm/pkcs11/key_wrap.h"
#include "tests/hsm/pkcs11/faulty_token.h"
#include "tests/support/secrets.h"
#include "tests/support/status_matchers.h"

namespace kekd {
namespace {

using testing::FaultyToken;
using ::testing::HasSubstr;
using testing::IsOk;
using testing::SecretFromText;
using testing::StatusIs;

constexpr char kCbcAlone[] = "mask-mechanism CKM_AES_GCM CKM_AES_KEY_WRAP CKM_AES_KEY_WRAP_PAD\n";

class TokenKeysTest : public FaultyToken {
 protected:
  WorkerResponse GenerateWithin(absl::Duration timeout) {
    WorkerRequest request;
    request.verb = WorkerVerb::kGenerate;
    request.new_key.selector = {.label = "kek-1", .id = "1"};
    return Ask(std::move(request), timeout);
  }
  size_t KeysLeft() { return Only(WorkerVerb::kList).keys.size(); }
};

TEST_F(TokenKeysTest, KeysThatAreTriedAreReadBack) {
  Order("attribute 0x162 yes");
  const WorkerResponse tried = Only(WorkerVerb::kTry);
  ASSERT_THAT(tried.status, IsOk());
  for (const MechanismTrial& trial : tried.trials) {
    EXPECT_THAT(trial.problem, HasSubstr("it can leave the token (CKA_EXTRACTABLE)"))
        << ToString(trial.mechanism);
  }
  Order("");
  EXPECT_EQ(Only(WorkerVerb::kTry).trials[0].problem, "");
}

// Nobody waits for what it would still do, and an RSA key may take minutes.
TEST_F(TokenKeysTest, ASearchEndsBetweenKeysWhenItsTimeIsOver) {
  Order(
      "C_EncryptInit return CKR_MECHANISM_INVALID always\n"
      "C_WrapKey return CKR_MECHANISM_INVALID always\n"
      "C_GenerateKey delay 300000");
  EXPECT_THAT(GenerateWithin(absl::Milliseconds(500)).status,
              StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("too slow")));
  EXPECT_EQ(Calls("C_GenerateKeyPair"), 0u);
  Order("");
  EXPECT_EQ(KeysLeft(), 0u);
}

// The token says "general error" to AES-GCM, and in the second search no to AES-KW as well.
TEST_F(TokenKeysTest, ASecondSearchNeverChoosesWorseThanTheFirst) {
  Order("mask-mechanism CKM_AES_GCM");
  ASSERT_EQ(Generate("kek-0", "0").reference.mechanism, KeyMechanism::kAesKw);
  const uint64_t wraps_of_one_search = Calls("C_WrapKey");
  Order(absl::StrCat("C_EncryptInit return CKR_GENERAL_ERROR always\nC_WrapKey at ",
                     wraps_of_one_search + 1, " return CKR_MECHANISM_INVALID as second"));
  const WorkerResponse made = Generate("kek-1", "1");
  EXPECT_EQ(Faults("second"), 1u);
  ASSERT_THAT(made.status, IsOk());
  EXPECT_EQ(ToString(made.reference.mechanism), ToString(KeyMechanism::kAesKw));
  EXPECT_EQ(KeysLeft(), 2u);
}

TEST_F(TokenKeysTest, WhatIsHalfDestroyedIsDestroyedLater) {
  Order(kCbcAlone);
  const KeyReference key = Generate("kek-1", "1").reference;
  ASSERT_EQ(key.mechanism, KeyMechanism::kAesCbcHmac);
  Order(absl::StrCat(kCbcAlone, "C_DestroyObject at 2 return CKR_DEVICE_ERROR always"));
  EXPECT_FALSE(OfKey(WorkerVerb::kDestroy, key).status.ok());
  Order(kCbcAlone);
  EXPECT_EQ(KeysLeft(), 1u);
  EXPECT_THAT(OfKey(WorkerVerb::kDestroy, key).status, IsOk());
  EXPECT_EQ(KeysLeft(), 0u);
}

// As kekd does after a failure, when it does not know of which kind a key was.
TEST_F(TokenKeysTest, DestroyingAKindThatIsNotThereDisturbsNobody) {
  const KeyReference other = Generate("kek-0", "0").reference;
  ASSERT_THAT(Encrypt(other, "text").status, IsOk());
  const uint64_t before = Calls("C_Finalize");
  KeyReference missing = other;
  missing.key = {.label = "kek-1", .id = "1"};
  for (const KeyMechanism kind : {KeyMechanism::kAesCbcHmac, KeyMechanism::kRsaOaepSha256}) {
    missing.mechanism = kind;
    EXPECT_THAT(OfKey(WorkerVerb::kDestroy, missing).status, IsOk());
  }
  EXPECT_EQ(Calls("C_Finalize"), before);
  EXPECT_EQ(KeysLeft(), 1u);
}

TEST_F(TokenKeysTest, NothingIsDestroyedOnATokenOfAnotherName) {
  KeyReference key = Generate("kek-1", "1").reference;
  // As where all tokens have one serial.
  key.token.label = "another";
  EXPECT_THAT(OfKey(WorkerVerb::kDestroy, key).status,
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("nothing is destroyed")));
  EXPECT_EQ(KeysLeft(), 1u);
}

TEST_F(TokenKeysTest, ACountOfMechanismsThatCanNotBeIsNotBelieved) {
  Order("mechanism-count 18446744073709551615");
  EXPECT_THAT(Generate("kek-1", "1").status,
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("C_GetMechanismList tells of")));
  // More than it gives.
  Order("mechanism-count 4000");
  EXPECT_EQ(Generate("kek-2", "2").reference.mechanism, KeyMechanism::kGcmCallerIv);
}

TEST_F(TokenKeysTest, AFunctionThatIsNotThereIsAMechanismThatIsNotThere) {
  Order("mask-mechanism CKM_AES_GCM\nno-function C_WrapKey");
  Begin();
  const WorkerResponse made = Generate("kek-1", "1");
  ASSERT_THAT(made.status, IsOk());
  EXPECT_EQ(ToString(made.reference.mechanism), ToString(KeyMechanism::kAesCbcHmac));
  EXPECT_THAT(made.reference.mechanism_reason, HasSubstr("AES-KW: CKR_FUNCTION_NOT_SUPPORTED"));
}

TEST_F(TokenKeysTest, AModuleWithoutAFunctionThatAllNeedIsRefusedByName) {
  Order("no-function C_Encrypt");
  Begin();
  EXPECT_THAT(Only(WorkerVerb::kStart).status,
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("has no C_Encrypt")));
}

// What says that the request is wrong may be a token's bad moment: it is heard once more, and no
// more than that.
TEST_F(TokenKeysTest, ARefusalIsHeardTwice) {
  ASSERT_THAT(Generate("kek-1", "1").status, IsOk());
  WorkerRequest request;
  request.verb = WorkerVerb::kAdopt;
  request.new_key.selector.label = "kek-1";
  Order("C_FindObjectsInit return CKR_ARGUMENTS_BAD as once");
  EXPECT_THAT(Ask(std::move(request)).status, IsOk());
  EXPECT_EQ(Faults("once"), 1u);
  request = {};
  request.verb = WorkerVerb::kAdopt;
  request.new_key.selector.label = "kek-1";
  Order("C_FindObjectsInit return CKR_ARGUMENTS_BAD always as ever");
  const uint64_t before = Calls("C_Finalize");
  EXPECT_THAT(Ask(std::move(request)).status, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(Faults("ever"), 2u);
  EXPECT_EQ(Calls("C_Finalize"), before);
}

// Of a one-time key that is left behind.
TEST_F(TokenKeysTest, OneTimeKeysArePrivateObjects) {
  Order("mask-mechanism CKM_AES_GCM");
  const KeyReference key = Generate("kek-1", "1").reference;
  ASSERT_EQ(key.mechanism, KeyMechanism::kAesKw);
  // The login is this process's.
  KEKD_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Module> module,
                            Module::Load(config_.module_path, config_.init_arguments));
  KEKD_ASSERT_OK_AND_ASSIGN(const TokenInfo token, FindToken(*module, config_.token));
  CK_SESSION_HANDLE session = 0;
  ASSERT_EQ((*module)->C_OpenSession(token.slot, CKF_SERIAL_SESSION, nullptr, nullptr, &session),
            CKR_OK);
  KEKD_ASSERT_OK_AND_ASSIGN(const SealingKey sealing, FindKey(*module, session, key));
  Order("mask-mechanism CKM_AES_GCM\nC_DestroyObject return CKR_DEVICE_ERROR always");
  const SecretBytes one_time_key = SecretFromText(std::string(kOneTimeKeyBytes, 's'));
  EXPECT_FALSE(WrapOneTimeKey(*module, session, sealing.key, key.mechanism, one_time_key).ok());
  CK_ULONG secret_key = CKO_SECRET_KEY;
  CK_ATTRIBUTE query[] = {NumberAttribute(CKA_CLASS, secret_key), FlagAttribute(CKA_TOKEN, false)};
  ASSERT_EQ((*module)->C_FindObjectsInit(session, query, 2), CKR_OK);
  CK_OBJECT_HANDLE left = 0;
  CK_ULONG count = 0;
  ASSERT_EQ((*module)->C_FindObjects(session, &left, 1, &count), CKR_OK);
  EXPECT_EQ((*module)->C_FindObjectsFinal(session), CKR_OK);
  ASSERT_EQ(count, 1u);
  CK_BBOOL is_private = CK_FALSE;
  CK_ATTRIBUTE read = {CKA_PRIVATE, &is_private, sizeof(is_private)};
  ASSERT_EQ((*module)->C_GetAttributeValue(session, left, &read, 1), CKR_OK);
  EXPECT_EQ(is_private, CK_TRUE);
  (*module)->C_CloseSession(session);
}

}  // namespace
}  // namespace kekd
