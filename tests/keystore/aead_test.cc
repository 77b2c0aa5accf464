#include "keystore/aead.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/hex.h"
#include "base/openssl.h"
#include "tests/fakes/fake_random_source.h"
#include "tests/support/secrets.h"
#include "tests/support/status_matchers.h"

namespace kekd {
namespace {

using ::kekd::testing::FakeRandomSource;
using ::kekd::testing::FromHex;
using ::kekd::testing::IsOk;
using ::kekd::testing::RevealedText;
using ::kekd::testing::SecretFromHex;
using ::kekd::testing::SecretFromText;
using ::kekd::testing::StatusIs;
using ::testing::HasSubstr;

struct Vector {
  Algorithm algorithm;
  std::string key, nonce, plaintext, associated_data, sealed;  // bytes; sealed without the nonce
};

void ExpectMatches(const Vector& vector) {
  FakeRandomSource random;
  random.Queue(vector.nonce);
  KEKD_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<const Aead> aead,
                            CreateAead(vector.algorithm, SecretFromText(vector.key), random));
  KEKD_ASSERT_OK_AND_ASSIGN(
      const std::string sealed,
      aead->Encrypt(SecretFromText(vector.plaintext), AsBytes(vector.associated_data)));
  EXPECT_EQ(HexEncode(AsBytes(sealed)), HexEncode(AsBytes(vector.nonce + vector.sealed)));
  KEKD_ASSERT_OK_AND_ASSIGN(
      const SecretBytes opened,
      aead->Decrypt(AsBytes(vector.nonce + vector.sealed), AsBytes(vector.associated_data)));
  EXPECT_EQ(RevealedText(opened), vector.plaintext);
}

// C2SP, xaes-256-gcm.md, "Test vectors".
TEST(AeadTest, MatchesThePublishedVectorsOfXaes256Gcm) {
  ExpectMatches({Algorithm::kXaes256Gcm, std::string(32, '\x01'), "ABCDEFGHIJKLMNOPQRSTUVWX",
                 "XAES-256-GCM", "",
                 FromHex("ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271")});
  ExpectMatches({Algorithm::kXaes256Gcm, std::string(32, '\x03'), "ABCDEFGHIJKLMNOPQRSTUVWX",
                 "XAES-256-GCM", "c2sp.org/XAES-256-GCM",
                 FromHex("986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d")});
}

// The first `size` bytes of SHAKE128 over `input`. libcrypto 3.0 squeezes once only.
std::string Shake128(const std::string& input, size_t size) {
  std::string out(size, '\0');
  const OpenSslPtr<EVP_MD_CTX> context(EVP_MD_CTX_new());
  EXPECT_EQ(EVP_DigestInit_ex(context.get(), EVP_shake128(), nullptr), 1);
  EXPECT_EQ(EVP_DigestUpdate(context.get(), input.data(), input.size()), 1);
  EXPECT_EQ(EVP_DigestFinalXOF(context.get(), AsWritableBytes(out).data(), out.size()), 1);
  return out;
}

// C2SP, xaes-256-gcm.md, "Accumulated randomized test", 10000 iterations.
TEST(AeadTest, MatchesTheAccumulatedTestOfXaes256Gcm) {
  constexpr int kIterations = 10000;
  const std::string stream = Shake128("", size_t{kIterations} * (32 + 24 + 2 + 2 * 255));
  size_t at = 0;
  const auto take = [&](size_t size) { return stream.substr(std::exchange(at, at + size), size); };
  const auto take_sized = [&] { return take(static_cast<uint8_t>(take(1)[0])); };
  std::string all_sealed;
  for (int i = 0; i < kIterations; ++i) {
    const std::string key = take(32);
    const std::string nonce = take(24);
    const std::string plaintext = take_sized();
    const std::string associated_data = take_sized();
    FakeRandomSource random;
    random.Queue(nonce);
    KEKD_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<const Aead> aead,
                              CreateAead(Algorithm::kXaes256Gcm, SecretFromText(key), random));
    KEKD_ASSERT_OK_AND_ASSIGN(const std::string sealed,
                              aead->Encrypt(SecretFromText(plaintext), AsBytes(associated_data)));
    KEKD_ASSERT_OK_AND_ASSIGN(const SecretBytes opened,
                              aead->Decrypt(AsBytes(sealed), AsBytes(associated_data)));
    ASSERT_EQ(RevealedText(opened), plaintext);
    all_sealed += sealed.substr(24);
  }
  EXPECT_EQ(HexEncode(AsBytes(Shake128(all_sealed, 32))),
            "e6b9edf2df6cec60c8cbd864e2211b597fb69a529160cd040d56c0c210081939");
}

// McGrew and Viega, "The Galois/Counter Mode of Operation (GCM)", appendix B, test cases 13 to 16
// (the ones of SP 800-38D's submission with a 256-bit key and a 96-bit IV).
TEST(AeadTest, MatchesThePublishedVectorsOfAes256Gcm) {
  const std::string zero_key(32, '\0');
  const std::string zero_nonce(12, '\0');
  ExpectMatches({Algorithm::kAes256Gcm, zero_key, zero_nonce, "", "",
                 FromHex("530f8afbc74536b9a963b4f1c4cb738b")});
  ExpectMatches({Algorithm::kAes256Gcm, zero_key, zero_nonce, std::string(16, '\0'), "",
                 FromHex("cea7403d4d606b6e074ec5d3baf39d18 d0d1c8a799996bf0265b98b5d48ab919")});
  const std::string key =
      FromHex("feffe9928665731c6d6a8f9467308308 feffe9928665731c6d6a8f9467308308");
  const std::string nonce = FromHex("cafebabefacedbaddecaf888");
  const std::string plaintext = FromHex(
      "d9313225f88406e5a55909c5aff5269a 86a7a9531534f7da2e4c303d8a318a72"
      "1c3c0c95956809532fcf0e2449a6b525 b16aedf5aa0de657ba637b391aafd255");
  const std::string ciphertext = FromHex(
      "522dc1f099567d07f47f37a32a84427d 643a8cdcbfe5c0c97598a2bd2555d1aa"
      "8cb08e48590dbb3da7b08b1056828838 c5f61e6393ba7a0abcc9f662898015ad");
  ExpectMatches({Algorithm::kAes256Gcm, key, nonce, plaintext, "",
                 ciphertext + FromHex("b094dac5d93471bdec1a502270e3cc6c")});
  ExpectMatches({Algorithm::kAes256Gcm, key, nonce, plaintext.substr(0, 60),
                 FromHex("feedfacedeadbeeffeedfacedeadbeef abaddad2"),
                 ciphertext.substr(0, 60) + FromHex("76fc6ece0f4e1768cddf8853bb2d551b")});
}

// The same appendix, test cases 2, 8 and 14: one block of zeros under keys of zeros.
TEST(AeadTest, OpenAesGcmTakesEveryKeySize) {
  struct Case {
    size_t key_bytes;
    absl::string_view sealed;
  };
  const std::string nonce(12, '\0');
  for (const Case& c :
       {Case{16, "0388dace60b6a392f328c2b971b2fe78 ab6e47d42cec13bdf53a67b21257bddf"},
        Case{24, "98e7247c07f0fe411c267e4384b0f600 2ff58d80033927ab8ef4d4587514f0fb"},
        Case{32, "cea7403d4d606b6e074ec5d3baf39d18 d0d1c8a799996bf0265b98b5d48ab919"}}) {
    const SecretBytes key = SecretFromText(std::string(c.key_bytes, '\0'));
    std::string sealed = nonce + FromHex(c.sealed);
    KEKD_ASSERT_OK_AND_ASSIGN(const SecretBytes opened,
                              OpenAesGcm(key, AsBytes(sealed), ByteView()));
    EXPECT_EQ(RevealedText(opened), std::string(16, '\0'));
    EXPECT_THAT(OpenAesGcm(key, AsBytes(sealed), AsBytes("moved")),
                StatusIs(absl::StatusCode::kInvalidArgument));
    sealed.back() = static_cast<char>(sealed.back() ^ 1);
    EXPECT_THAT(OpenAesGcm(key, AsBytes(sealed), ByteView()),
                StatusIs(absl::StatusCode::kInvalidArgument));
    EXPECT_THAT(OpenAesGcm(key, AsBytes(sealed.substr(0, 27)), ByteView()),
                StatusIs(absl::StatusCode::kInvalidArgument));
  }
  for (const size_t size : {0, 15, 31, 33}) {
    EXPECT_THAT(OpenAesGcm(SecretBytes(size), AsBytes(std::string(60, 'x')), ByteView()),
                StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("16, 24 or 32")));
  }
}

class EachAlgorithmTest : public ::testing::TestWithParam<Algorithm> {
 protected:
  static std::unique_ptr<const Aead> NewAead(char key_byte = 'k') {
    return *CreateAead(GetParam(), SecretFromText(std::string(32, key_byte)),
                       RandomSource::System());
  }
};
std::string NameOfParam(const ::testing::TestParamInfo<Algorithm>& algorithm) {
  return algorithm.param == Algorithm::kXaes256Gcm ? "Xaes256Gcm" : "Aes256Gcm";
}
INSTANTIATE_TEST_SUITE_P(, EachAlgorithmTest,
                         ::testing::Values(Algorithm::kXaes256Gcm, Algorithm::kAes256Gcm),
                         NameOfParam);

TEST_P(EachAlgorithmTest, RefusesEveryFlippedBitAndLeavesNoErrorBehind) {
  const std::unique_ptr<const Aead> aead = NewAead();
  KEKD_ASSERT_OK_AND_ASSIGN(const std::string sealed,
                            aead->Encrypt(SecretFromText("plaintext"), AsBytes("aad")));
  for (size_t bit = 0; bit < 8 * sealed.size(); ++bit) {
    std::string flipped = sealed;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    EXPECT_THAT(aead->Decrypt(AsBytes(flipped), AsBytes("aad")),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("authenticate")));
    EXPECT_EQ(ERR_peek_error(), 0u);
  }
  // A failure does not spoil the context that both calls share.
  EXPECT_THAT(aead->Decrypt(AsBytes(sealed), AsBytes("aad")), IsOk());
}

TEST_P(EachAlgorithmTest, RefusesEveryTruncationAndEveryOtherAssociatedData) {
  const std::unique_ptr<const Aead> aead = NewAead();
  KEKD_ASSERT_OK_AND_ASSIGN(const std::string sealed,
                            aead->Encrypt(SecretFromText("plaintext"), AsBytes("aad")));
  for (size_t size = 0; size < sealed.size(); ++size) {
    EXPECT_THAT(aead->Decrypt(AsBytes(sealed).first(size), AsBytes("aad")),
                StatusIs(absl::StatusCode::kInvalidArgument));
  }
  for (const absl::string_view other : {"", "aa", "aad\n", "Aad"}) {
    EXPECT_THAT(aead->Decrypt(AsBytes(sealed), AsBytes(other)),
                StatusIs(absl::StatusCode::kInvalidArgument));
  }
  EXPECT_THAT(NewAead('x')->Decrypt(AsBytes(sealed), AsBytes("aad")),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_P(EachAlgorithmTest, OpensTheShortestMessage) {
  const std::unique_ptr<const Aead> aead = NewAead();
  KEKD_ASSERT_OK_AND_ASSIGN(const std::string sealed, aead->Encrypt(SecretBytes(), ByteView()));
  EXPECT_EQ(sealed.size(), NonceSize(GetParam()) + kAeadTagBytes);
  KEKD_ASSERT_OK_AND_ASSIGN(const SecretBytes opened, aead->Decrypt(AsBytes(sealed), ByteView()));
  EXPECT_TRUE(opened.empty());
}

TEST_P(EachAlgorithmTest, FailsWithoutACiphertextWhenThereIsNoNonce) {
  FakeRandomSource random;
  random.QueueFailure();
  KEKD_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<const Aead> aead,
                            CreateAead(GetParam(), SecretBytes(32), random));
  EXPECT_THAT(aead->Encrypt(SecretFromText("x"), ByteView()),
              StatusIs(absl::StatusCode::kInternal));
}

TEST_P(EachAlgorithmTest, ServesManyThreads) {
  const std::unique_ptr<const Aead> aead = NewAead();
  std::vector<std::jthread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&aead = *aead, t] {
      for (int i = 0; i < 300; ++i) {
        const std::string text = absl::StrCat("thread ", t, " message ", i);
        const absl::StatusOr<std::string> sealed =
            aead.Encrypt(SecretFromText(text), AsBytes(text));
        KEKD_ASSERT_OK(sealed);
        ASSERT_FALSE(aead.Decrypt(AsBytes(*sealed), AsBytes("other")).ok());
        const absl::StatusOr<SecretBytes> opened = aead.Decrypt(AsBytes(*sealed), AsBytes(text));
        KEKD_ASSERT_OK(opened);
        ASSERT_EQ(RevealedText(*opened), text);
      }
    });
  }
}

TEST_P(EachAlgorithmTest, TakesKeysOf32BytesOnly) {
  for (const size_t size : {0u, 16u, 24u, 31u, 33u, 64u}) {
    EXPECT_THAT(CreateAead(GetParam(), SecretBytes(size), RandomSource::System()),
                StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

TEST(AeadTest, KnowsItsNumbersAndNamesTheOthers) {
  EXPECT_EQ(*AlgorithmFromNumber(1), Algorithm::kXaes256Gcm);
  EXPECT_EQ(*AlgorithmFromNumber(2), Algorithm::kAes256Gcm);
  EXPECT_EQ(*AlgorithmFromNumber(3), Algorithm::kAes256GcmWrappedKey);
  for (const uint32_t number : {0u, 4u, 255u, 257u}) {
    EXPECT_THAT(AlgorithmFromNumber(number),
                StatusIs(absl::StatusCode::kUnimplemented, HasSubstr(absl::StrCat(number))));
  }
  EXPECT_EQ(ToString(Algorithm::kXaes256Gcm), "XAES-256-GCM");
  EXPECT_EQ(ToString(Algorithm::kAes256Gcm), "AES-256-GCM");
  EXPECT_EQ(ToString(Algorithm::kAes256GcmWrappedKey), "AES-256-GCM under a wrapped one-time key");
}

// A key of a device's is no key of ours.
TEST(AeadTest, MakesNoCipherOfWrappedKeys) {
  EXPECT_THAT(CreateAead(Algorithm::kAes256GcmWrappedKey, SecretBytes(32), RandomSource::System()),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace kekd
