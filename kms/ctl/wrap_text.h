// What a wrap of the ring key is called.
#ifndef KEKD_KMS_CTL_WRAP_TEXT_H_
#define KEKD_KMS_CTL_WRAP_TEXT_H_

#include <string>

#include "absl/strings/string_view.h"

namespace kekd {

// What opens the wrap, for people: its reference as it is, and of a token's key
// "kekd-prod-ring-key on token prod". `type` is ToString(WrapType). Not yet fit for a terminal
// (Printable).
std::string WrapReferenceText(absl::string_view type, absl::string_view reference);

}  // namespace kekd

#endif  // KEKD_KMS_CTL_WRAP_TEXT_H_
