#include "hsm/key_attestation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kekd {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

KeyClaims GoodClaims() {
  KeyClaims claims;
  claims.local = claims.sensitive = claims.always_sensitive = claims.never_extractable = true;
  claims.extractable = claims.modifiable = false;
  claims.generated_by = "CKM_AES_KEY_GEN";
  claims.bits = 256;
  return claims;
}

std::string SaysOf(const KeyClaims& claims, const std::string& name) {
  for (const KeyAttestation::Statement& each : StatementsOf(claims)) {
    if (each.name == name) return each.says;
  }
  return "no such statement";
}

TEST(KeyAttestationTest, AKeyThatNeverLeftItsTokenIsToldAsOne) {
  EXPECT_EQ(VerdictOn(GoodClaims()), "made in the token and never left it, says the token");
}

// Each of them alone takes the sentence away.
TEST(KeyAttestationTest, NothingElseIsToldAsOneThatNeverLeft) {
  for (const auto claim : {&KeyClaims::local, &KeyClaims::sensitive, &KeyClaims::always_sensitive,
                           &KeyClaims::extractable, &KeyClaims::never_extractable}) {
    KeyClaims claims = GoodClaims();
    claims.*claim = !*(claims.*claim);
    EXPECT_THAT(VerdictOn(claims), Not(HasSubstr("never left it")));
  }
  for (const auto claim : {&KeyClaims::local, &KeyClaims::never_extractable}) {
    KeyClaims claims = GoodClaims();
    (claims.*claim).reset();
    EXPECT_THAT(VerdictOn(claims), HasSubstr("does not say"));
  }
  EXPECT_THAT(VerdictOn(KeyClaims()), HasSubstr("the token does not say where"));
}

TEST(KeyAttestationTest, AnImportedKeySaysWhatCanNotBeProved) {
  KeyClaims claims = GoodClaims();
  claims.local = claims.never_extractable = claims.always_sensitive = false;
  EXPECT_THAT(VerdictOn(claims), HasSubstr("where else it is can't be proved"));
  claims.extractable = true;
  EXPECT_THAT(VerdictOn(claims), HasSubstr("it can leave the token: who has made it"));
}

TEST(KeyAttestationTest, ATokenThatContradictsItselfIsNotBelieved) {
  KeyClaims claims = GoodClaims();
  claims.local = false;
  EXPECT_THAT(VerdictOn(claims), HasSubstr("the token contradicts itself"));
}

TEST(KeyAttestationTest, WhatIsNotToldIsNotTakenForNo) {
  const KeyClaims nothing;
  for (const KeyAttestation::Statement& each : StatementsOf(nothing)) {
    EXPECT_EQ(each.says, "") << each.name;
  }
  EXPECT_EQ(SaysOf(GoodClaims(), "CKA_LOCAL"), "yes");
  EXPECT_EQ(SaysOf(GoodClaims(), "CKA_EXTRACTABLE"), "no");
  EXPECT_EQ(SaysOf(GoodClaims(), "CKA_KEY_GEN_MECHANISM"), "CKM_AES_KEY_GEN");
  EXPECT_EQ(SaysOf(GoodClaims(), "size"), "256");
  KeyClaims imported;
  imported.generated_by = "";
  imported.allowed_mechanisms = {"CKM_AES_GCM", "0x80000001"};
  EXPECT_EQ(SaysOf(imported, "CKA_KEY_GEN_MECHANISM"), "none");
  EXPECT_EQ(SaysOf(imported, "CKA_ALLOWED_MECHANISMS"), "CKM_AES_GCM, 0x80000001");
}

TEST(KeyAttestationTest, OfTwoObjectsTheOneOfWhichLessCanBeSaidGivesTheVerdict) {
  std::vector<KeyDescription> objects(2);
  objects[0].type = "AES-256";
  objects[1].type = "HMAC-256";
  objects[0].claims = objects[1].claims = GoodClaims();
  EXPECT_EQ(AttestationOf(objects).verdict, VerdictOn(GoodClaims()));
  objects[1].claims.local = objects[1].claims.never_extractable = false;
  EXPECT_THAT(AttestationOf(objects).verdict, HasSubstr("of its HMAC-256 key: imported"));
  std::swap(objects[0].claims, objects[1].claims);
  EXPECT_THAT(AttestationOf(objects).verdict, HasSubstr("imported"));
  EXPECT_EQ(AttestationOf(objects).objects.size(), 2u);
  const absl::Status away = absl::UnavailableError("the token is away");
  EXPECT_EQ(AttestationOf(away).status, away);
}

}  // namespace
}  // namespace kekd
