#include "base/process.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/posix_error.h"
#include "base/secret_arena.h"
#include "base/status_macros.h"

namespace kekd {

absl::Status HardenProcess() {
  KEKD_RETURN_IF_ERROR(SecretArena::InstallInLibcrypto());
  const rlimit none = {0, 0};
  if (setrlimit(RLIMIT_CORE, &none) != 0) return PosixError(errno, "setrlimit RLIMIT_CORE");
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return PosixError(errno, "prctl PR_SET_DUMPABLE");
  umask(077);
  signal(SIGPIPE, SIG_IGN);
  return absl::OkStatus();
}

}  // namespace kekd
