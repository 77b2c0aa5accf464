// The options that name what opens a keyring.
#ifndef KEKD_KMS_CTL_UNLOCK_OPTIONS_H_
#define KEKD_KMS_CTL_UNLOCK_OPTIONS_H_

#include <vector>

#include "absl/strings/string_view.h"
#include "kms/config/config.h"
#include "kms/ctl/command_tree.h"
#include "kms/ctl/verb_arguments.h"

namespace kekd {

// --key-file, --credential, --passphrase-file, --passphrase-credential, --passphrase-prompt. Their
// help says "a key file that <purpose>" and so on.
std::vector<OptionDescription> UnlockOptions(absl::string_view purpose);

// What was given of them.
std::vector<UnlockConfig> ReadUnlockOptions(const VerbArguments& given);

}  // namespace kekd

#endif  // KEKD_KMS_CTL_UNLOCK_OPTIONS_H_
