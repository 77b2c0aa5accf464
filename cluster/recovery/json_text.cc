#include "cluster/recovery/json_text.h"

#include <cstddef>
#include <cstdint>

namespace kekd {
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
