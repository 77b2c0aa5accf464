#include "base/utf8.h"

#include <cstdint>

namespace kekd {

size_t Utf8CharacterBytes(absl::string_view bytes) {
  const auto at = [&](size_t i) { return static_cast<uint8_t>(bytes[i]); };
  if (bytes.empty()) return 0;
  const uint8_t lead = at(0);
  if (lead < 0x80) return 1;
  // RFC 3629, section 4: how many bytes, and which values the second one may have.
  size_t size = 0;
  uint8_t least = 0x80;
  uint8_t most = 0xbf;
  if (lead >= 0xc2 && lead <= 0xdf) {
    size = 2;
  } else if (lead >= 0xe0 && lead <= 0xef) {
    size = 3;
    if (lead == 0xe0) least = 0xa0;
    if (lead == 0xed) most = 0x9f;
  } else if (lead >= 0xf0 && lead <= 0xf4) {
    size = 4;
    if (lead == 0xf0) least = 0x90;
    if (lead == 0xf4) most = 0x8f;
  }
  if (size == 0 || bytes.size() < size || at(1) < least || at(1) > most) return 0;
  for (size_t i = 2; i < size; ++i) {
    if ((at(i) & 0xc0) != 0x80) return 0;
  }
  return size;
}

bool IsUtf8(absl::string_view bytes) {
  while (!bytes.empty()) {
    const size_t size = Utf8CharacterBytes(bytes);
    if (size == 0) return false;
    bytes.remove_prefix(size);
  }
  return true;
}

}  // namespace kekd
