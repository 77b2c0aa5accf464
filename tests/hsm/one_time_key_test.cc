#include "hsm/one_time_key.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/random_source.h"
#include "base/status_macros.h"
#include "keystore/aead.h"
#include "keystore/ciphertext.h"
#include "keystore/digest.h"
#include "tests/support/secrets.h"
#include "tests/support/status_matchers.h"

namespace kekd::testing {
namespace {

using ::testing::HasSubstr;

// Wraps with a key of its own, to as many bytes as it is told.
class FakeWrappingKey final : public BackendKey {
 public:
  explicit FakeWrappingKey(size_t wrapped_bytes) : padding_(wrapped_bytes - 60, 'p') {}

  Algorithm algorithm() const override { return Algorithm::kAes256GcmWrappedKey; }
  bool MayBlock() const override { return true; }
  absl::StatusOr<std::string> Encrypt(const SecretBytes& plaintext, ByteView associated_data,
                                      absl::Time) const override {
    EXPECT_EQ(plaintext.size(), 32u);
    EXPECT_TRUE(associated_data.empty());
    last_ = RevealedText(plaintext);
    KEKD_ASSIGN_OR_RETURN(std::string sealed, aead_->Encrypt(plaintext, ByteView()));
    return sealed + padding_;
  }
  absl::StatusOr<SecretBytes> Decrypt(ByteView sealed, ByteView associated_data,
                                      absl::Time) const override {
    EXPECT_TRUE(associated_data.empty());
    ++unwraps_;
    KEKD_ASSIGN_OR_RETURN(
        SecretBytes plaintext,
        aead_->Decrypt(sealed.first(sealed.size() - padding_.size()), ByteView()));
    if (wrong_ > 0) {
      plaintext.RevealMutable(SecretAccessToken())[0] ^= static_cast<uint8_t>(wrong_--);
    }
    return plaintext;
  }
  absl::Status ProveEverywhere(absl::Time) const override {
    return absl::FailedPreconditionError("not proved");
  }
  const std::string& last() const { return last_; }
  int unwraps() const { return unwraps_; }
  // The next so many unwraps come to other bytes, each to others.
  void UnwrapWrongly(int times) const { wrong_ = times; }

 private:
  const std::unique_ptr<const Aead> aead_ =
      *CreateAead(Algorithm::kAes256Gcm, SecretBytes(32), RandomSource::System());
  const std::string padding_;
  mutable std::string last_;
  mutable int unwraps_ = 0;
  mutable int wrong_ = 0;
};

class OneTimeKeyTest : public ::testing::Test {
 protected:
  static absl::Time Later() { return absl::InfiniteFuture(); }

  std::shared_ptr<const FakeWrappingKey> wrapping_ = std::make_shared<const FakeWrappingKey>(80);
  OneTimeKey key_{wrapping_, SecretBytes(), RandomSource::System()};
};

TEST_F(OneTimeKeyTest, EncryptsUnderANewKeyEachTime) {
  const SecretBytes plaintext = SecretFromText("seed");
  KEKD_ASSERT_OK_AND_ASSIGN(const std::string first,
                            key_.Encrypt(plaintext, AsBytes("aad"), Later()));
  const std::string first_key = wrapping_->last();
  KEKD_ASSERT_OK_AND_ASSIGN(const std::string second,
                            key_.Encrypt(plaintext, AsBytes("aad"), Later()));
  EXPECT_NE(wrapping_->last(), first_key);
  for (const std::string& sealed : {first, second}) {
    EXPECT_EQ(sealed.size(), 2u + 80 + 12 + 4 + 16);
    KEKD_ASSERT_OK_AND_ASSIGN(const SecretBytes opened,
                              key_.Decrypt(AsBytes(sealed), AsBytes("aad"), Later()));
    EXPECT_EQ(RevealedText(opened), "seed");
  }
  // What follows the wrapped key is AES-256-GCM under it, and nothing else.
  KEKD_ASSERT_OK_AND_ASSIGN(const WrappedKeyCiphertext parts,
                            WrappedKeyCiphertext::Parse(AsBytes(first)));
  KEKD_EXPECT_OK(OpenAesGcm(SecretFromText(first_key), parts.sealed, AsBytes("aad")));
}

TEST_F(OneTimeKeyTest, RefusesWhatIsNotItsOwn) {
  KEKD_ASSERT_OK_AND_ASSIGN(const std::string sealed,
                            key_.Encrypt(SecretFromText("seed"), AsBytes("aad"), Later()));
  const auto refused = [&](const std::string& other, absl::string_view data) {
    EXPECT_THAT(key_.Decrypt(AsBytes(other), AsBytes(data), Later()),
                StatusIs(absl::StatusCode::kInvalidArgument));
  };
  refused(sealed, "aae");
  refused(sealed, "");
  for (size_t size = 0; size < sealed.size(); ++size) refused(sealed.substr(0, size), "aad");
  refused(sealed + "x", "aad");
  for (size_t i = 0; i < sealed.size(); ++i) {
    if (i >= 2 + 60 && i < 2 + 80) continue;  // the fake's padding
    std::string altered = sealed;
    altered[i] = static_cast<char>(altered[i] ^ 1);
    refused(altered, "aad");
  }
  // Another one's wrapped key, which is a good one.
  KEKD_ASSERT_OK_AND_ASSIGN(const std::string another,
                            key_.Encrypt(SecretFromText("seed"), AsBytes("aad"), Later()));
  refused(another.substr(0, 82) + sealed.substr(82), "aad");
}

// Who can wrap, as anybody can who knows an RSA key's public half, makes nothing that opens.
TEST_F(OneTimeKeyTest, KnowsItsOwnByItsOrigin) {
  const auto with = [&](char origin) {
    return OneTimeKey(wrapping_, SecretFromText(std::string(32, origin)), RandomSource::System());
  };
  const SecretBytes seed = SecretFromText("seed");
  const OneTimeKey key = with('o');
  KEKD_ASSERT_OK_AND_ASSIGN(const std::string sealed, key.Encrypt(seed, AsBytes("aad"), Later()));
  KEKD_ASSERT_OK_AND_ASSIGN(const SecretBytes opened,
                            with('o').Decrypt(AsBytes(sealed), AsBytes("aad"), Later()));
  EXPECT_EQ(RevealedText(opened), "seed");
  // What follows the wrapped key is AES-256-GCM under HKDF of it and the origin.
  KEKD_ASSERT_OK_AND_ASSIGN(const WrappedKeyCiphertext parts,
                            WrappedKeyCiphertext::Parse(AsBytes(sealed)));
  KEKD_ASSERT_OK_AND_ASSIGN(const SecretBytes data_key,
                            HkdfSha256(SecretFromText(wrapping_->last()),
                                       AsBytes(std::string(32, 'o')), "kekd/one-time-key/1"));
  KEKD_EXPECT_OK(OpenAesGcm(data_key, parts.sealed, AsBytes("aad")));
  KEKD_ASSERT_OK_AND_ASSIGN(const std::string forged, key_.Encrypt(seed, AsBytes("aad"), Later()));
  KEKD_ASSERT_OK_AND_ASSIGN(const std::string other,
                            with('p').Encrypt(seed, AsBytes("aad"), Later()));
  for (const std::string& each : {forged, other}) {
    EXPECT_THAT(key.Decrypt(AsBytes(each), AsBytes("aad"), Later()),
                StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

TEST_F(OneTimeKeyTest, TakesNoWrongUnwrapForDamagedData) {
  KEKD_ASSERT_OK_AND_ASSIGN(const std::string sealed,
                            key_.Encrypt(SecretFromText("seed"), AsBytes("aad"), Later()));
  wrapping_->UnwrapWrongly(1);
  KEKD_ASSERT_OK_AND_ASSIGN(const SecretBytes opened,
                            key_.Decrypt(AsBytes(sealed), AsBytes("aad"), Later()));
  EXPECT_EQ(RevealedText(opened), "seed");
  wrapping_->UnwrapWrongly(2);
  EXPECT_THAT(key_.Decrypt(AsBytes(sealed), AsBytes("aad"), Later()),
              StatusIs(absl::StatusCode::kUnavailable));
  // Of damaged data it is sure after the second.
  const int before = wrapping_->unwraps();
  EXPECT_THAT(key_.Decrypt(AsBytes(sealed), AsBytes("aae"), Later()),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(wrapping_->unwraps(), before + 2);
  wrapping_->UnwrapWrongly(1);
  EXPECT_THAT(key_.Decrypt(AsBytes(sealed), AsBytes("aae"), Later()),
              StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(OneTimeKeyTest, KeepsWithinWhatKubeApiserverTakes) {
  const OneTimeKey large(std::make_shared<const FakeWrappingKey>(512), SecretBytes(),
                         RandomSource::System());
  KEKD_ASSERT_OK_AND_ASSIGN(
      const std::string sealed,
      large.Encrypt(SecretFromText(std::string(476, 's')), AsBytes("aad"), Later()));
  EXPECT_EQ(Ciphertext::kHeaderBytes + sealed.size(), Ciphertext::kMaxBytes);
  EXPECT_THAT(large.Encrypt(SecretFromText(std::string(477, 's')), AsBytes("aad"), Later()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("it may have 476")));
  KEKD_EXPECT_OK(key_.Encrypt(SecretFromText(std::string(512, 's')), AsBytes("aad"), Later()));
  const OneTimeKey none(std::make_shared<const FakeWrappingKey>(513), SecretBytes(),
                        RandomSource::System());
  EXPECT_THAT(none.Encrypt(SecretFromText("s"), AsBytes("aad"), Later()),
              StatusIs(absl::StatusCode::kInternal));
}

TEST_F(OneTimeKeyTest, IsProvedAsItsWrappingKeyIs) {
  EXPECT_TRUE(key_.MayBlock());
  EXPECT_EQ(key_.algorithm(), Algorithm::kAes256GcmWrappedKey);
  EXPECT_THAT(key_.ProveEverywhere(Later()),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("not proved")));
}

}  // namespace
}  // namespace kekd::testing
