#include "hsm/token/key_reference.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "base/bytes.h"
#include "base/hex.h"

namespace kekd {
namespace {

std::string PercentDecoded(absl::string_view text) {
  std::string decoded;
  while (!text.empty()) {
    std::string byte(1, text.front());
    size_t taken = 1;
    if (text.front() == '%' &&
        HexDecode(absl::AsciiStrToLower(text.substr(1, 2)), AsWritableBytes(byte))) {
      taken = 3;
    }
    decoded += byte;
    text.remove_prefix(taken);
  }
  return decoded;
}

}  // namespace

absl::StatusOr<KeyReference> KeyReference::Parse(absl::string_view text) {
  const absl::Status damaged =
      absl::DataLossError("the reference of the key is none that kekd has written");
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(text, absl::MaxSplits('?', 1));
  absl::StatusOr<TokenUri> uri = TokenUri::Parse(parts.first);
  if (!uri.ok()) return damaged;
  KeyReference reference;
  reference.token = std::move(uri->token);
  reference.key = std::move(uri->key);
  // The order is known, so that what is missing is empty.
  std::pair<absl::string_view, absl::string_view> query =
      absl::StrSplit(parts.second, absl::MaxSplits("&x-kekd-for=", 1));
  reference.made_for = PercentDecoded(query.second);
  query = absl::StrSplit(query.first, absl::MaxSplits("&x-kekd-origin=", 1));
  if (!absl::WebSafeBase64Unescape(query.second, &reference.origin)) return damaged;
  query = absl::StrSplit(query.first, absl::MaxSplits("&x-kekd-public-key=", 1));
  if (!absl::WebSafeBase64Unescape(query.second, &reference.public_key)) return damaged;
  // One of the two names.
  const bool wraps = absl::StartsWith(query.first, "x-kekd-wrap=");
  query = absl::StrSplit(query.first,
                         absl::MaxSplits(wraps ? "&x-kekd-wrap-reason=" : "&x-kekd-iv-reason=", 1));
  reference.mechanism_reason = PercentDecoded(query.second);
  for (uint8_t number = 1; number <= kLastKeyMechanism; ++number) {
    reference.mechanism = static_cast<KeyMechanism>(number);
    const bool rsa = IsRsa(reference.mechanism);
    if (rsa == reference.public_key.empty() || rsa == reference.origin.empty()) continue;
    // What differs in any way, in the order or in the spelling, was written by somebody else.
    if (reference.ToString() == text) return reference;
  }
  return damaged;
}

}  // namespace kekd
