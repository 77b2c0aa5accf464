// kekd, the daemon.
#include <signal.h>
#include <sys/resource.h>

#include <cstdio>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "base/file_system.h"
#include "base/log.h"
#include "base/process.h"
#include "kms/config/config.h"
#include "kms/config/exit_code.h"
#include "kms/config/version.h"
#include "kms/daemon/daemon.h"
#include "kms/daemon/service_manager.h"
#include "kms/daemon/supervision.h"
#include "kms/server/grpc_process.h"

namespace kekd {
namespace {

constexpr absl::string_view kUsage =
    R"(Usage: kekd --config FILE

kekd keeps the key-encryption keys of a Kubernetes control plane and answers
kube-apiserver's KMS v2 calls on a unix socket. It runs in the foreground, logs
to standard error, and ends on SIGTERM or SIGINT when the calls in flight are
answered. On SIGHUP it reads the configuration again. 'kekctl' makes keyrings
and changes them.

  --config FILE   the configuration (docs/configuration.md)
  --version       print the version and exit, as 'kekd version' does
  --help          print this and exit

Exit codes: 0 ended by a signal; 1 failure; 2 usage or configuration; 3 refused
by the state of things; 4 keyring or socket in use; 5 keyring damaged, rolled
back or written by a newer kekd; 6 permission denied.

Example: kekd --config /etc/kekd/kekd.yaml
)";

int Fail(const absl::Status& status) {
  LogError("kekd can't run", {{"error", status.message()}});
  return ExitCodeOf(status);
}

int UsageError(absl::string_view what) {
  fprintf(stderr, "kekd: %.*s\nkekd: hint: see 'kekd --help'\n", static_cast<int>(what.size()),
          what.data());
  return ExitCodeOf(absl::InvalidArgumentError(what));
}

// Connections, not files, use them up; 1024, the usual soft limit, is little for several keyrings.
void RaiseDescriptorLimit() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

// Before any thread exists, so that all of them have it blocked and main alone takes it.
sigset_t BlockSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

int Run(const std::string& config_path) {
  const absl::Time begin = absl::Now();
  FileSystem& fs = FileSystem::System();
  absl::StatusOr<ServiceManager> manager = ServiceManager::FromEnvironment();
  if (!manager.ok()) return Fail(manager.status());
  absl::StatusOr<Config> config = LoadConfig(fs, config_path);
  if (!config.ok()) return Fail(config.status());
  ConfigureLog(config->log_level, config->log_format);

  RaiseDescriptorLimit();
  const sigset_t signals = BlockSignals();
  absl::StatusOr<std::unique_ptr<Daemon>> daemon =
      Daemon::Start(fs, *std::move(config), manager->TakeDescriptors());
  if (!daemon.ok()) return Fail(daemon.status());
  LogDebug("started", {{"milliseconds", absl::ToInt64Milliseconds(absl::Now() - begin)}});
  Supervision supervision(*manager, **daemon, [&] { return LoadConfig(fs, config_path); });
  const int signal = supervision.Run(signals);
  LogInfo("stopping", {{"signal", signal == SIGTERM ? "SIGTERM" : "SIGINT"}});
  (*daemon)->Stop();
  daemon->reset();
  LogInfo("stopped");
  return 0;
}

int Main(int argc, char** argv) {
  PrepareGrpc();
  const absl::Status hardened = HardenProcess();
  if (!hardened.ok()) return Fail(hardened);
  std::string config_path;
  for (int i = 1; i < argc; ++i) {
    const absl::string_view arg = argv[i];
    if (arg == "--help" || arg == "-h" || arg == "help") {
      fputs(kUsage.data(), stdout);
      return 0;
    }
    if (arg == "--version" || arg == "version") {
      printf("kekd %s\n", kKekdVersion);
      return 0;
    }
    if (arg == "--config" && i + 1 < argc) {
      config_path = argv[++i];
    } else if (arg.substr(0, 9) == "--config=") {
      config_path = std::string(arg.substr(9));
    } else {
      return UsageError(absl::StrCat("unknown argument \"", arg, "\""));
    }
  }
  if (config_path.empty()) return UsageError("--config FILE is missing");
  return Run(config_path);
}

}  // namespace
}  // namespace kekd

int main(int argc, char** argv) { return kekd::Main(argc, argv); }
