// The commands that messages name.
#ifndef KEKD_KMS_CTL_HINTS_H_
#define KEKD_KMS_CTL_HINTS_H_

#include <string>

#include "absl/strings/string_view.h"

namespace kekd {

// The text with "--keyring <keyring>" in each command of kekctl's that it quotes ("'kekctl key
// list'"), takes a keyring and names none. For configurations with several keyrings: kekd and the
// keystore, where most messages come from, don't know of these.
std::string WithKeyringInHints(absl::string_view text, absl::string_view keyring);

}  // namespace kekd

#endif  // KEKD_KMS_CTL_HINTS_H_
