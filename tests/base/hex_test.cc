#include "base/hex.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

#include "base/bytes.h"

namespace kekd {
namespace {

TEST(HexTest, EncodesEveryByteInLowerCase) {
  const std::string digits = "0123456789abcdef";
  for (int value = 0; value < 256; ++value) {
    const auto byte = static_cast<uint8_t>(value);
    const std::string expected = {digits[byte >> 4], digits[byte & 15]};
    EXPECT_EQ(HexEncode(ByteView(&byte, 1)), expected);
  }
}

TEST(HexTest, DecodesWhatItEncodes) {
  std::array<uint8_t, 256> all;
  for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<uint8_t>(i);
  std::array<uint8_t, 256> decoded = {};
  ASSERT_TRUE(HexDecode(HexEncode(ByteView(all.data(), all.size())), absl::MakeSpan(decoded)));
  EXPECT_EQ(decoded, all);
}

TEST(HexTest, TakesExactlyTheLowerCaseDigitsAtBothPlaces) {
  for (int c = 0; c < 256; ++c) {
    const bool digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
    const int value = c <= '9' ? c - '0' : c - 'a' + 10;
    for (const bool first : {true, false}) {
      std::string text = "11";
      text[first ? 0 : 1] = static_cast<char>(c);
      uint8_t byte = 0;
      ASSERT_EQ(HexDecode(text, absl::MakeSpan(&byte, 1)), digit) << "character " << c;
      if (digit) {
        EXPECT_EQ(byte, first ? value << 4 | 1 : 1 << 4 | value) << "character " << c;
      }
    }
  }
}

TEST(HexTest, RefusesEveryOtherLength) {
  std::array<uint8_t, 2> out;
  for (const char* text : {"", "0", "00", "000", "00000", "000000"}) {
    EXPECT_FALSE(HexDecode(text, absl::MakeSpan(out))) << text;
  }
  EXPECT_TRUE(HexDecode("", absl::Span<uint8_t>()));
}

TEST(HexTest, NoticesABadDigitAmongGoodOnes) {
  std::array<uint8_t, 4> out;
  const std::string good = "00aa11ff";
  ASSERT_TRUE(HexDecode(good, absl::MakeSpan(out)));
  for (size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = 'g';
    EXPECT_FALSE(HexDecode(bad, absl::MakeSpan(out))) << bad;
  }
}

}  // namespace
}  // namespace kekd
