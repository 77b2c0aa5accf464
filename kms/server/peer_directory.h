// Who is behind a gRPC connection.
#ifndef KEKD_KMS_SERVER_PEER_DIRECTORY_H_
#define KEKD_KMS_SERVER_PEER_DIRECTORY_H_

#include <optional>
#include <string>
#include <unordered_map>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "base/mutex.h"
#include "base/unique_fd.h"
#include "base/unix_socket.h"

namespace kekd {

// PeerDirectory remembers the credentials of the connections that a gRPC server has adopted. gRPC
// names the peer of such a connection "fd:N" after its descriptor. Numbers of descriptors recur,
// and a call may be answered after its connection has closed: so that it is not taken for a
// successor's, a connection gets a number that has not been used for long. Thread-safe.
class PeerDirectory final {
 public:
  // Notes who is behind `connection` and returns it under the number to give to gRPC.
  UniqueFd Register(UniqueFd connection, const PeerCredentials& peer);
  // The number in gRPC's name of the peer; -1 for another name.
  static int DescriptorOf(absl::string_view name);
  // By gRPC's name of the peer; nothing for a name that was never registered.
  std::optional<PeerCredentials> Find(const std::string& name) const;

 private:
  mutable Mutex mu_;
  int next_number_ ABSL_GUARDED_BY(mu_) = 0;
  std::unordered_map<int, PeerCredentials> peers_ ABSL_GUARDED_BY(mu_);
};

}  // namespace kekd

#endif  // KEKD_KMS_SERVER_PEER_DIRECTORY_H_
