// The admin service: how kekctl asks a running kekd.
#ifndef KEKD_KMS_ADMIN_ADMIN_SERVER_H_
#define KEKD_KMS_ADMIN_ADMIN_SERVER_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"
#include "keystore/keyring_writer.h"
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
  };
  std::function<Connections()> connections;
};

// AdminServer answers kekd.admin.v1 on a thread of its own, one call after the other: of two
// changes at once one wins and the other is told so by the generation. Thread-safe.
class AdminServer final {
 public:
  static constexpr int kMaxReceiveBytes = 64 * 1024;
  static constexpr absl::Duration kMaxCallTime = absl::Seconds(30);

  static absl::StatusOr<std::unique_ptr<AdminServer>> Start(
      std::vector<AdministeredKeyring> keyrings, absl::Time start_time);
  ~AdminServer();
  AdminServer(const AdminServer&) = delete;
  AdminServer& operator=(const AdminServer&) = delete;

  void Adopt(UniqueFd connection);
  // See AsyncServer::Shutdown.
  void Shutdown(absl::Time deadline);

 private:
  class Impl;
  explicit AdminServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace kekd

#endif  // KEKD_KMS_ADMIN_ADMIN_SERVER_H_
