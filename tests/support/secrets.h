// Secrets from and to text, for published test vectors.
#ifndef KEKD_TESTS_SUPPORT_SECRETS_H_
#define KEKD_TESTS_SUPPORT_SECRETS_H_

#include <string>

#include "absl/strings/string_view.h"
#include "base/secret_bytes.h"

namespace kekd::testing {

// The bytes of hexadecimal digits; blanks and line ends between them are skipped. Ends the process
// on anything else.
std::string FromHex(absl::string_view digits);
SecretBytes SecretFromHex(absl::string_view digits);
SecretBytes SecretFromText(absl::string_view text);
std::string RevealedHex(const SecretBytes& secret);
std::string RevealedText(const SecretBytes& secret);

}  // namespace kekd::testing

#endif  // KEKD_TESTS_SUPPORT_SECRETS_H_
