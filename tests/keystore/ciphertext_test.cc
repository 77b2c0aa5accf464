#include "keystore/ciphertext.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "base/hex.h"
#include "tests/keystore/test_ring.h"
#include "tests/support/status_matchers.h"

namespace kekd {
namespace {

using ::kekd::testing::StatusIs;
using ::kekd::testing::TestIdentity;
using ::testing::HasSubstr;

std::string Sealed(Algorithm algorithm, size_t plaintext_size) {
  return std::string(NonceSize(algorithm) + plaintext_size + kAeadTagBytes, 's');
}

TEST(CiphertextTest, ParsesWhatItsHeaderBegins) {
  for (const Algorithm algorithm : {Algorithm::kXaes256Gcm, Algorithm::kAes256Gcm}) {
    for (const size_t size : {size_t{1}, size_t{32}, Ciphertext::kMaxPlaintextBytes}) {
      for (const uint32_t version : {1u, 0x01020304u, 0xffffffffu}) {
        const std::string sealed = Sealed(algorithm, size);
        const std::string bytes = Ciphertext::Header(algorithm, version) + sealed;
        KEKD_ASSERT_OK_AND_ASSIGN(const Ciphertext parsed, Ciphertext::Parse(AsBytes(bytes)));
        EXPECT_EQ(parsed.algorithm, algorithm);
        EXPECT_EQ(parsed.version, version);
        EXPECT_EQ(AsText(parsed.sealed), sealed);
      }
    }
  }
}

// Pinned: docs/formats.md.
TEST(CiphertextTest, HeaderIsFormatAlgorithmVersion) {
  EXPECT_EQ(HexEncode(AsBytes(Ciphertext::Header(Algorithm::kXaes256Gcm, 7))), "010100000007");
  EXPECT_EQ(HexEncode(AsBytes(Ciphertext::Header(Algorithm::kAes256Gcm, 0x01020304))),
            "010201020304");
}

TEST(CiphertextTest, RefusesEveryTruncationBelowTheShortest) {
  const std::string shortest =
      Ciphertext::Header(Algorithm::kXaes256Gcm, 1) + Sealed(Algorithm::kXaes256Gcm, 1);
  KEKD_EXPECT_OK(Ciphertext::Parse(AsBytes(shortest)));
  for (size_t size = 0; size < shortest.size(); ++size) {
    EXPECT_THAT(Ciphertext::Parse(AsBytes(shortest).first(size)),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << size;
  }
}

TEST(CiphertextTest, RefusesOneByteMoreThanTheLongest) {
  for (const Algorithm algorithm : {Algorithm::kXaes256Gcm, Algorithm::kAes256Gcm}) {
    const std::string oversized =
        Ciphertext::Header(algorithm, 1) + Sealed(algorithm, Ciphertext::kMaxPlaintextBytes + 1);
    EXPECT_THAT(Ciphertext::Parse(AsBytes(oversized)),
                StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

TEST(CiphertextTest, NamesAFormatOrAlgorithmOfANewerKekd) {
  std::string bytes =
      Ciphertext::Header(Algorithm::kXaes256Gcm, 1) + Sealed(Algorithm::kXaes256Gcm, 1);
  for (int number = 0; number < 256; ++number) {
    std::string other_format = bytes;
    other_format[0] = static_cast<char>(number);
    if (number == 0) {
      EXPECT_THAT(Ciphertext::Parse(AsBytes(other_format)),
                  StatusIs(absl::StatusCode::kInvalidArgument));
    } else if (number != Ciphertext::kFormat) {
      EXPECT_THAT(Ciphertext::Parse(AsBytes(other_format)),
                  StatusIs(absl::StatusCode::kUnimplemented,
                           HasSubstr("format " + std::to_string(number))));
    }
    std::string other_algorithm = bytes;
    other_algorithm[1] = static_cast<char>(number);
    if (number < 1 || number > 3) {
      EXPECT_THAT(Ciphertext::Parse(AsBytes(other_algorithm)),
                  StatusIs(absl::StatusCode::kUnimplemented,
                           HasSubstr("algorithm " + std::to_string(number))));
    }
  }
}

std::string SealedWithKey(size_t key_size, size_t plaintext_size) {
  return WrappedKeyCiphertext::Header(std::string(key_size, 'k')) +
         Sealed(Algorithm::kAes256GcmWrappedKey, plaintext_size);
}

TEST(CiphertextTest, ParsesAWrappedKey) {
  for (const size_t key_size : {size_t{40}, size_t{384}, Ciphertext::kMaxWrappedKeyBytes}) {
    const std::string header = Ciphertext::Header(Algorithm::kAes256GcmWrappedKey, 7);
    const std::string sealed = SealedWithKey(key_size, 32);
    const std::string bytes = header + sealed;
    KEKD_ASSERT_OK_AND_ASSIGN(const Ciphertext parsed, Ciphertext::Parse(AsBytes(bytes)));
    EXPECT_EQ(parsed.algorithm, Algorithm::kAes256GcmWrappedKey);
    EXPECT_EQ(AsText(parsed.sealed), sealed);
    KEKD_ASSERT_OK_AND_ASSIGN(const WrappedKeyCiphertext parts,
                              WrappedKeyCiphertext::Parse(parsed.sealed));
    EXPECT_EQ(AsText(parts.wrapped_key), std::string(key_size, 'k'));
    EXPECT_EQ(parts.sealed.size(), 12u + 32 + 16);
  }
}

// Pinned: docs/formats.md.
TEST(CiphertextTest, AWrappedKeyHasItsLengthBeforeIt) {
  EXPECT_EQ(HexEncode(AsBytes(Ciphertext::Header(Algorithm::kAes256GcmWrappedKey, 3) +
                              WrappedKeyCiphertext::Header(std::string(0x102, 'k')).substr(0, 4))),
            "0103000000030102"
            "6b6b");
}

TEST(CiphertextTest, RefusesAWrappedKeyThatDoesNotFit) {
  const std::string header = Ciphertext::Header(Algorithm::kAes256GcmWrappedKey, 1);
  const auto refused = [&](const std::string& sealed) {
    EXPECT_THAT(Ciphertext::Parse(AsBytes(header + sealed)),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << sealed.size();
  };
  const std::string whole = SealedWithKey(40, 1);
  for (size_t size = 0; size < whole.size(); ++size) refused(whole.substr(0, size));
  KEKD_EXPECT_OK(Ciphertext::Parse(AsBytes(header + whole)));
  refused(SealedWithKey(0, 32));
  refused(SealedWithKey(Ciphertext::kMaxWrappedKeyBytes + 1, 32));
  refused(SealedWithKey(40, Ciphertext::kMaxPlaintextBytes + 1));
  // Each of the two in bounds, and both of them together not.
  const size_t most = Ciphertext::kMaxBytes - header.size() - SealedWithKey(512, 0).size();
  KEKD_EXPECT_OK(Ciphertext::Parse(AsBytes(header + SealedWithKey(512, most))));
  refused(SealedWithKey(512, most + 1));
}

TEST(CiphertextTest, RefusesVersionZero) {
  const std::string bytes =
      Ciphertext::Header(Algorithm::kXaes256Gcm, 0) + Sealed(Algorithm::kXaes256Gcm, 1);
  EXPECT_THAT(Ciphertext::Parse(AsBytes(bytes)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("version 0")));
}

// Pinned to the byte: another encoding makes every stored ciphertext unreadable.
TEST(CiphertextTest, AssociatedDataIsPinned) {
  EXPECT_EQ(HexEncode(AsBytes(CiphertextAssociatedData(TestIdentity(), Algorithm::kXaes256Gcm,
                                                       KeyId("prod.7.aa")))),
            "0000000a6b656b642f6161642f31"              // "kekd/aad/1"
            "0000000101"                                // format 1
            "0000000101"                                // algorithm 1
            "0000001000112233445566778899aabbccddeeff"  // cluster id
            "000000100f1e2d3c4b5a69788796a5b4c3d2e1f0"  // ring UUID
            "0000000970726f642e372e6161");              // key id
  EXPECT_EQ(HexEncode(AsBytes(CanaryAssociatedData(TestIdentity(), 7, "software"))),
            "0000000d6b656b642f63616e6172792f31"        // "kekd/canary/1"
            "0000001000112233445566778899aabbccddeeff"  // cluster id
            "000000100f1e2d3c4b5a69788796a5b4c3d2e1f0"  // ring UUID
            "0000000400000007"                          // version
            "00000008736f667477617265");                // "software"
}

}  // namespace
}  // namespace kekd
