#include "keystore/passphrase_kdf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "base/random_source.h"
#include "tests/support/secrets.h"
#include "tests/support/status_matchers.h"

namespace kekd {
namespace {

using ::kekd::testing::RevealedHex;
using ::kekd::testing::SecretFromText;
using ::kekd::testing::StatusIs;
using ::testing::HasSubstr;

KdfParameters SmallScrypt() {
  return {
      .function = KdfFunction::kScrypt, .log2_n = 14, .r = 8, .p = 1, .salt = "0123456789abcdef"};
}

KdfParameters SmallPbkdf2() {
  return {
      .function = KdfFunction::kPbkdf2HmacSha512, .iterations = 100000, .salt = "0123456789abcdef"};
}

// In Python: hashlib.scrypt(b'correct horse battery staple', salt=b'0123456789abcdef', n=2**14,
// r=8, p=1, maxmem=64<<20, dklen=32).hex()
TEST(PassphraseKdfTest, IsScryptOfRfc7914) {
  KEKD_ASSERT_OK_AND_ASSIGN(
      const SecretBytes key,
      DerivePassphraseKey(SecretFromText("correct horse battery staple"), SmallScrypt()));
  EXPECT_EQ(RevealedHex(key), "b632b4ded46f123a8270fc2682d75d324823957ae4f14fdbf6b22f7de04c2827");
}

// In Python: hashlib.pbkdf2_hmac('sha512', b'correct horse battery staple', b'0123456789abcdef',
// 100000, 32).hex()
TEST(PassphraseKdfTest, IsPbkdf2WithHmacSha512) {
  KEKD_ASSERT_OK_AND_ASSIGN(
      const SecretBytes key,
      DerivePassphraseKey(SecretFromText("correct horse battery staple"), SmallPbkdf2()));
  EXPECT_EQ(RevealedHex(key), "148d4da378346638841b2b47f90f79579febf1e5838ffcb0e8e21ab300236b01");
}

TEST(PassphraseKdfTest, MakesParametersThatItAcceptsAndThatAreNew) {
  for (const KdfFunction function : {KdfFunction::kScrypt, KdfFunction::kPbkdf2HmacSha512}) {
    KEKD_ASSERT_OK_AND_ASSIGN(const KdfParameters one,
                              NewKdfParameters(function, RandomSource::System()));
    KEKD_ASSERT_OK_AND_ASSIGN(const KdfParameters other,
                              NewKdfParameters(function, RandomSource::System()));
    KEKD_EXPECT_OK(CheckKdfParameters(one));
    EXPECT_NE(one.salt, other.salt);
  }
  KEKD_ASSERT_OK_AND_ASSIGN(const KdfParameters scrypt,
                            NewKdfParameters(KdfFunction::kScrypt, RandomSource::System()));
  KEKD_EXPECT_OK(DerivePassphraseKey(SecretFromText("a passphrase"), scrypt).status());
}

// What is in a file decides how much work is done before anything can be authenticated.
TEST(PassphraseKdfTest, RefusesParametersThatCostTooMuchOrProtectTooLittle) {
  const auto refused = [](KdfParameters parameters) {
    EXPECT_THAT(DerivePassphraseKey(SecretFromText("x"), parameters).status(),
                StatusIs(absl::StatusCode::kInvalidArgument));
  };
  KdfParameters parameters = SmallScrypt();
  parameters.log2_n = 13;
  refused(parameters);
  parameters.log2_n = 21;
  refused(parameters);
  parameters.log2_n = 64;
  refused(parameters);
  parameters = SmallScrypt();
  parameters.r = 0;
  refused(parameters);
  parameters.log2_n = 20;
  parameters.r = 9;  // 1.1 GiB
  refused(parameters);
  parameters = SmallScrypt();
  parameters.p = 9;
  refused(parameters);
  parameters = SmallScrypt();
  parameters.iterations = 1;
  refused(parameters);
  parameters = SmallScrypt();
  parameters.salt = "short";
  refused(parameters);
  parameters = SmallPbkdf2();
  parameters.iterations = 99999;
  refused(parameters);
  parameters.iterations = 10000001;
  refused(parameters);
  parameters = SmallPbkdf2();
  parameters.r = 8;
  refused(parameters);
}

TEST(PassphraseKdfTest, KnowsItsFunctionsByNumber) {
  for (const KdfFunction function : {KdfFunction::kScrypt, KdfFunction::kPbkdf2HmacSha512}) {
    KEKD_ASSERT_OK_AND_ASSIGN(const KdfFunction found,
                              KdfFunctionFromNumber(static_cast<uint32_t>(function)));
    EXPECT_EQ(found, function);
  }
  EXPECT_THAT(KdfFunctionFromNumber(3),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("newer kekd")));
}

TEST(PassphraseKdfTest, WantsANewPassphraseToBeLong) {
  EXPECT_THAT(CheckNewPassphrase(SecretFromText("11 bytes ..")),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("12")));
  KEKD_EXPECT_OK(CheckNewPassphrase(SecretFromText("12 bytes ...")));
}

}  // namespace
}  // namespace kekd
