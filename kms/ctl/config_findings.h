// What a configuration names, looked at from outside.
#ifndef KEKD_KMS_CTL_CONFIG_FINDINGS_H_
#define KEKD_KMS_CTL_CONFIG_FINDINGS_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/file_system.h"
#include "kms/config/accounts.h"
#include "kms/config/config.h"

namespace kekd {

// One line for each folder, key file or socket's folder that is missing, that others than root and
// kekd's user could change, or that can't be looked at. Opens none of them. kekd's user is whom a
// keyring's folder belongs to, this process's, and `kekd_user` if the system knows it. kekd itself
// checks again when it starts.
std::vector<std::string> ConfigFindings(FileSystem& fs, const Config& config,
                                        absl::string_view kekd_user = kKekdUser);

}  // namespace kekd

#endif  // KEKD_KMS_CTL_CONFIG_FINDINGS_H_
