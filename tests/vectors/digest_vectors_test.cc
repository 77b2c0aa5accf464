// SHA-256, HMAC-SHA-256 and HKDF-SHA-256.
#include <gtest/gtest.h>

#include <string>

#include "base/hex.h"
#include "keystore/digest.h"
#include "tests/support/secrets.h"
#include "tests/support/status_matchers.h"
#include "tests/vectors/vector_file.h"

namespace kekd {
namespace {

using ::kekd::testing::PublishedVector;
using ::kekd::testing::ReadVectors;
using ::kekd::testing::RevealedHex;

std::string HexOf(const absl::StatusOr<Sha256Digest>& digest) {
  return digest.ok() ? HexEncode(*digest) : digest.status().ToString();
}

std::string HexOf(const absl::StatusOr<SecretBytes>& secret) {
  return secret.ok() ? RevealedHex(*secret) : secret.status().ToString();
}

TEST(DigestVectorsTest, Sha256MatchesNist) {
  for (const PublishedVector& vector : ReadVectors("sha256.nist.txt", 73)) {
    EXPECT_EQ(HexOf(Sha256(AsBytes(vector.Bytes("message")))), vector.Text("digest")) << vector;
  }
}

// A tag may be a truncated one: the beginning counts.
void ExpectMac(const PublishedVector& vector) {
  const std::string mac = HexOf(HmacSha256(vector.Secret("key"), AsBytes(vector.Bytes("message"))));
  const std::string& tag = vector.Text("tag");
  EXPECT_EQ(mac.substr(0, tag.size()) == tag, vector.IsValid()) << vector << ": " << mac;
}

TEST(DigestVectorsTest, HmacSha256MatchesWycheproof) {
  for (const PublishedVector& vector : ReadVectors("hmac_sha256.wycheproof.txt", 174)) {
    ExpectMac(vector);
  }
}

TEST(DigestVectorsTest, HmacSha256MatchesRfc4231) {
  for (const PublishedVector& vector : ReadVectors("hmac_sha256.rfc4231.txt", 6)) {
    ExpectMac(vector);
  }
}

std::string Derived(const PublishedVector& vector) {
  return HexOf(
      HkdfSha256(vector.Secret("key"), AsBytes(vector.Bytes("salt")), vector.Bytes("info")));
}

TEST(DigestVectorsTest, HkdfSha256MatchesWycheproof) {
  for (const PublishedVector& vector : ReadVectors("hkdf_sha256.wycheproof.txt", 65)) {
    EXPECT_EQ(Derived(vector), vector.Text("okm")) << vector;
  }
}

TEST(DigestVectorsTest, HkdfSha256MatchesRfc5869) {
  for (const PublishedVector& vector : ReadVectors("hkdf_sha256.rfc5869.txt", 3)) {
    EXPECT_EQ(Derived(vector), vector.Text("okm")) << vector;
    EXPECT_EQ(HexOf(HkdfExpandSha256(vector.Secret("prk"), AsBytes(vector.Bytes("info")))),
              vector.Text("okm"))
        << vector;
  }
}

// RFC 5869, section 2.2: HKDF-Extract is HMAC with the salt as its key, 32 zeros if there is none.
TEST(DigestVectorsTest, ExtractAndExpandInTwoStepsMatchWycheproof) {
  for (const PublishedVector& vector : ReadVectors("hkdf_sha256.wycheproof.txt", 65)) {
    const std::string salt = vector.Bytes("salt");
    const SecretBytes key = testing::SecretFromText(salt.empty() ? std::string(32, '\0') : salt);
    KEKD_ASSERT_OK_AND_ASSIGN(const Sha256Digest prk,
                              HmacSha256(key, AsBytes(vector.Bytes("key"))));
    EXPECT_EQ(HexOf(HkdfExpandSha256(SecretBytes::CopyOf(prk), AsBytes(vector.Bytes("info")))),
              vector.Text("okm"))
        << vector;
  }
}

}  // namespace
}  // namespace kekd
