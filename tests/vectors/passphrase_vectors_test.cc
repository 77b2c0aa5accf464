// scrypt and PBKDF2-HMAC-SHA-512.
#include <gtest/gtest.h>

#include <string>

#include "keystore/passphrase_kdf.h"
#include "tests/support/secrets.h"
#include "tests/support/status_matchers.h"
#include "tests/vectors/vector_file.h"

namespace kekd {
namespace {

using ::kekd::testing::PublishedVector;
using ::kekd::testing::ReadVectors;
using ::kekd::testing::RevealedHex;
using ::kekd::testing::StatusIs;

// The published costs and salts are below what is asked of a passphrase here, so the derivation is
// tried without that rule, and the rule beside it.
void ExpectDerived(const PublishedVector& vector, const KdfParameters& parameters) {
  const std::string expected = vector.Text("derived");
  const absl::StatusOr<SecretBytes> derived =
      DeriveUnchecked(vector.Secret("passphrase"), parameters, expected.size() / 2);
  ASSERT_TRUE(derived.ok()) << vector << ": " << derived.status();
  EXPECT_EQ(RevealedHex(*derived), expected) << vector;
  EXPECT_THAT(DerivePassphraseKey(vector.Secret("passphrase"), parameters),
              StatusIs(absl::StatusCode::kInvalidArgument))
      << vector;
}

TEST(PassphraseVectorsTest, ScryptMatchesRfc7914) {
  for (const PublishedVector& vector : ReadVectors("scrypt.rfc7914.txt", 3)) {
    ExpectDerived(vector, {.function = KdfFunction::kScrypt,
                           .log2_n = vector.Number("log2_n"),
                           .r = vector.Number("r"),
                           .p = vector.Number("p"),
                           .salt = vector.Bytes("salt")});
  }
}

TEST(PassphraseVectorsTest, Pbkdf2MatchesWycheproof) {
  for (const PublishedVector& vector : ReadVectors("pbkdf2_hmac_sha512.wycheproof.txt", 58)) {
    ExpectDerived(vector, {.function = KdfFunction::kPbkdf2HmacSha512,
                           .iterations = vector.Number("iterations"),
                           .salt = vector.Bytes("salt")});
  }
}

}  // namespace
}  // namespace kekd
