// The admin service: how kekctl asks a running kekd.
#ifndef KEKD_KMS_ADMIN_ADMIN_SERVER_H_
#define KEKD_KMS_ADMIN_ADMIN_SERVER_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "keystore/keyring_writer.h"
#include "kms/server/async_server.h"
#include "kms/service/envelope_service.h"
#include "kms/service/keyring_health.h"

namespace kekd {

// One keyring as the admin service sees it. All outlive the server.
struct AdministeredKeyring {
  std::string name;
  std::string endpoint;  // of its KMS socket
  KeyringWriter* writer = nullptr;
  const EnvelopeService* service = nullptr;
  const KeyringHealth* health = nullptr;
  struct Connections {
    uint64_t open = 0;
    uint64_t refused = 0;
    uint64_t refused_calls = 0;  // for want of time
  };
  std::function<Connections()> connections;
  // What an operator should know of it beside its health. Called on the server's thread.
  std::function<std::vector<std::string>()> warnings;
};

inline constexpr int kMaxAdminReceiveBytes = 64 * 1024;
inline constexpr absl::Duration kMaxAdminCallTime = absl::Seconds(30);

struct AdminOptions {
  std::vector<AdministeredKeyring> keyrings;
  absl::Time start_time;
  // What an operator should know of the daemon itself. Called on the server's thread.
  std::function<std::vector<std::string>()> warnings;
};

// A server that answers kekd.admin.v1 on a thread of its own, one call after the other: of two
// changes at once one wins and the other is told so by the generation.
absl::StatusOr<std::unique_ptr<AsyncServer>> StartAdminServer(AdminOptions options);

}  // namespace kekd

#endif  // KEKD_KMS_ADMIN_ADMIN_SERVER_H_
