#include "base/hex.h"

#include <cassert>

namespace kekd {
namespace {

// No table: which entry of a table was loaded could be told from the cache.
uint8_t DigitOf(unsigned value) {
  return static_cast<uint8_t>(value + '0' + ((9u - value) >> 8 & ('a' - '0' - 10)));
}

// 0 to 15, or 255 for what is no lower-case digit; no branch on the character.
unsigned ValueOf(unsigned c) {
  const unsigned digit = c - '0';
  const unsigned letter = c - 'a';
  // The top bit of (x - n) & ~x is set exactly if x < n, for x below 2^31 or wrapped around.
  const unsigned is_digit = ((digit - 10u) & ~digit) >> 31;
  const unsigned is_letter = ((letter - 6u) & ~letter) >> 31;
  const unsigned none = 1u - (is_digit | is_letter);
  return is_digit * digit + is_letter * (letter + 10u) + none * 255u;
}

}  // namespace

void HexEncodeTo(ByteView bytes, absl::Span<uint8_t> out) {
  assert(out.size() == 2 * bytes.size());
  for (size_t i = 0; i < bytes.size(); ++i) {
    out[2 * i] = DigitOf(bytes[i] >> 4);
    out[2 * i + 1] = DigitOf(bytes[i] & 0x0f);
  }
}

std::string HexEncode(ByteView bytes) {
  std::string digits(2 * bytes.size(), '0');
  HexEncodeTo(bytes, AsWritableBytes(digits));
  return digits;
}

bool HexDecode(absl::string_view digits, absl::Span<uint8_t> out) {
  if (digits.size() != 2 * out.size()) return false;
  unsigned bad = 0;
  for (size_t i = 0; i < out.size(); ++i) {
    const unsigned high = ValueOf(static_cast<unsigned char>(digits[2 * i]));
    const unsigned low = ValueOf(static_cast<unsigned char>(digits[2 * i + 1]));
    bad |= (high | low) & 0xf0u;
    out[i] = static_cast<uint8_t>(high << 4 | low);
  }
  return bad == 0;
}

}  // namespace kekd
