// Where kekd's listening sockets come from.
#ifndef KEKD_KMS_DAEMON_LISTENER_SOURCE_H_
#define KEKD_KMS_DAEMON_LISTENER_SOURCE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/file_system.h"
#include "kms/config/config.h"
#include "kms/daemon/service_manager.h"
#include "kms/server/unix_listener.h"

namespace kekd {

// ListenerSource gives each configured socket its listener: the one that the service manager passed
// for its address, from a socket unit or kept from an earlier kekd, or else a new one. Not
// thread-safe.
class ListenerSource final {
 public:
  // `fs` outlives what is made here.
  ListenerSource(FileSystem& fs, std::vector<PassedDescriptor> passed);

  // See UnixListener::Bind and Adopt.
  absl::StatusOr<std::unique_ptr<UnixListener>> Get(const SocketConfig& config);

  // When every socket has its listener: InvalidArgument if the service manager passed one that none
  // of them uses. What an earlier kekd left and nobody needs is closed.
  absl::Status CheckAllUsed();

 private:
  struct Passed {
    PassedDescriptor descriptor;
    std::string address;  // empty if it has none
    UnixListener::Maker maker;
  };

  FileSystem& fs_;
  std::vector<Passed> passed_;  // those of socket units first
};

}  // namespace kekd

#endif  // KEKD_KMS_DAEMON_LISTENER_SOURCE_H_
