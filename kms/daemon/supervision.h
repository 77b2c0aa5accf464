// A daemon from its start to the signal that ends it.
#ifndef KEKD_KMS_DAEMON_SUPERVISION_H_
#define KEKD_KMS_DAEMON_SUPERVISION_H_

#include <signal.h>

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "kms/config/config.h"
#include "kms/daemon/daemon.h"
#include "kms/daemon/service_manager.h"

namespace kekd {

// Supervision tells the service manager how the daemon does, and the daemon what the signals ask
// for. Watchdog messages are sent only while the daemon's threads come round, so that a hung kekd
// is restarted. Not thread-safe; owned by main.
class Supervision final {
 public:
  // `load` reads the configuration for a reload. All outlive this.
  Supervision(ServiceManager& manager, Daemon& daemon,
              std::function<absl::StatusOr<Config>()> load);

  // Says that the daemon is ready, and serves until one of SIGTERM and SIGINT comes, which it
  // returns; SIGHUP reloads. `signals` are these three, blocked.
  int Run(const sigset_t& signals);

 private:
  void Ready();
  void Reload();
  // What is due between two signals.
  void Tick();

  ServiceManager& manager_;
  Daemon& daemon_;
  const std::function<absl::StatusOr<Config>()> load_;
  absl::Duration interval_ = absl::Seconds(5);  // between two ticks
  std::string status_;                          // as the manager knows it
  bool hang_logged_ = false;
};

}  // namespace kekd

#endif  // KEKD_KMS_DAEMON_SUPERVISION_H_
