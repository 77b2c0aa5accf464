#include "kms/ctl/wrap_text.h"

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "hsm/token/key_reference.h"
#include "keystore/key_version.h"

namespace kekd {

std::string WrapReferenceText(absl::string_view type, absl::string_view reference) {
  if (type != ToString(WrapType::kPkcs11)) return std::string(reference);
  const absl::StatusOr<KeyReference> key = KeyReference::Parse(reference);
  if (!key.ok()) return std::string(reference);
  return absl::StrCat(key->key.label, " on token ", key->token.label);
}

}  // namespace kekd
