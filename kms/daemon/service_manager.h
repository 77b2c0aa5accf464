// The service manager that started this process, such as systemd.
#ifndef KEKD_KMS_DAEMON_SERVICE_MANAGER_H_
#define KEKD_KMS_DAEMON_SERVICE_MANAGER_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"

namespace kekd {

// A descriptor that was open when the process began, with what it is called (FileDescriptorName= of
// a socket unit, or the name it was kept under).
struct PassedDescriptor {
  UniqueFd fd;
  std::string name;
};

// ServiceManager is the process's side of sd_notify(3), sd_listen_fds(3) and
// sd_watchdog_enabled(3), in the few lines that they take. Without a service manager it has nothing
// to tell and tells nobody. Not thread-safe; owned by main.
class ServiceManager final {
 public:
  // The name under which a service manager keeps kekd's own sockets (FDSTORE).
  static constexpr absl::string_view kKeptName = "kekd-kept";

  // Takes its variables out of the environment, so that no child and no second look finds them, and
  // makes the descriptors close-on-exec. What is meant for another process (LISTEN_PID,
  // WATCHDOG_PID) is ignored. InvalidArgument if the variables make no sense.
  static absl::StatusOr<ServiceManager> FromEnvironment();

  // Whether there is somebody to notify.
  bool present() const { return socket_.valid(); }
  // How often it wants to hear of us at least; zero if it does not.
  absl::Duration watchdog_period() const { return watchdog_period_; }
  // What was passed; a second call returns nothing.
  std::vector<PassedDescriptor> TakeDescriptors() { return std::move(descriptors_); }

  // Best effort, as sd_notify: who can't be told is told of in the log once.
  void Ready(absl::string_view status);
  void Reloading();
  void Stopping();
  // What `systemctl status` shows.
  void Status(absl::string_view status);
  void Watchdog();
  // Has the manager keep a listening socket for the next kekd, and forget what it has kept so far.
  void Keep(int fd);
  void ForgetKept();

 private:
  ServiceManager() = default;
  absl::Status TakeNotifySocket();
  absl::Status TakeWatchdog();
  absl::Status TakeListenDescriptors();
  void Send(absl::string_view message, int fd = -1);

  UniqueFd socket_;
  absl::Duration watchdog_period_ = absl::ZeroDuration();
  std::vector<PassedDescriptor> descriptors_;
  bool failure_logged_ = false;
};

}  // namespace kekd

#endif  // KEKD_KMS_DAEMON_SERVICE_MANAGER_H_
