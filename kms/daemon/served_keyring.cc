#include "kms/daemon/served_keyring.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "kms/keyring/keyring_access.h"

namespace kekd {

PeerPolicy PolicyOf(const SocketConfig& socket) {
  PeerPolicy policy{socket.allowed_users, socket.allowed_groups};
  if (policy.users.empty() && policy.groups.empty()) policy.users = {0, geteuid()};
  return policy;
}

absl::StatusOr<std::unique_ptr<ServedKeyring>> ServedKeyring::Open(FileSystem& fs,
                                                                   const Config& config,
                                                                   const KeyringConfig& keyring,
                                                                   ListenerSource& listeners,
                                                                   absl::Time deadline) {
  std::unique_ptr<ServedKeyring> served(new ServedKeyring(fs, config.state_directory, keyring));
  KEKD_ASSIGN_OR_RETURN(served->writer_, OpenForWriting(fs, config, keyring, deadline,
                                                        KeyringWriter::kReopenTimeout));
  const std::shared_ptr<const OpenKeyring> opened = served->writer_->current()->Get();
  served->health_ = std::make_shared<KeyringHealth>();
  served->monitor_ = std::make_unique<HealthMonitor>(
      *served->writer_, *served->health_, Clock::System(),
      [check = served.get()] { check->CheckUnlock(UnlockCheck::When::kIfDue); });
  served->service_ = std::make_unique<EnvelopeService>(
      served->writer_->current(), served->health_,
      [monitor = served->monitor_.get()](uint32_t version) { monitor->Nudge(version); });
  const size_t device_calls = keyring.pkcs11.value_or(Pkcs11Config()).sessions;
  KEKD_ASSIGN_OR_RETURN(served->server_, StartKmsServer(*served->service_, device_calls));
  KEKD_ASSIGN_OR_RETURN(served->listener_, listeners.Get(keyring.socket));
  const KeyVersion* primary = opened->keyring().Primary();
  LogInfo("keyring is open", {{"keyring", keyring.name},
                              {"opened_by", served->writer_->store().Opener()},
                              {"generation", opened->keyring().generation()},
                              {"versions", opened->keyring().versions().size()},
                              {"key_id", primary == nullptr ? "none" : primary->key_id.text()},
                              {"socket", keyring.socket.Endpoint()}});
  return served;
}

ConnectionAcceptor::Socket ServedKeyring::AcceptorSocket() {
  const std::shared_ptr<const KeyringConfig> keyring = config();
  return {.name = keyring->socket.path,
          .fd = listener_->fd(),
          .policy = PolicyOf(keyring->socket),
          .adopt = [this](UniqueFd connection, const PeerCredentials& peer) {
            server_->Adopt(std::move(connection), peer);
          }};
}

void ServedKeyring::CheckUnlockSoon() {
  const std::shared_ptr<const KeyringConfig> keyring = config();
  const bool by_token = std::any_of(
      keyring->unlock.begin(), keyring->unlock.end(),
      [](const UnlockConfig& each) { return each.kind == UnlockConfig::Kind::kPkcs11; });
  if (!by_token) return CheckUnlock(UnlockCheck::When::kNow);
  unlock_check_.MakeDue();
}

ServedKeyring::Condition ServedKeyring::GetCondition() const {
  const std::shared_ptr<const OpenKeyring> opened = writer_->current()->Get();
  const KeyVersion* primary = opened->keyring().Primary();
  Condition condition;
  condition.primary = primary == nullptr ? "no primary" : primary->key_id.text();
  const absl::StatusOr<EnvelopeService::StatusAnswer> answer = service_->CurrentStatus();
  if (!answer.ok()) {
    condition.problem = std::string(answer.status().message());
  } else if (answer->healthz != "ok") {
    condition.problem = answer->healthz;
  }
  return condition;
}

}  // namespace kekd
