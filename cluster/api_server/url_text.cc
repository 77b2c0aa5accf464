#include "cluster/api_server/url_text.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"

namespace kekd {

std::string EscapeUrlPart(absl::string_view text) {
  std::string escaped;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (absl::ascii_isalnum(byte) || c == '-' || c == '.' || c == '_' || c == '~') {
      escaped.push_back(c);
    } else {
      absl::StrAppendFormat(&escaped, "%%%02X", byte);
    }
  }
  return escaped;
}

}  // namespace kekd
