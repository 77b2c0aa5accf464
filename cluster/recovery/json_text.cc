#include "cluster/recovery/json_text.h"

#include <cstddef>
#include <cstdint>

namespace kekd {
namespace {

// How many bytes the character at the front has; 0 if there is none.
size_t CharacterBytes(absl::string_view bytes) {
  const auto at = [&](size_t i) { return static_cast<uint8_t>(bytes[i]); };
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

}  // namespace

bool IsUtf8(absl::string_view bytes) {
  while (!bytes.empty()) {
    const size_t size = CharacterBytes(bytes);
    if (size == 0) return false;
    bytes.remove_prefix(size);
  }
  return true;
}

void AppendJsonString(absl::string_view text, SecretBuilder& out) {
  constexpr char kHex[] = "0123456789abcdef";
  out.Append("\"");
  size_t plain = 0;  // where the characters begin that need no escape
  for (size_t i = 0; i < text.size(); ++i) {
    const uint8_t c = static_cast<uint8_t>(text[i]);
    if (c >= 0x20 && c != '"' && c != '\\') continue;
    out.Append(text.substr(plain, i - plain));
    plain = i + 1;
    if (c >= 0x20) {
      const char escaped[] = {'\\', text[i]};
      out.Append(absl::string_view(escaped, sizeof(escaped)));
    } else if (c == '\n') {
      out.Append("\\n");
    } else {
      const char escaped[] = {'\\', 'u', '0', '0', kHex[c >> 4], kHex[c & 15]};
      out.Append(absl::string_view(escaped, sizeof(escaped)));
    }
  }
  out.Append(text.substr(plain));
  out.Append("\"");
}

}  // namespace kekd
