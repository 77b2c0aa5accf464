// kekd as an object.
#ifndef KEKD_KMS_DAEMON_DAEMON_H_
#define KEKD_KMS_DAEMON_DAEMON_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/file_system.h"
#include "kms/config/config.h"
#include "kms/daemon/service_manager.h"

namespace kekd {

// Daemon serves the configured keyrings on their sockets and itself on the admin socket. Threads:
// one that accepts, one a keyring for KMS calls, one a keyring for health, one for admin calls, and
// gRPC's own. Not thread-safe; owned by main.
class Daemon final {
 public:
  static constexpr absl::Duration kOpenTimeout = absl::Seconds(30);
  // For KMS calls that have begun, on connections that did not go when they were told. Whoever
  // connects meanwhile waits for the next kekd: with the acceptor's time for leaving this must stay
  // well under kube-apiserver's 3 s for a call.
  static constexpr absl::Duration kKmsDrainTimeout = absl::Milliseconds(500);
  // An admin call may sync a disk; KMS calls are served meanwhile.
  static constexpr absl::Duration kAdminDrainTimeout = absl::Seconds(5);
  // The admin thread may wait for a disk that hangs, and holds up nobody. It is told of after the
  // first and taken for hung after the second: a restart needs the same disk, so it comes late.
  static constexpr absl::Duration kAdminSlow = absl::Seconds(30);
  static constexpr absl::Duration kAdminHung = absl::Minutes(10);

  // Opens the keyrings, takes the sockets from `passed` or binds them, serves. Nothing is served
  // unless everything can be, and InvalidArgument if a passed socket is not in the configuration.
  // `fs` outlives the daemon.
  static absl::StatusOr<std::unique_ptr<Daemon>> Start(FileSystem& fs, Config config,
                                                       std::vector<PassedDescriptor> passed);
  ~Daemon();  // Stop()
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  // Takes over what differs in `config`, or changes nothing and says why; an error in place of a
  // configuration is such a reason too. The reason is a warning of the admin service until a reload
  // succeeds.
  absl::Status Reload(absl::StatusOr<Config> config);

  // What is served, in one line; "degraded: ..." before it if something is to be mended.
  std::string StatusText() const;

  // Unavailable, with its name, if a thread that calls depend on was asked by an earlier call and
  // has not come round for `patience` since.
  absl::Status CheckThreads(absl::Duration patience);

  // The listening sockets that kekd has made itself, for a service manager to keep.
  std::vector<int> OwnListeners() const;
  // The service manager has them: Stop leaves their files, and the connections that wait there.
  void KeepListeners();

  // Accepts no more, lets calls end, removes the sockets. More than once is fine.
  void Stop();

 private:
  class Impl;
  explicit Daemon(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace kekd

#endif  // KEKD_KMS_DAEMON_DAEMON_H_
