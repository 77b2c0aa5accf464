#include "hsm/token/token_uri.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "hsm/token/key_reference.h"
#include "tests/support/status_matchers.h"

namespace kekd::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(TokenUriTest, ReadsEveryAttribute) {
  KEKD_ASSERT_OK_AND_ASSIGN(
      const TokenUri uri,
      TokenUri::Parse(
          "pkcs11:token=The%20Software%20PKCS%2311%20Softtoken;manufacturer=Snake%20Oil,"
          "%20Inc.;model=1.0;serial=0a1b;object=my-key;type=secret-key;"
          "id=%69%95%3E%5C%F4%BD%EC%91?pin-source=file:/etc/token_pin&"
          "module-path=/usr/lib/softhsm/libsofthsm2.so"));
  EXPECT_EQ(uri.token.label, "The Software PKCS#11 Softtoken");
  EXPECT_EQ(uri.token.manufacturer, "Snake Oil, Inc.");
  EXPECT_EQ(uri.token.model, "1.0");
  EXPECT_EQ(uri.token.serial, "0a1b");
  EXPECT_EQ(uri.key.label, "my-key");
  EXPECT_EQ(uri.key.id, "\x69\x95\x3e\x5c\xf4\xbd\xec\x91");
  EXPECT_EQ(uri.pin_file, "/etc/token_pin");
  EXPECT_EQ(uri.module_path, "/usr/lib/softhsm/libsofthsm2.so");
}

TEST(TokenUriTest, WritesOneSpellingThatReadsBack) {
  for (const absl::string_view text :
       {"pkcs11:", "pkcs11:token=a", "pkcs11:id=%00%01?pin-source=/a",
        "pkcs11:object=b%C3%A9;token=a%3Bb%26c%3Fd%25?module-path=/m.so&pin-source=/p%20q",
        "pkcs11:model=m;serial=s;manufacturer=x"}) {
    KEKD_ASSERT_OK_AND_ASSIGN(const TokenUri uri, TokenUri::Parse(text));
    const std::string spelled = uri.ToString();
    KEKD_ASSERT_OK_AND_ASSIGN(const TokenUri again, TokenUri::Parse(spelled));
    EXPECT_EQ(again.ToString(), spelled);
    EXPECT_EQ(again.token, uri.token);
    EXPECT_EQ(again.key, uri.key);
    EXPECT_EQ(again.module_path, uri.module_path);
    EXPECT_EQ(again.pin_file, uri.pin_file);
  }
}

TEST(TokenUriTest, TakesEveryFormOfAPinFile) {
  for (const absl::string_view source : {"/etc/pin", "file:/etc/pin", "file:///etc/pin"}) {
    KEKD_ASSERT_OK_AND_ASSIGN(const TokenUri uri,
                              TokenUri::Parse(absl::StrCat("pkcs11:?pin-source=", source)));
    EXPECT_EQ(uri.pin_file, "/etc/pin");
  }
}

TEST(TokenUriTest, RefusesWhatItCannotHoldTo) {
  const struct {
    absl::string_view uri;
    absl::string_view why;
  } kCases[] = {
      {"", "begin with"},
      {"pkcs12:token=a", "begin with"},
      {"PKCS11:token=a", "begin with"},
      {"pkcs11:token=a;token=b", "token twice"},
      {"pkcs11:object=a;id=%01;object=a", "object twice"},
      {"pkcs11:?pin-source=/a&pin-source=/a", "pin-source twice"},
      {"pkcs11:token=a?pin-value=1234", "pin-value"},
      {"pkcs11:pin-value=1234", "pin-value"},
      {"pkcs11:slot-id=1", "slot-id"},
      {"pkcs11:slot-description=a", "slot-description"},
      {"pkcs11:?module-name=softhsm2", "module-path"},
      {"pkcs11:library-version=3", "module-path"},
      {"pkcs11:tokens=a", "does not know"},
      {"pkcs11:x-vendor=a", "does not know"},
      {"pkcs11:?x-vendor=a", "does not know"},
      {"pkcs11:module-path=/a", "does not know"},
      {"pkcs11:?token=a", "does not know"},
      {"pkcs11:Token=a", "does not know"},
      {"pkcs11:token", "without a value"},
      {"pkcs11:token=", "without a value"},
      {"pkcs11:serial=;token=a", "without a value"},
      {"pkcs11:token=%20%20", "spaces alone"},
      {"pkcs11:object=a;serial=%00", "spaces alone"},
      {"pkcs11:?module-path=%00/m.so", "zero byte"},
      {"pkcs11:?pin-source=/pin%00.bak", "zero byte"},
      {"pkcs11:token=a;", "empty attribute"},
      {"pkcs11:;token=a", "empty attribute"},
      {"pkcs11:token=a?pin-source=/a&", "empty attribute"},
      {"pkcs11:token=a b", "percent-encode"},
      {"pkcs11:token=a\n", "percent-encode"},
      {"pkcs11:token=\xc3\xa9", "percent-encode"},
      {"pkcs11:token=a#b", "percent-encode"},
      {"pkcs11:token=%4", "is none"},
      {"pkcs11:token=%zz", "is none"},
      {"pkcs11:object=a;type=private", "secret-key"},
      {"pkcs11:object=a;type=cert", "secret-key"},
      {"pkcs11:object=a;type=nonsense", "type"},
      {"pkcs11:?pin-source=|/bin/cat", "command"},
      {"pkcs11:?pin-source=%7C/bin/cat", "command"},
      {"pkcs11:?pin-source=pin", "absolute"},
      {"pkcs11:?pin-source=file:pin", "absolute"},
      {"pkcs11:?pin-source=file://host/pin", "absolute"},
      {"pkcs11:?pin-source=https://host/pin", "absolute"},
      {"pkcs11:?module-path=libsofthsm2.so", "absolute"},
      {"pkcs11:token=0123456789012345678901234567890123", ""},
  };
  for (const auto& test : kCases) {
    const absl::StatusOr<TokenUri> uri = TokenUri::Parse(test.uri);
    ASSERT_THAT(uri, StatusIs(absl::StatusCode::kInvalidArgument)) << test.uri;
    EXPECT_THAT(std::string(uri.status().message()), HasSubstr(std::string(test.why))) << test.uri;
  }
}

TEST(TokenUriTest, NeverRepeatsWhatMayBeAPin) {
  for (const absl::string_view uri :
       {"pkcs11:?pin-value=hunter2", "pkcs11:hunter2", "pkcs11:hunter2=1", "hunter2",
        "pkcs11:token=%hunter2", "pkcs11:?pin-source=hunter2", "pkcs11:type=hunter2"}) {
    const absl::StatusOr<TokenUri> refused = TokenUri::Parse(uri);
    ASSERT_THAT(refused, Not(IsOk()));
    EXPECT_THAT(std::string(refused.status().message()), Not(HasSubstr("hunter2"))) << uri;
  }
}

KeyReference Sample() {
  KeyReference reference;
  reference.token = {.label = "pr;od", .model = "SoftHSM v2", .serial = "0a1b"};
  reference.key = {.label = "kekd-prod-3", .id = std::string("\0\x01\xff", 3)};
  reference.mechanism = KeyMechanism::kGcmTokenIv;
  reference.mechanism_reason = "CKR_VENDOR_DEFINED + 0x12";
  reference.made_for = "11111111-1111-4111-8111-111111111111/22222222/3";
  return reference;
}

TEST(KeyReferenceTest, ReadsBackWhatItWrote) {
  EXPECT_EQ(Sample().ToString(),
            "pkcs11:token=pr%3Bod;model=SoftHSM%20v2;serial=0a1b;object=kekd-prod-3;id=%00%01%FF"
            "?x-kekd-iv=token&x-kekd-iv-reason=CKR_VENDOR_DEFINED%20%2B%200x12"
            "&x-kekd-for=11111111-1111-4111-8111-111111111111/22222222/3");
  KeyReference plain = Sample();
  plain.mechanism = KeyMechanism::kGcmCallerIv;
  plain.mechanism_reason.clear();
  KeyReference no_reason = Sample();
  no_reason.mechanism_reason.clear();
  no_reason.mechanism = KeyMechanism::kGcmTokenIvAppended;
  KeyReference nobody = Sample();
  nobody.made_for.clear();
  for (const KeyReference& reference : {Sample(), plain, no_reason, nobody}) {
    KEKD_ASSERT_OK_AND_ASSIGN(const KeyReference again, KeyReference::Parse(reference.ToString()));
    EXPECT_EQ(again, reference) << reference.ToString();
  }
}

TEST(KeyReferenceTest, WritesHowAKeyWrapsAnother) {
  KeyReference reference = Sample();
  reference.mechanism_reason = "AES-GCM: CKR_MECHANISM_INVALID; AES-KWP: not listed";
  const std::pair<KeyMechanism, absl::string_view> kNames[] = {
      {KeyMechanism::kGcmMessage, "x-kekd-iv=message&x-kekd-iv-reason="},
      {KeyMechanism::kAesKwp, "x-kekd-wrap=aes-kwp&x-kekd-wrap-reason="},
      {KeyMechanism::kAesKw, "x-kekd-wrap=aes-kw&x-kekd-wrap-reason="},
      {KeyMechanism::kAesKwPad, "x-kekd-wrap=aes-kw-pad&x-kekd-wrap-reason="},
      {KeyMechanism::kAesCbcHmac, "x-kekd-wrap=aes-cbc-hmac&x-kekd-wrap-reason="},
      {KeyMechanism::kRsaOaepSha256, "x-kekd-wrap=rsa-oaep-sha256&x-kekd-wrap-reason="},
      {KeyMechanism::kRsaOaepSha1, "x-kekd-wrap=rsa-oaep-sha1&x-kekd-wrap-reason="},
  };
  for (const auto& [mechanism, text] : kNames) {
    reference.mechanism = mechanism;
    reference.public_key = IsRsa(mechanism) ? "\x30\xff\xfe\x3e" : "";
    reference.origin = IsRsa(mechanism) ? "\xff\xff\xff" : "";
    EXPECT_THAT(reference.ToString(),
                HasSubstr(absl::StrCat(
                    "?", text,
                    "AES-GCM%3A%20CKR_MECHANISM_INVALID%3B%20AES-KWP%3A%20not"
                    "%20listed",
                    IsRsa(mechanism) ? "&x-kekd-public-key=MP_-Pg&x-kekd-origin=____" : "",
                    "&x-kekd-for=1")));
    KEKD_ASSERT_OK_AND_ASSIGN(const KeyReference again, KeyReference::Parse(reference.ToString()));
    EXPECT_EQ(again, reference);
    // The key's public half and its origin, where it has them and nowhere else.
    for (std::string KeyReference::*const field :
         {&KeyReference::public_key, &KeyReference::origin}) {
      KeyReference wrong = reference;
      wrong.*field = IsRsa(mechanism) ? "" : "x";
      EXPECT_THAT(KeyReference::Parse(wrong.ToString()), StatusIs(absl::StatusCode::kDataLoss));
    }
  }
}

TEST(KeyReferenceTest, RefusesEveryOtherSpelling) {
  const std::string text = Sample().ToString();
  KEKD_ASSERT_OK(KeyReference::Parse(text));
  for (size_t size = 0; size < text.size(); ++size) {
    const absl::StatusOr<KeyReference> cut = KeyReference::Parse(text.substr(0, size));
    if (cut.ok()) {
      EXPECT_EQ(cut->ToString(), text.substr(0, size));
      EXPECT_NE(cut->made_for, Sample().made_for);
    }
  }
  for (const std::string& other :
       {text + "x=1", text + "&x-kekd-iv=token", text + ";", absl::StrCat(" ", text),
        std::string("pkcs11:object=a"), std::string("pkcs11:object=a?x-kekd-iv=nobody"),
        std::string("pkcs11:object=a?x-kekd-iv=aes-kw"),
        std::string("pkcs11:object=a?x-kekd-wrap=caller"),
        std::string("pkcs11:object=a?x-kekd-wrap=aes-kw&x-kekd-iv-reason=A"),
        std::string("pkcs11:object=a?x-kekd-wrap=rsa-oaep-sha1&x-kekd-public-key=MP_-Pg==&x-kekd-"
                    "origin=____"),
        std::string("pkcs11:object=a?x-kekd-wrap=rsa-oaep-sha1&x-kekd-public-key=MP_-Pj&x-kekd-"
                    "origin=____"),
        std::string(
            "pkcs11:object=a?x-kekd-wrap=rsa-oaep-sha1&x-kekd-public-key=MP_-Pg&x-kekd-origin=_"),
        std::string("pkcs11:object=a?x-kekd-iv-reason=A&x-kekd-iv=token"),
        std::string("pkcs11:id=%0a?x-kekd-iv=caller"), std::string("pkcs11:id=a?x-kekd-iv=caller"),
        std::string("pkcs11:object=b;token=a?x-kekd-iv=caller")}) {
    if (other == text + "x=1") continue;  // a longer made_for
    EXPECT_THAT(KeyReference::Parse(other), StatusIs(absl::StatusCode::kDataLoss)) << other;
  }
}

}  // namespace
}  // namespace kekd::testing
