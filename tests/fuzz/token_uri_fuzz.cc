// A PKCS#11 URI, as an operator types it or as a keyring's record holds it.
#include <string>

#include "base/bytes.h"
#include "hsm/token/key_reference.h"
#include "hsm/token/token_uri.h"
#include "tests/fuzz/choices.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using kekd::KeyReference;
  using kekd::TokenUri;
  using kekd::testing::Require;
  const absl::string_view text = kekd::AsText(kekd::ByteView(data, size));
  const absl::StatusOr<TokenUri> uri = TokenUri::Parse(text);
  if (uri.ok()) {
    Require(uri->module_path.empty() || uri->module_path.front() == '/');
    Require(uri->pin_file.empty() || uri->pin_file.front() == '/');
    Require(uri->token.label.size() <= 32 && uri->token.serial.size() <= 16);
    // What was understood is what the one spelling of it says.
    const absl::StatusOr<TokenUri> again = TokenUri::Parse(uri->ToString());
    Require(again.ok() && again->token == uri->token && again->key == uri->key);
    Require(again->module_path == uri->module_path && again->pin_file == uri->pin_file);
  } else {
    Require(absl::IsInvalidArgument(uri.status()));
  }
  const absl::StatusOr<KeyReference> reference = KeyReference::Parse(text);
  if (reference.ok()) {
    Require(reference->ToString() == text);
  } else {
    Require(absl::IsDataLoss(reference.status()));
  }
  return 0;
}
