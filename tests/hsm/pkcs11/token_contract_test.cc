// What every token must do, with those that can be had here.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ostream>
#include <string>

#include "tests/hsm/pkcs11/token_fixture.h"
#include "tests/support/secrets.h"
#include "tests/support/status_matchers.h"

namespace kekd {
namespace {

using ::testing::_;
using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::IsOk;
using testing::RevealedText;
using testing::StatusIs;
using testing::TokenFixture;

// A token's script, and what it can do.
struct Ability {
  const char* script;
  bool non_modifiable;  // keeps CKA_MODIFIABLE false
  bool local;           // says CKA_LOCAL of a key that it has made
};
void PrintTo(const Ability& ability, std::ostream* out) { *out << ability.script; }

class TokenContractTest : public TokenFixture, public ::testing::WithParamInterface<Ability> {
 protected:
  void SetUp() override { Make(GetParam().script); }
};

TEST_P(TokenContractTest, DescribesItselfAfterTheStart) {
  const WorkerResponse started = Only(WorkerVerb::kStart);
  ASSERT_THAT(started.status, IsOk());
  EXPECT_EQ(started.token.token.label, made_->label);
  EXPECT_EQ(started.token.pin_state, "ok");
  EXPECT_EQ(started.token.pin_problem, "");
  EXPECT_NE(started.token.module, "");
  EXPECT_THAT(started.token.mechanisms, ::testing::Contains("CKM_AES_GCM"));
}

TEST_P(TokenContractTest, GeneratesAKeyThatStaysAndWorks) {
  const WorkerResponse made = Generate("kek-1", "\x01\xff");
  ASSERT_THAT(made.status, IsOk());
  ASSERT_EQ(made.keys.size(), 1u);
  EXPECT_EQ(made.keys[0].problem, "");
  EXPECT_EQ(made.keys[0].type, "AES-256");
  EXPECT_TRUE(made.keys[0].is_private);
  EXPECT_EQ(made.keys[0].modifiable, !GetParam().non_modifiable);
  EXPECT_EQ(made.reference.mechanism, KeyMechanism::kGcmCallerIv);
  EXPECT_EQ(made.reference.key.label, "kek-1");

  const std::string text(32, 's');
  const WorkerResponse sealed = Encrypt(made.reference, text);
  ASSERT_THAT(sealed.status, IsOk());
  EXPECT_EQ(sealed.bytes.size(), 12 + text.size() + 16);
  EXPECT_EQ(sealed.bytes.find(text), std::string::npos);
  EXPECT_NE(Encrypt(made.reference, text).bytes, sealed.bytes);

  Begin();  // another worker
  const WorkerResponse opened = Decrypt(made.reference, sealed.bytes);
  ASSERT_THAT(opened.status, IsOk());
  EXPECT_EQ(RevealedText(opened.secret), text);
  EXPECT_THAT(OfKey(WorkerVerb::kProbe, made.reference).status, IsOk());
}

TEST_P(TokenContractTest, SaysWhatBecameOfAKeyThatItMade) {
  const WorkerResponse made = Generate("kek-1", "1");
  ASSERT_THAT(made.status, IsOk());
  const WorkerResponse asked = OfKey(WorkerVerb::kAttest, made.reference);
  ASSERT_THAT(asked.status, IsOk());
  ASSERT_EQ(asked.keys.size(), 1u);
  EXPECT_EQ(asked.keys[0].selector, made.reference.key);
  const KeyClaims& claims = asked.keys[0].claims;
  EXPECT_EQ(claims.local, GetParam().local);
  EXPECT_EQ(claims.sensitive, true);
  EXPECT_EQ(claims.always_sensitive, true);
  EXPECT_EQ(claims.extractable, false);
  EXPECT_EQ(claims.never_extractable, true);
  EXPECT_EQ(claims.bits, 256u);
  EXPECT_THAT(Only(WorkerVerb::kList).keys,
              ::testing::ElementsAre(::testing::Field(&KeyDescription::claims,
                                                      ::testing::Field(&KeyClaims::bits, 256u))));
  EXPECT_THAT(OfKey(WorkerVerb::kDestroy, made.reference).status, IsOk());
  EXPECT_THAT(OfKey(WorkerVerb::kAttest, made.reference).status,
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_P(TokenContractTest, TakesDamagedDataForWhatItIs) {
  const WorkerResponse made = Generate("kek-1", "1");
  ASSERT_THAT(made.status, IsOk());
  const std::string sealed = Encrypt(made.reference, "text").bytes;
  for (size_t i = 0; i < sealed.size(); ++i) {
    std::string damaged = sealed;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x10);
    const WorkerResponse refused = Decrypt(made.reference, damaged);
    EXPECT_THAT(refused.status,
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("does not authenticate")))
        << "byte " << i;
    EXPECT_FALSE(refused.restart);
  }
  for (size_t size = 0; size < sealed.size(); ++size) {
    EXPECT_THAT(Decrypt(made.reference, sealed.substr(0, size)).status,
                StatusIs(absl::StatusCode::kInvalidArgument, _))
        << size << " bytes";
  }
  EXPECT_THAT(Decrypt(made.reference, sealed, "other").status,
              StatusIs(absl::StatusCode::kInvalidArgument, _));
  EXPECT_THAT(Decrypt(made.reference, sealed).status, IsOk());
}

TEST_P(TokenContractTest, NeverMakesASecondKeyOfTheSameId) {
  ASSERT_THAT(Generate("kek-1", "1").status, IsOk());
  EXPECT_THAT(Generate("kek-2", "1").status,
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("already")));
  EXPECT_EQ(Only(WorkerVerb::kList).keys.size(), 1u);
  // Of another cluster's ring of the same name, which may use the same token.
  EXPECT_THAT(Generate("kek-1", "2").status, IsOk());
  EXPECT_EQ(Only(WorkerVerb::kList).keys.size(), 2u);
}

TEST_P(TokenContractTest, AdoptsAKeyByItsLabelAlone) {
  const WorkerResponse made = Generate("kek-1", "1");
  ASSERT_THAT(made.status, IsOk());
  WorkerRequest request;
  request.verb = WorkerVerb::kAdopt;
  request.new_key.selector.label = "kek-1";
  const WorkerResponse adopted = Ask(std::move(request));
  ASSERT_THAT(adopted.status, IsOk());
  EXPECT_EQ(adopted.reference, made.reference);
}

TEST_P(TokenContractTest, DestroysAKeyOnceAndForAll) {
  const WorkerResponse made = Generate("kek-1", "1", true);
  ASSERT_THAT(made.status, IsOk());
  config_.session_copy = true;  // also the copy in the session
  Begin();
  const std::string sealed = Encrypt(made.reference, "text").bytes;
  ASSERT_THAT(OfKey(WorkerVerb::kDestroy, made.reference).status, IsOk());
  EXPECT_THAT(Decrypt(made.reference, sealed).status, StatusIs(absl::StatusCode::kNotFound, _));
  EXPECT_THAT(OfKey(WorkerVerb::kProbe, made.reference).status,
              StatusIs(absl::StatusCode::kNotFound, _));
  EXPECT_THAT(OfKey(WorkerVerb::kDestroy, made.reference).status, IsOk());
  EXPECT_TRUE(Only(WorkerVerb::kList).keys.empty());
}

TEST_P(TokenContractTest, DestroysNothingThatMayBeAnotherKey) {
  const WorkerResponse made = Generate("kek-1", "1");
  ASSERT_THAT(made.status, IsOk());
  KeyReference key = made.reference;
  key.token.serial = "0000";
  EXPECT_THAT(OfKey(WorkerVerb::kDestroy, key).status,
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("'0000'")));
  key = made.reference;
  key.key.id.clear();
  EXPECT_THAT(OfKey(WorkerVerb::kDestroy, key).status,
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("without an id")));
  EXPECT_EQ(Only(WorkerVerb::kList).keys.size(), 1u);
}

TEST_P(TokenContractTest, WorksWithACopyInTheSession) {
  const WorkerResponse made = Generate("kek-1", "1", true);
  ASSERT_THAT(made.status, IsOk());
  const std::string sealed = Encrypt(made.reference, "text").bytes;
  config_.session_copy = true;
  Begin();
  const WorkerResponse measured = OfKey(WorkerVerb::kMeasure, made.reference);
  ASSERT_THAT(measured.status, IsOk());
  EXPECT_EQ(measured.measurements.size(), 4u);  // with the key and with its copy
  for (const Measurement& measurement : measured.measurements) {
    EXPECT_GT(measurement.p50, 0u) << measurement.what;
    EXPECT_GE(measurement.p99, measurement.p50) << measurement.what;
  }
  EXPECT_THAT(Decrypt(made.reference, sealed).status, IsOk());
  const WorkerResponse again = Encrypt(made.reference, "text");
  config_.session_copy = false;
  Begin();
  EXPECT_THAT(Decrypt(made.reference, again.bytes).status, IsOk());
}

TEST_P(TokenContractTest, WorksWithoutACopyWhereThereCanBeNone) {
  const WorkerResponse made = Generate("kek-1", "1", false);
  ASSERT_THAT(made.status, IsOk());
  config_.session_copy = true;
  Begin();
  const WorkerResponse sealed = Encrypt(made.reference, "text");
  ASSERT_THAT(sealed.status, IsOk());
  EXPECT_THAT(Decrypt(made.reference, sealed.bytes).status, IsOk());
}

TEST_P(TokenContractTest, SaysThatAKeyIsNotThere) {
  ASSERT_THAT(Only(WorkerVerb::kStart).status, IsOk());
  const WorkerResponse response = Encrypt({.key = {.label = "none", .id = "1"}}, "text");
  EXPECT_THAT(response.status, StatusIs(absl::StatusCode::kNotFound, HasSubstr("'none' (id 31)")));
  EXPECT_FALSE(response.restart);
}

// With SoftHSM2, which can have many tokens.
class TokenFindingTest : public TokenFixture {
 protected:
  void SetUp() override {
    Make("softhsm2");
    if (!made_.has_value()) return;
    ASSERT_TRUE(testing::MakeTestToken("softhsm2", directory_.path(), "other", kPin).has_value());
  }
  absl::Status Find(const TokenSelector& token) {
    config_.token = token;
    Begin();
    const absl::Status status = Only(WorkerVerb::kStart).status;
    EndModule();
    return status;
  }
};

TEST_F(TokenFindingTest, FindsATokenByWhatTellsItFromTheOthers) {
  EXPECT_THAT(Find({.label = made_->label}), IsOk());
  EXPECT_THAT(Find({.serial = made_->serial}), IsOk());
  EXPECT_THAT(Find({.label = made_->label, .manufacturer = "SoftHSM project"}), IsOk());
}

TEST_F(TokenFindingTest, ListsWhatThereIsWhenNoneFits) {
  EXPECT_THAT(Find({.label = "none"}),
              StatusIs(absl::StatusCode::kUnavailable,
                       AllOf(HasSubstr("no token with label 'none'"), HasSubstr("'other'"),
                             HasSubstr(made_->serial))));
  EXPECT_THAT(Find({.label = made_->label, .serial = "0000"}),
              StatusIs(absl::StatusCode::kUnavailable, _));
}

TEST_F(TokenFindingTest, ListsTheCandidatesWhenSeveralFit) {
  EXPECT_THAT(Find({}), StatusIs(absl::StatusCode::kFailedPrecondition,
                                 AllOf(HasSubstr("more than one"), HasSubstr("'other'"),
                                       HasSubstr("'kekd-test'"), HasSubstr(made_->serial))));
  ASSERT_TRUE(
      testing::MakeTestToken("softhsm2", directory_.path(), made_->label, kPin).has_value());
  EXPECT_THAT(Find({.label = made_->label}), StatusIs(absl::StatusCode::kFailedPrecondition, _));
}

INSTANTIATE_TEST_SUITE_P(Tokens, TokenContractTest,
                         ::testing::Values(Ability{"softhsm2", true, true},
                                           Ability{"nss", true, false}),
                         [](const auto& test) { return std::string(test.param.script); });

}  // namespace
}  // namespace kekd
