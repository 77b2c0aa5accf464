// AES-GCM, as kube-apiserver's DEKs are used with it and as a key of ours is.
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "keystore/aead.h"
#include "tests/fakes/fake_random_source.h"
#include "tests/support/secrets.h"
#include "tests/support/status_matchers.h"
#include "tests/vectors/vector_file.h"

namespace kekd {
namespace {

using ::kekd::testing::FakeRandomSource;
using ::kekd::testing::PublishedVector;
using ::kekd::testing::ReadVectors;
using ::kekd::testing::RevealedHex;
using ::kekd::testing::StatusIs;

constexpr size_t kNonceBytes = 12;

std::string Sealed(const PublishedVector& vector) {
  return vector.Bytes("nonce") + vector.Bytes("ciphertext") + vector.Bytes("tag");
}

// A nonce of another size is none of this format: what was made under one must not open.
bool MustOpen(const PublishedVector& vector) {
  return vector.IsValid() && vector.Bytes("nonce").size() == kNonceBytes;
}

void ExpectOpened(const PublishedVector& vector, const absl::StatusOr<SecretBytes>& opened) {
  if (!MustOpen(vector)) {
    EXPECT_THAT(opened, StatusIs(absl::StatusCode::kInvalidArgument)) << vector;
    return;
  }
  ASSERT_TRUE(opened.ok()) << vector << ": " << opened.status();
  EXPECT_EQ(RevealedHex(*opened), vector.Text("plaintext")) << vector;
}

// Returns how many had to be opened.
int OpenWithAnyKeySize(const std::vector<PublishedVector>& vectors) {
  int opened = 0;
  for (const PublishedVector& vector : vectors) {
    ExpectOpened(vector, OpenAesGcm(vector.Secret("key"), AsBytes(Sealed(vector)),
                                    AsBytes(vector.Bytes("aad"))));
    opened += MustOpen(vector) ? 1 : 0;
  }
  return opened;
}

// Returns how many had to be sealed and opened.
int SealAndOpenWithOurs(const std::vector<PublishedVector>& vectors) {
  int sealed_count = 0;
  for (const PublishedVector& vector : vectors) {
    if (vector.Bytes("key").size() != kAes256KeyBytes) continue;
    FakeRandomSource random;
    const absl::StatusOr<std::unique_ptr<const Aead>> aead =
        CreateAead(Algorithm::kAes256Gcm, vector.Secret("key"), random);
    KEKD_EXPECT_OK(aead.status());
    if (!aead.ok()) continue;
    const std::string aad = vector.Bytes("aad");
    ExpectOpened(vector, (*aead)->Decrypt(AsBytes(Sealed(vector)), AsBytes(aad)));
    if (!MustOpen(vector)) continue;
    random.Queue(vector.Bytes("nonce"));
    const absl::StatusOr<std::string> sealed =
        (*aead)->Encrypt(vector.Secret("plaintext"), AsBytes(aad));
    KEKD_EXPECT_OK(sealed.status());
    EXPECT_EQ(*sealed, Sealed(vector)) << vector;
    ++sealed_count;
  }
  return sealed_count;
}

TEST(AeadVectorsTest, OpenAesGcmMatchesWycheproof) {
  EXPECT_EQ(OpenWithAnyKeySize(ReadVectors("aes_gcm.wycheproof.txt", 316)), 116);
}

TEST(AeadVectorsTest, OpenAesGcmMatchesNist) {
  EXPECT_EQ(OpenWithAnyKeySize(ReadVectors("aes_gcm.nist.txt", 225)), 150);
}

TEST(AeadVectorsTest, Aes256GcmMatchesWycheproof) {
  EXPECT_EQ(SealAndOpenWithOurs(ReadVectors("aes_gcm.wycheproof.txt", 316)), 39);
}

TEST(AeadVectorsTest, Aes256GcmMatchesNist) {
  EXPECT_EQ(SealAndOpenWithOurs(ReadVectors("aes_gcm.nist.txt", 225)), 50);
}

}  // namespace
}  // namespace kekd
