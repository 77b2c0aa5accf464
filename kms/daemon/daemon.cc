#include "kms/daemon/daemon.h"

#include <unistd.h>

#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/secret_arena.h"
#include "base/status_macros.h"
#include "kms/admin/admin_server.h"
#include "kms/config/version.h"
#include "kms/daemon/config_change.h"
#include "kms/daemon/listener_source.h"
#include "kms/daemon/served_keyring.h"
#include "kms/keyring/keyring_access.h"
#include "kms/server/connection_acceptor.h"
#include "kms/server/unix_listener.h"

namespace kekd {

class Daemon::Impl final {
 public:
  Impl(FileSystem& fs, Config config) : fs_(fs), config_(std::move(config)) {}

  absl::Status Start(std::vector<PassedDescriptor> passed) {
    const absl::Time start_time = absl::Now();
    const absl::Time deadline = start_time + kOpenTimeout;
    ListenerSource listeners(fs_, std::move(passed));
    for (const KeyringConfig& keyring : config_.keyrings) {
      absl::StatusOr<std::unique_ptr<ServedKeyring>> served =
          ServedKeyring::Open(fs_, config_, keyring, listeners, deadline);
      if (!served.ok()) {
        return WithContext(served.status(), absl::StrCat("keyring \"", keyring.name, "\""));
      }
      keyrings_.push_back(*std::move(served));
    }
    KEKD_RETURN_IF_ERROR(CheckMemory());
    KEKD_ASSIGN_OR_RETURN(admin_listener_, listeners.Get(config_.admin_socket));
    KEKD_RETURN_IF_ERROR(listeners.CheckAllUsed());
    KEKD_ASSIGN_OR_RETURN(admin_, StartAdminServer({.keyrings = AdministeredKeyrings(),
                                                    .start_time = start_time,
                                                    .warnings = [this] { return Warnings(); }}));

    // The keyrings' sockets first, in their order: AdministeredKeyrings and Policies count on it.
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

  absl::Status Reload(absl::StatusOr<Config> config) {
    absl::Status reloaded = config.status();
    if (config.ok()) reloaded = TakeOver(*std::move(config));
    std::string failure;
    if (reloaded.ok()) {
      LogInfo("reloaded the configuration");
      for (const auto& keyring : keyrings_) keyring->CheckUnlockSoon();
    } else {
      LogError("reload failed; nothing was changed", {{"error", reloaded.message()}});
      failure =
          absl::StrCat("reload failed at ",
                       absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::Now(), absl::UTCTimeZone()),
                       ": ", reloaded.message());
    }
    MutexLock lock(&reload_mu_);
    reload_failure_ = std::move(failure);
    return reloaded;
  }

  std::string StatusText() const {
    std::vector<std::string> problems = Warnings();
    std::vector<std::string> served;
    for (const auto& keyring : keyrings_) {
      const std::string name = keyring->config()->name;
      const ServedKeyring::Condition condition = keyring->GetCondition();
      served.push_back(absl::StrCat(name, " (", condition.primary, ")"));
      if (!condition.problem.empty()) {
        problems.push_back(absl::StrCat(name, ": ", condition.problem));
      }
    }
    if (admin_unanswered_ >= kAdminSlow) {
      problems.push_back(absl::StrCat("the admin thread has been busy for ",
                                      absl::ToInt64Seconds(admin_unanswered_), " s"));
    }
    const std::string serving = absl::StrCat("serving ", absl::StrJoin(served, ", "));
    if (problems.empty()) return serving;
    return absl::StrCat("degraded: ", absl::StrJoin(problems, "; "), "; ", serving);
  }

  absl::Status CheckThreads(absl::Duration patience) {
    // All are asked, also after one that has not answered.
    std::vector<std::string> hung;
    if (acceptor_->CheckPulse() > patience) hung.push_back("accepting connections");
    for (const auto& keyring : keyrings_) {
      if (keyring->server().CheckPulse() > patience) {
        hung.push_back(absl::StrCat("answering for keyring ", keyring->config()->name));
      }
    }
    admin_unanswered_ = admin_->CheckPulse();
    if (admin_unanswered_ >= kAdminHung) hung.push_back("answering admin calls");
    if (hung.empty()) return absl::OkStatus();
    return absl::UnavailableError(
        absl::StrCat("a thread does not come round: ", absl::StrJoin(hung, ", ")));
  }

  std::vector<int> OwnListeners() const {
    std::vector<int> own;
    for (const UnixListener* listener : Listeners()) {
      if (listener->maker() == UnixListener::Maker::kKekd) own.push_back(listener->fd());
    }
    return own;
  }

  void KeepListeners() {
    for (UnixListener* listener : Listeners()) listener->Keep();
  }

  void Stop() {
    if (stopped_) return;
    stopped_ = true;
    // The admin service first: KMS calls need not wait for what it waits for.
    if (admin_ != nullptr) admin_->Shutdown(absl::Now() + kAdminDrainTimeout);
    if (acceptor_ != nullptr) acceptor_->Stop();
    for (const auto& keyring : keyrings_) keyring->CloseListener();
    admin_listener_.reset();
    // All at once, so that none waits for the other's clients.
    const absl::Time deadline = absl::Now() + kKmsDrainTimeout;
    std::vector<std::thread> drains;
    for (const auto& keyring : keyrings_) {
      drains.emplace_back([&keyring, deadline] { keyring->server().Shutdown(deadline); });
    }
    for (std::thread& drain : drains) drain.join();
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

  // First whatever can fail, and back again if it does; then what can't.
  absl::Status TakeOver(Config config) {
    KEKD_ASSIGN_OR_RETURN(Config next, ReloadableConfig(config_, std::move(config)));
    KEKD_RETURN_IF_ERROR(SetUnlocks(config_, next));
    const absl::Status access = SetAccess(next);
    if (!access.ok()) {
      const absl::Status back = SetUnlocks(next, config_);
      if (!back.ok()) LogWarning("the former unlock list is gone too", {{"error", back.message()}});
      return access;
    }
    std::vector<PeerPolicy> policies;
    for (const KeyringConfig& keyring : next.keyrings) policies.push_back(PolicyOf(keyring.socket));
    policies.push_back(PolicyOf(next.admin_socket));
    acceptor_->SetPolicies(std::move(policies));
    for (size_t i = 0; i < keyrings_.size(); ++i) keyrings_[i]->SetConfig(next.keyrings[i]);
    ConfigureLog(next.log_level, next.log_format);
    config_ = std::move(next);
    return absl::OkStatus();
  }

  // What opens each ring at its next change of the ring key. Those that were set are set back if
  // one does not open its ring.
  absl::Status SetUnlocks(const Config& before, const Config& next) {
    for (size_t i = 0; i < keyrings_.size(); ++i) {
      if (next.keyrings[i].unlock == before.keyrings[i].unlock) continue;
      const absl::Status set = SetUnlock(i, next);
      if (set.ok()) {
        LogInfo("another unlock list opens the keyring",
                {{"keyring", next.keyrings[i].name},
                 {"opened_by", keyrings_[i]->writer().store().Opener()}});
        continue;
      }
      for (size_t done = 0; done < i; ++done) {
        const absl::Status back = SetUnlock(done, before);
        if (!back.ok()) {
          LogWarning("the former unlock list does not open the keyring any more",
                     {{"keyring", before.keyrings[done].name}, {"error", back.message()}});
        }
      }
      return WithContext(set, absl::StrCat("keyring \"", next.keyrings[i].name, "\" unlock"));
    }
    return absl::OkStatus();
  }

  absl::Status SetUnlock(size_t index, const Config& config) {
    return keyrings_[index]->writer().store().SetWrappers(
        MakeWrappers(fs_, config.state_directory, config.keyrings[index]));
  }

  absl::Status SetAccess(const Config& next) {
    const std::vector<UnixListener*> listeners = Listeners();
    for (size_t i = 0; i < listeners.size(); ++i) {
      const absl::Status set = listeners[i]->SetAccess(SocketOf(next, i));
      if (set.ok()) continue;
      for (size_t done = 0; done <= i; ++done) {
        const absl::Status back = listeners[done]->SetAccess(SocketOf(config_, done));
        if (!back.ok()) {
          LogWarning("a socket's mode could not be set back",
                     {{"path", SocketOf(config_, done).path}, {"error", back.message()}});
        }
      }
      return set;
    }
    return absl::OkStatus();
  }

  // In the order of SocketOf.
  std::vector<UnixListener*> Listeners() const {
    std::vector<UnixListener*> listeners;
    for (const auto& keyring : keyrings_) listeners.push_back(&keyring->listener());
    listeners.push_back(admin_listener_.get());
    return listeners;
  }

  static const SocketConfig& SocketOf(const Config& config, size_t index) {
    return index < config.keyrings.size() ? config.keyrings[index].socket : config.admin_socket;
  }

  std::vector<std::string> Warnings() const {
    MutexLock lock(&reload_mu_);
    if (reload_failure_.empty()) return {};
    return {reload_failure_};
  }

  std::vector<AdministeredKeyring> AdministeredKeyrings() {
    std::vector<AdministeredKeyring> administered;
    for (size_t i = 0; i < keyrings_.size(); ++i) {
      ServedKeyring& keyring = *keyrings_[i];
      const std::shared_ptr<const KeyringConfig> config = keyring.config();
      administered.push_back({.name = config->name,
                              .endpoint = config->socket.Endpoint(),
                              .writer = &keyring.writer(),
                              .service = &keyring.service(),
                              .health = &keyring.health(),
                              .connections = [this, i] { return ConnectionsOf(i); },
                              .warnings = [&keyring] { return keyring.UnlockWarnings(); }});
    }
    return administered;
  }

  AdministeredKeyring::Connections ConnectionsOf(size_t index) const {
    const ConnectionAcceptor::Stats stats = acceptor_->GetStats(index);
    return {stats.connections, stats.refused, keyrings_[index]->server().refused_calls()};
  }

  FileSystem& fs_;
  Config config_;
  mutable Mutex reload_mu_;
  std::string reload_failure_
      ABSL_GUARDED_BY(reload_mu_);  // of the last reload; empty if it was one
  std::vector<std::unique_ptr<ServedKeyring>> keyrings_;
  std::unique_ptr<UnixListener> admin_listener_;
  std::unique_ptr<AsyncServer> admin_;            // asks the keyrings
  std::unique_ptr<ConnectionAcceptor> acceptor_;  // feeds the servers from the listeners
  absl::Duration admin_unanswered_ = absl::ZeroDuration();
  bool stopped_ = false;
};

absl::StatusOr<std::unique_ptr<Daemon>> Daemon::Start(FileSystem& fs, Config config,
                                                      std::vector<PassedDescriptor> passed) {
  auto impl = std::make_unique<Impl>(fs, std::move(config));
  KEKD_RETURN_IF_ERROR(impl->Start(std::move(passed)));
  return std::unique_ptr<Daemon>(new Daemon(std::move(impl)));
}

Daemon::Daemon(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Daemon::~Daemon() { Stop(); }
absl::Status Daemon::Reload(absl::StatusOr<Config> config) {
  return impl_->Reload(std::move(config));
}
std::string Daemon::StatusText() const { return impl_->StatusText(); }
absl::Status Daemon::CheckThreads(absl::Duration patience) { return impl_->CheckThreads(patience); }
std::vector<int> Daemon::OwnListeners() const { return impl_->OwnListeners(); }
void Daemon::KeepListeners() { impl_->KeepListeners(); }
void Daemon::Stop() { impl_->Stop(); }

}  // namespace kekd
