#include "tests/support/secrets.h"

#include <cstdio>
#include <cstdlib>

#include "base/bytes.h"
#include "base/hex.h"

namespace kekd::testing {

std::string FromHex(absl::string_view digits) {
  std::string dense;
  for (const char c : digits) {
    if (c != ' ' && c != '\n') dense.push_back(c);
  }
  std::string bytes(dense.size() / 2, '\0');
  if (!HexDecode(dense, AsWritableBytes(bytes))) {
    fprintf(stderr, "test support: \"%s\" is not hexadecimal\n", dense.c_str());
    abort();
  }
  return bytes;
}

SecretBytes SecretFromHex(absl::string_view digits) { return SecretFromText(FromHex(digits)); }

SecretBytes SecretFromText(absl::string_view text) { return SecretBytes::CopyOf(AsBytes(text)); }

std::string RevealedHex(const SecretBytes& secret) {
  return HexEncode(secret.Reveal(SecretAccessToken()));
}

std::string RevealedText(const SecretBytes& secret) {
  const absl::string_view text = AsText(secret.Reveal(SecretAccessToken()));
  return std::string(text.data(), text.size());
}

}  // namespace kekd::testing
