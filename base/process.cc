#include "base/process.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/posix_error.h"
#include "base/secret_arena.h"
#include "base/status_macros.h"

namespace kekd {
namespace {

// The program and the verbs of its command line, without options and what follows them.
std::string ProgramAndVerbs() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::string line;
  std::string text;
  bool after_option = false;
  for (int verbs = 0; verbs < 2 && std::getline(file, line, '\0');) {
    if (text.empty()) {
      text = line.substr(line.rfind('/') + 1);
    } else if (!line.empty() && line[0] == '-') {
      after_option = line.find('=') == std::string::npos;
    } else if (after_option) {
      after_option = false;
    } else {
      absl::StrAppend(&text, " ", line);
      ++verbs;
    }
  }
  return text;
}

}  // namespace

std::string DescribeProcess() {
  return absl::StrCat("pid ", getpid(), ", uid ", geteuid(), ", ", ProgramAndVerbs(), ", since ",
                      absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::Now(), absl::UTCTimeZone()));
}

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
