// kekctl, the operator's tool.
#include <cstdio>

#include "absl/status/status.h"
#include "base/process.h"
#include "kms/config/exit_code.h"
#include "kms/ctl/kekctl.h"

int main(int argc, char** argv) {
  const absl::Status hardened = kekd::HardenProcess();
  if (!hardened.ok()) {
    const absl::string_view message = hardened.message();
    fprintf(stderr, "kekctl: %.*s\n", static_cast<int>(message.size()), message.data());
    return kekd::ExitCodeOf(hardened);
  }
  return kekd::RunKekctl(argc, argv);
}
