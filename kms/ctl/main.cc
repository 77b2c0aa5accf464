// kekctl, the operator's tool.
#include <cstdio>

#include "absl/status/status.h"
#include "base/process.h"
#include "base/secret_arena.h"
#include "kms/config/exit_code.h"
#include "kms/ctl/kekctl.h"

int main(int argc, char** argv) {
  const absl::Status hardened = kekd::HardenProcess();
  if (!hardened.ok()) {
    const absl::string_view message = hardened.message();
    fprintf(stderr, "kekctl: %.*s\n", static_cast<int>(message.size()), message.data());
    return kekd::ExitCodeOf(hardened);
  }
  const int code = kekd::RunKekctl(argc, argv);
  // Only what has held a secret has memory that could not be locked.
  const absl::Status locked = kekd::SecretArena::Instance().LockStatus();
  if (!locked.ok()) {
    const absl::string_view message = locked.message();
    fprintf(stderr, "kekctl: warning: secrets may have been swapped out: %.*s\n",
            static_cast<int>(message.size()), message.data());
  }
  return code;
}
