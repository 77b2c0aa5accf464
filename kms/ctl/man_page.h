// The command tree as a manual page.
#ifndef KEKD_KMS_CTL_MAN_PAGE_H_
#define KEKD_KMS_CTL_MAN_PAGE_H_

#include <string>

#include "kms/ctl/command_tree.h"

namespace kekd {

// kekctl(1).
std::string KekctlManPage(const CommandTree& tree);

}  // namespace kekd

#endif  // KEKD_KMS_CTL_MAN_PAGE_H_
