// One keyring on its socket.
#ifndef KEKD_KMS_DAEMON_SERVED_KEYRING_H_
#define KEKD_KMS_DAEMON_SERVED_KEYRING_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/file_system.h"
#include "base/mutex.h"
#include "keystore/keyring_writer.h"
#include "kms/config/config.h"
#include "kms/daemon/listener_source.h"
#include "kms/daemon/unlock_check.h"
#include "kms/server/connection_acceptor.h"
#include "kms/server/kms_server.h"
#include "kms/server/unix_listener.h"
#include "kms/service/envelope_service.h"
#include "kms/service/health_monitor.h"
#include "kms/service/keyring_health.h"

namespace kekd {

// The peers that a socket's configuration allows: with no user and no group, root and this
// process's own user.
PeerPolicy PolicyOf(const SocketConfig& socket);

// ServedKeyring is a keyring with all that serves it, built from the bottom up and torn down in
// reverse: writer, health, monitor, service, server, listener. Not thread-safe but for its
// configuration; its parts are.
class ServedKeyring final {
 public:
  static absl::StatusOr<std::unique_ptr<ServedKeyring>> Open(FileSystem& fs, const Config& config,
                                                             const KeyringConfig& keyring,
                                                             ListenerSource& listeners,
                                                             absl::Time deadline);

  // The newest configuration: a reload exchanges it. Thread-safe.
  std::shared_ptr<const KeyringConfig> config() const {
    MutexLock lock(&config_mu_);
    return config_;
  }
  void SetConfig(KeyringConfig config) {
    auto next = std::make_shared<const KeyringConfig>(std::move(config));
    MutexLock lock(&config_mu_);
    config_.swap(next);
  }
  KeyringWriter& writer() { return *writer_; }
  const KeyringHealth& health() const { return *health_; }
  const EnvelopeService& service() const { return *service_; }
  AsyncServer& server() { return *server_; }
  UnixListener& listener() { return *listener_; }
  // How the keyring does, for people: what Status answers at the moment, without counting as a
  // call.
  struct Condition {
    std::string primary;  // its key_id, or "no primary"
    std::string problem;  // empty if there is none
  };
  Condition GetCondition() const;

  // The socket for the acceptor; adopted connections go to this keyring's server.
  ConnectionAcceptor::Socket AcceptorSocket();
  // Removes the socket, so that clients are refused at once instead of waiting in its backlog. Once
  // the acceptor has stopped.
  void CloseListener() { listener_.reset(); }
  // Starts the background checks, of its health and of what opens it.
  void StartMonitor() { monitor_->Start(); }
  // Tries what the configuration says that opens it. Thread-safe.
  void CheckUnlock(UnlockCheck::When when) {
    unlock_check_.Check(*config(), writer_->current()->Get()->keyring(), when);
  }
  // The same after a reload, at once, or by the background checks within a round of theirs if a
  // token has to be asked: whoever reloads must not wait for one that hangs.
  void CheckUnlockSoon();
  // What does not open it any more. Thread-safe.
  std::vector<std::string> UnlockWarnings() const { return unlock_check_.Warnings(); }

 private:
  ServedKeyring(FileSystem& fs, const std::string& state_directory, KeyringConfig config)
      : config_(std::make_shared<const KeyringConfig>(std::move(config))),
        unlock_check_(fs, state_directory) {}

  mutable Mutex config_mu_;
  std::shared_ptr<const KeyringConfig> config_ ABSL_GUARDED_BY(config_mu_);
  UnlockCheck unlock_check_;
  std::unique_ptr<KeyringWriter> writer_;
  std::shared_ptr<KeyringHealth> health_;     // read by the service
  std::unique_ptr<HealthMonitor> monitor_;    // checks through the writer
  std::unique_ptr<EnvelopeService> service_;  // reads the writer's current keyring, nudges monitor_
  std::unique_ptr<AsyncServer> server_;       // calls the service
  std::unique_ptr<UnixListener> listener_;    // feeds the server, through the acceptor
};

}  // namespace kekd

#endif  // KEKD_KMS_DAEMON_SERVED_KEYRING_H_
