// The options that name what opens a keyring.
#ifndef KEKD_KMS_CTL_UNLOCK_OPTIONS_H_
#define KEKD_KMS_CTL_UNLOCK_OPTIONS_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "kms/config/config.h"
#include "kms/ctl/command_tree.h"
#include "kms/ctl/verb_arguments.h"

namespace kekd {

enum class UnlockWays {
  kAll,         // each option any number of times
  kPassphrase,  // each of the --passphrase-… options once
};

// --key-file, --credential, --passphrase-file, --passphrase-credential, --passphrase-prompt and
// --pkcs11. Their help says "a key file that <purpose>" and so on.
std::vector<OptionDescription> UnlockOptions(absl::string_view purpose,
                                             UnlockWays ways = UnlockWays::kAll);
// Their names.
std::vector<std::string> UnlockOptionNames(UnlockWays ways);

// What was given of them, files with their absolute paths, as in the configuration.
std::vector<UnlockConfig> ReadUnlockOptions(const VerbArguments& given,
                                            UnlockWays ways = UnlockWays::kAll);

}  // namespace kekd

#endif  // KEKD_KMS_CTL_UNLOCK_OPTIONS_H_
