#include "kms/daemon/daemon.h"

#include <unistd.h>

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/log.h"
#include "base/secret_arena.h"
#include "base/status_macros.h"
#include "kms/admin/admin_server.h"
#include "kms/config/version.h"
#include "kms/daemon/served_keyring.h"
#include "kms/server/connection_acceptor.h"
#include "kms/server/unix_listener.h"

namespace kekd {

class Daemon::Impl final {
 public:
  explicit Impl(Config config) : config_(std::move(config)) {}

  absl::Status Start(FileSystem& fs) {
    const absl::Time start_time = absl::Now();
    const absl::Time deadline = start_time + kOpenTimeout;
    for (const KeyringConfig& keyring : config_.keyrings) {
      absl::StatusOr<std::unique_ptr<ServedKeyring>> served =
          ServedKeyring::Open(fs, config_, keyring, deadline);
      if (!served.ok()) {
        return WithContext(served.status(), absl::StrCat("keyring \"", keyring.name, "\""));
      }
      keyrings_.push_back(*std::move(served));
    }
    KEKD_RETURN_IF_ERROR(CheckMemory());
    KEKD_ASSIGN_OR_RETURN(admin_listener_, UnixListener::Bind(fs, config_.admin_socket));
    KEKD_ASSIGN_OR_RETURN(admin_, StartAdminServer(AdministeredKeyrings(), start_time));

    // The keyrings' sockets first, in their order: AdministeredKeyrings counts on it.
    std::vector<ConnectionAcceptor::Socket> sockets;
    for (const auto& keyring : keyrings_) sockets.push_back(keyring->AcceptorSocket());
    sockets.push_back({.name = config_.admin_socket.path,
                       .fd = admin_listener_->fd(),
                       .policy = PolicyOf(config_.admin_socket),
                       .adopt = [this](UniqueFd connection, const PeerCredentials& peer) {
                         admin_->Adopt(std::move(connection), peer);
                       }});
    KEKD_ASSIGN_OR_RETURN(acceptor_, ConnectionAcceptor::Create(std::move(sockets)));
    acceptor_->Start();
    for (const auto& keyring : keyrings_) keyring->StartMonitor();
    LogInfo("ready", {{"version", kKekdVersion},
                      {"pid", getpid()},
                      {"keyrings", keyrings_.size()},
                      {"admin", config_.admin_socket.path}});
    return absl::OkStatus();
  }

  void Stop() {
    if (stopped_) return;
    stopped_ = true;
    if (acceptor_ != nullptr) acceptor_->Stop();
    for (const auto& keyring : keyrings_) keyring->CloseListener();
    admin_listener_.reset();
    const absl::Time deadline = absl::Now() + kDrainTimeout;
    for (const auto& keyring : keyrings_) keyring->server().Shutdown(deadline);
    if (admin_ != nullptr) admin_->Shutdown(deadline);
  }

 private:
  absl::Status CheckMemory() const {
    const absl::Status locked = SecretArena::Instance().LockStatus();
    if (locked.ok()) return locked;
    if (config_.memory_locking == MemoryLocking::kRequired) {
      return WithContext(locked, "memory.locking is \"required\"");
    }
    LogWarning("secrets may be swapped out", {{"error", locked.message()}});
    return absl::OkStatus();
  }

  std::vector<AdministeredKeyring> AdministeredKeyrings() {
    std::vector<AdministeredKeyring> administered;
    for (size_t i = 0; i < keyrings_.size(); ++i) {
      ServedKeyring& keyring = *keyrings_[i];
      administered.push_back({.name = keyring.config().name,
                              .endpoint = keyring.config().socket.Endpoint(),
                              .writer = &keyring.writer(),
                              .service = &keyring.service(),
                              .health = &keyring.health(),
                              .connections = [this, i] { return ConnectionsOf(i); }});
    }
    return administered;
  }

  AdministeredKeyring::Connections ConnectionsOf(size_t index) const {
    const ConnectionAcceptor::Stats stats = acceptor_->GetStats(index);
    return {stats.connections, stats.refused};
  }

  const Config config_;
  std::vector<std::unique_ptr<ServedKeyring>> keyrings_;
  std::unique_ptr<UnixListener> admin_listener_;
  std::unique_ptr<AsyncServer> admin_;            // asks the keyrings
  std::unique_ptr<ConnectionAcceptor> acceptor_;  // feeds the servers from the listeners
  bool stopped_ = false;
};

absl::StatusOr<std::unique_ptr<Daemon>> Daemon::Start(FileSystem& fs, Config config) {
  auto impl = std::make_unique<Impl>(std::move(config));
  KEKD_RETURN_IF_ERROR(impl->Start(fs));
  return std::unique_ptr<Daemon>(new Daemon(std::move(impl)));
}

Daemon::Daemon(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Daemon::~Daemon() { Stop(); }
void Daemon::Stop() { impl_->Stop(); }

}  // namespace kekd
