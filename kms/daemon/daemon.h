// kekd as an object.
#ifndef KEKD_KMS_DAEMON_DAEMON_H_
#define KEKD_KMS_DAEMON_DAEMON_H_

#include <memory>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/file_system.h"
#include "kms/config/config.h"

namespace kekd {

// Daemon serves the configured keyrings on their sockets and itself on the admin socket. Threads:
// one that accepts, one a keyring for KMS calls, one a keyring for health, one for admin calls, and
// gRPC's own. Not thread-safe; owned by main.
class Daemon final {
 public:
  static constexpr absl::Duration kOpenTimeout = absl::Seconds(30);
  // For calls that have begun; KMS calls take microseconds, an admin call may sync a disk.
  static constexpr absl::Duration kDrainTimeout = absl::Seconds(5);

  // Opens the keyrings, binds the sockets, serves. Nothing is served unless everything can be. `fs`
  // outlives the daemon.
  static absl::StatusOr<std::unique_ptr<Daemon>> Start(FileSystem& fs, Config config);
  ~Daemon();  // Stop()
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  // Accepts no more, lets calls end, removes the sockets. More than once is fine.
  void Stop();

 private:
  class Impl;
  explicit Daemon(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace kekd

#endif  // KEKD_KMS_DAEMON_DAEMON_H_
