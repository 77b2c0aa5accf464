// KMS v2 as kube-apiserver speaks it.
#ifndef KEKD_KMS_CTL_KMS_CLIENT_H_
#define KEKD_KMS_CTL_KMS_CLIENT_H_

#include <utility>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "kms/config/config.h"
#include "kms/ctl/unix_channel.h"
#include "kms/v2/api.pb.h"

namespace kekd {

// KmsClient calls a keyring's socket with an API server's deadline. Errors carry the plugin's own
// codes. Thread-compatible.
class KmsClient final {
 public:
  static constexpr absl::Duration kCallTime = absl::Seconds(3);

  // As UnixChannel::Connect. `socket` outlives the client.
  static absl::StatusOr<KmsClient> Connect(const SocketConfig& socket);

  // See UnixChannel::Broken.
  bool Broken() const { return channel_.Broken(); }

  absl::StatusOr<v2::StatusResponse> Status() const;
  absl::StatusOr<v2::EncryptResponse> Encrypt(const v2::EncryptRequest& request) const;
  absl::StatusOr<v2::DecryptResponse> Decrypt(const v2::DecryptRequest& request) const;

 private:
  explicit KmsClient(UnixChannel channel) : channel_(std::move(channel)) {}

  UnixChannel channel_;
};

}  // namespace kekd

#endif  // KEKD_KMS_CTL_KMS_CLIENT_H_
