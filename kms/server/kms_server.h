// The KMS v2 service on gRPC.
#ifndef KEKD_KMS_SERVER_KMS_SERVER_H_
#define KEKD_KMS_SERVER_KMS_SERVER_H_

#include <memory>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"
#include "kms/service/envelope_service.h"

namespace kekd {

// KmsServer answers v2.KeyManagementService for one keyring: a thin adapter between gRPC and
// EnvelopeService. Thread-safe.
class KmsServer final {
 public:
  // What kube-apiserver can send at most: a ciphertext and a key_id of 1 KiB each, annotations of
  // 32 KiB, a uid; with room to spare.
  static constexpr int kMaxReceiveBytes = 64 * 1024;
  // A call's own deadline counts, but never for longer than this.
  static constexpr absl::Duration kMaxCallTime = absl::Seconds(10);

  // `service` outlives the server.
  static absl::StatusOr<std::unique_ptr<KmsServer>> Start(const EnvelopeService& service);
  ~KmsServer();
  KmsServer(const KmsServer&) = delete;
  KmsServer& operator=(const KmsServer&) = delete;

  void Adopt(UniqueFd connection);
  // See AsyncServer::Shutdown.
  void Shutdown(absl::Time deadline);

 private:
  class Impl;
  explicit KmsServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace kekd

#endif  // KEKD_KMS_SERVER_KMS_SERVER_H_
