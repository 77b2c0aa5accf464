// A gRPC channel to kekd on a unix socket.
#ifndef KEKD_KMS_CTL_UNIX_CHANNEL_H_
#define KEKD_KMS_CTL_UNIX_CHANNEL_H_

#include <grpcpp/channel.h>
#include <grpcpp/support/status.h>

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "base/unix_socket.h"
#include "kms/config/config.h"

namespace kekd {

// One connection to one of kekd's sockets. We connect ourselves and give gRPC the connected socket:
// so it is known at once and for certain whether anybody listens, and who.
class UnixChannel final {
 public:
  // NotFound if nobody listens (no socket, or a dead one); PermissionDenied if this user may not
  // connect; Unavailable if kekd has no room for another connection. `socket` outlives the channel.
  static absl::StatusOr<UnixChannel> Connect(const SocketConfig& socket);

  // Broken for good once the connection is; then Connect makes a new one.
  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }

  // The status of a call on this channel. kekd closes the connections of whom it does not allow
  // without a word: here that becomes PermissionDenied.
  absl::Status StatusOf(const grpc::Status& status) const;
  // Who listened when the channel was made.
  const PeerCredentials& server() const { return server_; }
  // Whether kekd has ended the connection. Tells a call that broke from one that kekd itself
  // answered with UNAVAILABLE.
  bool Broken() const;

 private:
  UnixChannel(const SocketConfig& socket, const PeerCredentials& server, UniqueFd watched,
              std::shared_ptr<grpc::Channel> channel);
  bool MayConnect() const;

  const SocketConfig* socket_;
  PeerCredentials server_;
  UniqueFd watched_;  // the same connection once more, only to be polled
  std::shared_ptr<grpc::Channel> channel_;
};

}  // namespace kekd

#endif  // KEKD_KMS_CTL_UNIX_CHANNEL_H_
