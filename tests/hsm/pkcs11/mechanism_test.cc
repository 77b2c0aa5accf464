// Every mechanism with real modules, of which p11fault hides the better ones.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ostream>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/file_system.h"
#include "base/random_source.h"
#include "tests/hsm/pkcs11/faulty_token.h"
#include "tests/support/secrets.h"
#include "tests/support/status_matchers.h"

#if defined(__SANITIZE_ADDRESS__)
// NSS 3.87 loses some 280 bytes with each of its message operations, ended as they are by
// C_MessageEncryptFinal and C_MessageDecryptFinal.
// NOLINTNEXTLINE(bugprone-reserved-identifier)
extern "C" const char* __lsan_default_suppressions() { return "leak:libnssutil3.so\n"; }
#endif

namespace kekd {
namespace {

using ::testing::_;
using ::testing::AllOf;
using testing::FaultyToken;
using ::testing::HasSubstr;
using testing::IsOk;
using testing::RevealedText;
using testing::StatusIs;

const std::string kOneTimeKey(kOneTimeKeyBytes, 's');

struct Hidden {
  const char* name;
  const char* script;
  const char* mask;  // of p11fault
  KeyMechanism mechanism;
  size_t sealed_bytes;
  const char* reason;
  const char* type = "AES-256";
  size_t keys = 1;  // secret and private ones on the token
  // A function that sealing calls.
  const char* seals = "C_WrapKey";
};
void PrintTo(const Hidden& hidden, std::ostream* out) { *out << hidden.name; }

constexpr Hidden kHidden[] = {
    {"SoftHsm2Kw", "softhsm2", "CKM_AES_GCM", KeyMechanism::kAesKw, 40,
     "AES-GCM: not listed; AES-KWP: not listed"},
    {"SoftHsm2KwPad", "softhsm2", "CKM_AES_GCM CKM_AES_KEY_WRAP", KeyMechanism::kAesKwPad, 40,
     "AES-GCM: not listed; AES-KWP: not listed; AES-KW: not listed"},
    {"SoftHsm2ListedInVain", "softhsm2", "CKM_AES_GCM in C_EncryptInit C_DecryptInit",
     KeyMechanism::kAesKw, 40, "AES-GCM: CKR_MECHANISM_INVALID; AES-KWP: not listed"},
    {"SoftHsm2Cbc", "softhsm2", "CKM_AES_GCM CKM_AES_KEY_WRAP CKM_AES_KEY_WRAP_PAD",
     KeyMechanism::kAesCbcHmac, 96,
     "AES-GCM: not listed; AES-KWP: not listed; AES-KW: not listed; AES-KW-PAD: not listed",
     "AES-256", 2, "C_Sign"},
    {"SoftHsm2Rsa", "softhsm2", "CKM_AES_GCM CKM_AES_KEY_WRAP CKM_AES_KEY_WRAP_PAD CKM_AES_CBC",
     KeyMechanism::kRsaOaepSha1, 384,
     "AES-GCM: not listed; AES-KWP: not listed; AES-KW: not listed; AES-KW-PAD: not listed; "
     "AES-CBC with HMAC-SHA-256: not listed; RSA-OAEP with SHA-256: CKR_ARGUMENTS_BAD",
     "RSA-3072", 1, nullptr},
    {"NssMessages", "nss", "CKM_AES_GCM in C_EncryptInit C_DecryptInit", KeyMechanism::kGcmMessage,
     60, "CKR_MECHANISM_INVALID", "AES-256", 1, "C_EncryptMessage"},
    {"NssKwp", "nss", "CKM_AES_GCM", KeyMechanism::kAesKwp, 40, "AES-GCM: not listed"},
    {"NssKw", "nss", "CKM_AES_GCM 0x210b", KeyMechanism::kAesKw, 40,
     "AES-GCM: not listed; AES-KWP: not listed"},
    {"NssCbc", "nss", "CKM_AES_GCM 0x210b CKM_AES_KEY_WRAP CKM_AES_KEY_WRAP_PAD",
     KeyMechanism::kAesCbcHmac, 96,
     "AES-GCM: not listed; AES-KWP: not listed; AES-KW: not listed; AES-KW-PAD: not listed",
     "AES-256", 2, "C_Sign"},
    {"NssRsa", "nss", "CKM_AES_GCM 0x210b CKM_AES_KEY_WRAP CKM_AES_KEY_WRAP_PAD CKM_AES_CBC",
     KeyMechanism::kRsaOaepSha256, 384,
     "AES-GCM: not listed; AES-KWP: not listed; AES-KW: not listed; AES-KW-PAD: not listed; "
     "AES-CBC with HMAC-SHA-256: not listed",
     "RSA-3072", 1, nullptr},
};

class MechanismTest : public FaultyToken, public ::testing::WithParamInterface<Hidden> {
 protected:
  void SetUp() override {
    MakeFaulty(GetParam().script);
    if (!made_.has_value()) return;
    Hide("");
  }
  // The mask, and what else is to happen.
  void Hide(const std::string& more) {
    Order(absl::StrCat("mask-mechanism ", GetParam().mask, "\n", more));
  }
  KeyReference Made(const std::string& id) {
    const WorkerResponse made = Generate("kek-1", id);
    EXPECT_THAT(made.status, IsOk());
    return made.reference;
  }
  // Long, for an RSA key is made.
  WorkerResponse Adopt(const KeySelector& selector) {
    WorkerRequest request;
    request.verb = WorkerVerb::kAdopt;
    request.new_key.selector = selector;
    return Ask(std::move(request), absl::Seconds(60));
  }
};

TEST_P(MechanismTest, IsFoundAndWorksInTheNextWorkerToo) {
  const WorkerResponse made = Generate("kek-1", "\x01\xff");
  ASSERT_THAT(made.status, IsOk());
  EXPECT_EQ(ToString(made.reference.mechanism), ToString(GetParam().mechanism));
  EXPECT_EQ(made.reference.mechanism_reason, GetParam().reason);
  EXPECT_EQ(made.reference.public_key.empty(), !IsRsa(GetParam().mechanism));
  ASSERT_EQ(made.keys.size(), 1u);
  EXPECT_EQ(made.keys[0].type, GetParam().type);
  EXPECT_EQ(made.keys[0].problem, "");
  const std::vector<KeyDescription> keys = Only(WorkerVerb::kList).keys;
  EXPECT_EQ(keys.size(), GetParam().keys);
  for (const KeyDescription& key : keys) {
    EXPECT_EQ(key.problem, "") << key.selector.label;
    EXPECT_FALSE((key.encrypt || key.decrypt) && (key.wrap || key.unwrap)) << key.selector.label;
    EXPECT_EQ(key.belongs_to.empty(), key.type == "AES-256" || key.type == "RSA-3072");
    EXPECT_EQ(key.belongs_to, key.selector.label == "kek-1-mac" ? "kek-1" : "");
  }

  const WorkerResponse sealed = Encrypt(made.reference, kOneTimeKey);
  ASSERT_THAT(sealed.status, IsOk());
  EXPECT_EQ(sealed.bytes.size(), GetParam().sealed_bytes);
  EXPECT_EQ(sealed.bytes.find(kOneTimeKey), std::string::npos);
  Begin();  // another worker
  const WorkerResponse opened = Decrypt(made.reference, sealed.bytes);
  ASSERT_THAT(opened.status, IsOk());
  EXPECT_EQ(RevealedText(opened.secret), kOneTimeKey);
  EXPECT_THAT(OfKey(WorkerVerb::kProbe, made.reference).status, IsOk());
  EXPECT_EQ(OfKey(WorkerVerb::kMeasure, made.reference).measurements.size(), 2u);
  EXPECT_EQ(Only(WorkerVerb::kList).keys.size(), GetParam().keys);  // nothing is left of it
}

TEST_P(MechanismTest, TakesDamagedDataForWhatItIs) {
  const KeyReference key = Made("1");
  const std::string sealed = Encrypt(key, kOneTimeKey).bytes;
  ASSERT_FALSE(sealed.empty());
  const uint64_t initialised = Calls("C_Initialize");
  const size_t step = sealed.size() > 100 ? 61 : 1;
  for (size_t i = 0; i < sealed.size(); i += step) {
    std::string damaged = sealed;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x10);
    const WorkerResponse refused = Decrypt(key, damaged);
    EXPECT_THAT(refused.status,
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("does not authenticate")))
        << "byte " << i;
    EXPECT_FALSE(refused.restart);
  }
  for (size_t size = 0; size < sealed.size(); size += step) {
    EXPECT_THAT(Decrypt(key, sealed.substr(0, size)).status,
                StatusIs(absl::StatusCode::kInvalidArgument, _))
        << size << " bytes";
  }
  EXPECT_THAT(Decrypt(key, sealed + "x").status, StatusIs(absl::StatusCode::kInvalidArgument, _));
  if (BindsAssociatedData(key.mechanism)) {
    EXPECT_THAT(Decrypt(key, sealed, "other").status,
                StatusIs(absl::StatusCode::kInvalidArgument, _));
  }
  EXPECT_THAT(Decrypt(key, sealed).status, IsOk());
  EXPECT_EQ(Calls("C_Initialize"), initialised);  // the token was fine all the time
}

TEST_P(MechanismTest, SealsOneTimeKeysAlone) {
  const KeyReference key = Made("1");
  if (BindsAssociatedData(key.mechanism)) {
    EXPECT_THAT(Encrypt(key, "text of any size").status, IsOk());
    return;
  }
  for (const size_t size : {size_t{0}, size_t{1}, size_t{31}, size_t{33}, size_t{64}}) {
    EXPECT_THAT(Encrypt(key, std::string(size, 's')).status,
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("32 bytes")));
  }
  WorkerRequest request;
  request.verb = WorkerVerb::kEncrypt;
  request.key = key;
  request.associated_data = "data";
  request.secret = testing::SecretFromText(kOneTimeKey);
  EXPECT_THAT(Ask(std::move(request)).status,
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no associated data")));
}

// Wherever in the search it comes: the mechanism is the same, and nothing is left.
TEST_P(MechanismTest, IsFoundDespiteABadMoment) {
  if (IsRsa(GetParam().mechanism)) GTEST_SKIP() << "RSA keys take long to make";
  int id = 0;
  for (const char* const fault :
       {"C_GenerateKey return CKR_DEVICE_ERROR", "C_GenerateKey return CKR_GENERAL_ERROR",
        "C_GenerateKey at 2 return CKR_DEVICE_MEMORY", "C_EncryptInit return CKR_DEVICE_ERROR",
        "C_Encrypt at 2 return CKR_GENERAL_ERROR", "C_WrapKey return CKR_FUNCTION_FAILED",
        "C_WrapKey return CKR_SESSION_HANDLE_INVALID", "C_UnwrapKey at 2 return CKR_DEVICE_ERROR",
        "C_CreateObject return CKR_HOST_MEMORY", "C_Sign return CKR_USER_NOT_LOGGED_IN",
        "C_SignInit return CKR_GENERAL_ERROR times 2", "C_GetMechanismList return CKR_DEVICE_ERROR",
        "C_GetAttributeValue return CKR_SESSION_CLOSED", "C_EncryptMessage return CKR_DEVICE_ERROR",
        "C_WrapKey sessions-killed"}) {
    const std::string name = absl::StrCat("moment-", GetParam().name, "-", ++id);
    Hide(absl::StrCat(fault, " as ", name));
    const WorkerResponse made = Generate("kek-1", absl::StrCat("id-", id));
    ASSERT_THAT(made.status, IsOk()) << fault;
    // Each search calls these, and the function by which the mechanism seals.
    for (const std::string& function :
         {std::string("C_GenerateKey"), std::string("C_GetMechanismList"),
          std::string("C_GetAttributeValue"), std::string(GetParam().seals)}) {
      const bool first = absl::StartsWith(fault, function + " return") ||
                         absl::StartsWith(fault, function + " sessions-killed");
      if (first) {
        EXPECT_GE(Faults(name), 1u) << fault;
      }
    }
    EXPECT_EQ(ToString(made.reference.mechanism), ToString(GetParam().mechanism)) << fault;
    EXPECT_THAT(Encrypt(made.reference, kOneTimeKey).status, IsOk()) << fault;
  }
  Hide("");
  EXPECT_EQ(Only(WorkerVerb::kList).keys.size(), static_cast<size_t>(id) * GetParam().keys);
}

// What a token always says can't be told from what it can't do; what it says of everything can.
TEST_P(MechanismTest, IsNotFoundInABadMinute) {
  if (GetParam().seals == nullptr) GTEST_SKIP() << "nothing is sealed by the module";
  Hide(absl::StrCat(GetParam().seals, " return CKR_DEVICE_ERROR always"));
  const WorkerResponse made = Generate("kek-1", "1");
  EXPECT_THAT(made.status, StatusIs(absl::StatusCode::kUnavailable, _));
  Hide("");
  EXPECT_TRUE(Only(WorkerVerb::kList).keys.empty());
}

TEST_P(MechanismTest, IsFoundForAKeyThatIsAdopted) {
  const KeyReference made = Made("1");
  const WorkerResponse adopted = Adopt({.label = "kek-1", .id = ""});
  ASSERT_THAT(adopted.status, IsOk());
  EXPECT_EQ(ToString(adopted.reference.mechanism), ToString(made.mechanism));
  EXPECT_EQ(adopted.reference.public_key, made.public_key);
  EXPECT_EQ(adopted.reference.key, made.key);
  const std::string sealed = Encrypt(made, kOneTimeKey).bytes;
  EXPECT_EQ(RevealedText(Decrypt(adopted.reference, sealed).secret), kOneTimeKey);
  EXPECT_EQ(Only(WorkerVerb::kList).keys.size(), GetParam().keys);
}

TEST_P(MechanismTest, IsDestroyedWithAllItsObjects) {
  const KeyReference key = Made("1");
  const std::string sealed = Encrypt(key, kOneTimeKey).bytes;
  ASSERT_THAT(OfKey(WorkerVerb::kDestroy, key).status, IsOk());
  EXPECT_TRUE(Only(WorkerVerb::kList).keys.empty());
  EXPECT_THAT(Decrypt(key, sealed).status, StatusIs(absl::StatusCode::kNotFound, _));
  EXPECT_THAT(OfKey(WorkerVerb::kDestroy, key).status, IsOk());
}

// The same name, another key: what the first has sealed must not be called damaged, nor may
// anything be sealed with it.
TEST_P(MechanismTest, TellsAnotherKeyOfTheSameName) {
  const KeyReference key = Made("1");
  const std::string sealed = Encrypt(key, kOneTimeKey).bytes;
  // As another process at the same token would.
  std::unique_ptr<Token> other =
      std::make_unique<Token>(config_, FileSystem::System(), RandomSource::System());
  std::swap(token_, other);
  ASSERT_THAT(OfKey(WorkerVerb::kDestroy, key).status, IsOk());
  ASSERT_THAT(Generate("kek-1", "1").status, IsOk());
  std::swap(token_, other);
  const absl::Status refused = Decrypt(key, sealed).status;
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("another key")));
  EXPECT_THAT(Encrypt(key, kOneTimeKey).status,
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("another key")));
}

// An HMAC key that is the same proves nothing of the AES key beside it.
TEST_P(MechanismTest, TellsAnotherCipherKeyBesideTheSameHmacKey) {
  if (GetParam().mechanism != KeyMechanism::kAesCbcHmac) GTEST_SKIP() << "it has one key";
  const KeyReference key = Made("1");
  const std::string sealed = Encrypt(key, kOneTimeKey).bytes;
  std::unique_ptr<Token> other =
      std::make_unique<Token>(config_, FileSystem::System(), RandomSource::System());
  std::swap(token_, other);
  KeyReference cipher_alone = key;
  cipher_alone.mechanism = KeyMechanism::kGcmCallerIv;
  ASSERT_THAT(OfKey(WorkerVerb::kDestroy, cipher_alone).status, IsOk());
  Order("");  // nothing hidden: one AES key is made
  ASSERT_THAT(Generate("kek-1", "1").status, IsOk());
  Hide("");
  ASSERT_EQ(Only(WorkerVerb::kList).keys.size(), 2u);
  std::swap(token_, other);
  EXPECT_THAT(Decrypt(key, sealed).status,
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("another key")));
  EXPECT_THAT(Encrypt(key, kOneTimeKey).status,
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("another key")));
  Begin();  // one that has not known the first
  EXPECT_THAT(Decrypt(key, sealed).status,
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("does not authenticate")));
}

INSTANTIATE_TEST_SUITE_P(Masked, MechanismTest, ::testing::ValuesIn(kHidden),
                         [](const ::testing::TestParamInfo<Hidden>& hidden) {
                           return std::string(hidden.param.name);
                         });

// With SoftHSM2.
using MechanismFaultTest = FaultyToken;

TEST_F(MechanismFaultTest, SaysWhatATokenLacksThatCanDoNothing) {
  Order(
      "mask-mechanism CKM_AES_GCM CKM_AES_KEY_WRAP CKM_AES_KEY_WRAP_PAD CKM_AES_CBC "
      "CKM_RSA_PKCS_OAEP");
  const WorkerResponse made = Generate("kek-1", "1");
  EXPECT_THAT(made.status,
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("AES-GCM: CKR_MECHANISM_INVALID"),
                             HasSubstr("RSA-OAEP with SHA-1: CKR_MECHANISM_INVALID"))));
  EXPECT_TRUE(Only(WorkerVerb::kList).keys.empty());
}

TEST_F(MechanismFaultTest, BelievesAGeneralErrorThatStaysWhileTheTokenWorks) {
  Order("C_EncryptInit return CKR_GENERAL_ERROR always");
  const WorkerResponse made = Generate("kek-1", "1");
  ASSERT_THAT(made.status, IsOk());
  EXPECT_EQ(made.reference.mechanism, KeyMechanism::kAesKw);
  EXPECT_THAT(made.reference.mechanism_reason, HasSubstr("AES-GCM: CKR_GENERAL_ERROR"));
  EXPECT_EQ(Only(WorkerVerb::kList).keys.size(), 1u);
  // As often as the search tries it, and once less: then it was a bad moment.
  Order("C_EncryptInit return CKR_GENERAL_ERROR times 7");
  const WorkerResponse better = Generate("kek-2", "2");
  ASSERT_THAT(better.status, IsOk());
  EXPECT_EQ(better.reference.mechanism, KeyMechanism::kGcmCallerIv);
}

// Of a pair that may have been made: none is left beside the next, which is no smaller.
TEST_F(MechanismFaultTest, MakesNoSmallerPairAfterABadMoment) {
  int id = 0;
  for (const char* const action : {"return", "return-after"}) {
    Order(absl::StrCat(
        "mask-mechanism CKM_AES_GCM CKM_AES_KEY_WRAP CKM_AES_KEY_WRAP_PAD CKM_AES_CBC\n"
        "C_GenerateKeyPair ",
        action, " CKR_GENERAL_ERROR"));
    const WorkerResponse made = Generate("kek-1", absl::StrCat("id-", ++id));
    ASSERT_THAT(made.status, IsOk()) << action;
    ASSERT_EQ(made.keys.size(), 1u);
    EXPECT_EQ(made.keys[0].type, "RSA-3072") << action;
    EXPECT_EQ(Only(WorkerVerb::kList).keys.size(), static_cast<size_t>(id)) << action;
  }
}

TEST_F(MechanismFaultTest, RefusesToAdoptWhatItCanNotUse) {
  ASSERT_THAT(Generate("kek-1", "1").status, IsOk());
  Order("mask-mechanism CKM_AES_GCM");
  WorkerRequest request;
  request.verb = WorkerVerb::kAdopt;
  request.new_key.selector.label = "kek-1";
  EXPECT_THAT(Ask(std::move(request)).status,
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("AES-GCM: CKR_MECHANISM_INVALID"),
                             HasSubstr("no HMAC key 'kek-1-mac'"))));
}

// What a token leaves out is not taken for an answer, and each of the two objects is asked.
TEST_F(MechanismFaultTest, TellsWhatTheTokenDoesNotSayOfAKey) {
  Order("mask-mechanism CKM_AES_GCM CKM_AES_KEY_WRAP CKM_AES_KEY_WRAP_PAD");
  const WorkerResponse made = Generate("kek-1", "1");
  ASSERT_THAT(made.status, IsOk());
  ASSERT_EQ(made.reference.mechanism, KeyMechanism::kAesCbcHmac);
  Order("attribute 0x163 not-told\nattribute 0x164 no");
  const WorkerResponse asked = OfKey(WorkerVerb::kAttest, made.reference);
  ASSERT_THAT(asked.status, IsOk());
  ASSERT_EQ(asked.keys.size(), 2u);
  EXPECT_EQ(asked.keys[1].belongs_to, "kek-1");
  for (const KeyDescription& key : asked.keys) {
    EXPECT_EQ(key.claims.local, std::nullopt);
    EXPECT_EQ(key.claims.never_extractable, false);
    EXPECT_EQ(key.claims.always_sensitive, true);
    EXPECT_EQ(key.claims.bits, 256u);
  }
  EXPECT_EQ(asked.keys[0].claims.generated_by, "CKM_AES_KEY_GEN");
  EXPECT_EQ(asked.keys[1].claims.generated_by, "CKM_GENERIC_SECRET_KEY_GEN");
}

TEST_F(MechanismFaultTest, TriesEachMechanismAndLeavesNothing) {
  Order("mask-mechanism CKM_AES_GCM in C_EncryptInit");
  const WorkerResponse tried = Only(WorkerVerb::kTry);
  ASSERT_THAT(tried.status, IsOk());
  ASSERT_EQ(tried.trials.size(), size_t{kLastKeyMechanism});
  for (const MechanismTrial& trial : tried.trials) {
    const bool works = trial.mechanism == KeyMechanism::kAesKw ||
                       trial.mechanism == KeyMechanism::kAesKwPad ||
                       trial.mechanism == KeyMechanism::kAesCbcHmac;
    EXPECT_EQ(trial.problem.empty(), works) << ToString(trial.mechanism) << ": " << trial.problem;
  }
  EXPECT_TRUE(Only(WorkerVerb::kList).keys.empty());
}

}  // namespace
}  // namespace kekd
