#include "base/openssl.h"

#include <openssl/err.h>

#include <string>

#include "absl/strings/str_cat.h"

namespace kekd {

absl::Status OpenSslError(absl::string_view what) {
  std::string reasons;
  while (unsigned long error = ERR_get_error()) {
    const char* reason = ERR_reason_error_string(error);
    absl::StrAppend(&reasons, reasons.empty() ? "" : "; ",
                    reason == nullptr ? absl::StrCat("0x", absl::Hex(error)) : reason);
  }
  return absl::InternalError(
      absl::StrCat(what, ": ", reasons.empty() ? "libcrypto gave no reason" : reasons));
}

}  // namespace kekd
