// One keyring on its socket.
#ifndef KEKD_KMS_DAEMON_SERVED_KEYRING_H_
#define KEKD_KMS_DAEMON_SERVED_KEYRING_H_

#include <memory>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/file_system.h"
#include "keystore/keyring_writer.h"
#include "kms/config/config.h"
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
// reverse: writer, health, monitor, service, server, listener. Not thread-safe; its parts are.
class ServedKeyring final {
 public:
  static absl::StatusOr<std::unique_ptr<ServedKeyring>> Open(FileSystem& fs, const Config& config,
                                                             const KeyringConfig& keyring,
                                                             absl::Time deadline);

  const KeyringConfig& config() const { return config_; }
  KeyringWriter& writer() { return *writer_; }
  const KeyringHealth& health() const { return *health_; }
  const EnvelopeService& service() const { return *service_; }
  AsyncServer& server() { return *server_; }

  // The socket for the acceptor; adopted connections go to this keyring's server.
  ConnectionAcceptor::Socket AcceptorSocket();
  // Removes the socket, so that clients are refused at once instead of waiting in its backlog. Once
  // the acceptor has stopped.
  void CloseListener() { listener_.reset(); }
  // Starts the background health check.
  void StartMonitor() { monitor_->Start(); }

 private:
  explicit ServedKeyring(KeyringConfig config) : config_(std::move(config)) {}

  const KeyringConfig config_;
  std::unique_ptr<KeyringWriter> writer_;
  std::shared_ptr<KeyringHealth> health_;     // read by the service
  std::unique_ptr<EnvelopeService> service_;  // reads the writer's current keyring
  std::unique_ptr<HealthMonitor> monitor_;    // checks through the writer
  std::unique_ptr<AsyncServer> server_;       // calls the service
  std::unique_ptr<UnixListener> listener_;    // feeds the server, through the acceptor
};

}  // namespace kekd

#endif  // KEKD_KMS_DAEMON_SERVED_KEYRING_H_
