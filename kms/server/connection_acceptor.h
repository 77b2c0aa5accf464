// The accept loop in front of gRPC.
#ifndef KEKD_KMS_SERVER_CONNECTION_ACCEPTOR_H_
#define KEKD_KMS_SERVER_CONNECTION_ACCEPTOR_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"
#include "base/unix_socket.h"

namespace kekd {

// Which peers may connect, by what the kernel says of them (SO_PEERCRED, at connect time).
struct PeerPolicy {
  std::vector<uid_t> users;
  std::vector<gid_t> groups;
  bool Allows(uid_t uid, gid_t gid) const;
};

// ConnectionAcceptor accepts for every socket of the process on one thread, and passes on only what
// has earned a place in gRPC: a peer whose credentials are allowed and who has sent the HTTP/2
// connection preface (RFC 9113, section 3.4) in time. A peer that says nothing, half a preface or
// something else costs one descriptor for kPrefaceTimeout and never reaches gRPC, which has no
// handshake timeout for adopted descriptors. Thread-safe.
class ConnectionAcceptor final {
 public:
  static constexpr absl::Duration kPrefaceTimeout = absl::Seconds(2);
  static constexpr absl::Duration kStopGrace = absl::Milliseconds(200);
  static constexpr absl::Duration kLeaveTimeout = absl::Milliseconds(500);
  // Of a socket. Beyond them somebody who has several makes room (fair_share.h); else the oldest of
  // the pending ones is dropped, and a new connection is refused.
  static constexpr size_t kMaxPending = 64;
  static constexpr size_t kMaxConnections = 64;

  struct Socket {
    std::string name;  // for the log
    int fd = -1;       // listening, non-blocking; outlives the acceptor
    PeerPolicy policy;
    // Takes over a connected, non-blocking descriptor whose first bytes are the preface. Called on
    // the acceptor's thread; must not block.
    std::function<void(UniqueFd, const PeerCredentials&)> adopt;
  };
  struct Stats {
    uint64_t connections = 0;  // open now in gRPC
    uint64_t refused = 0;      // since the start: not allowed, no preface, or too many
  };

  static absl::StatusOr<std::unique_ptr<ConnectionAcceptor>> Create(std::vector<Socket> sockets);
  ~ConnectionAcceptor();  // Stop()
  ConnectionAcceptor(const ConnectionAcceptor&) = delete;
  ConnectionAcceptor& operator=(const ConnectionAcceptor&) = delete;

  // Begins to accept, on a thread of its own. Once; what `adopt` calls must be there.
  void Start();
  // Of the index-th socket.
  Stats GetStats(size_t index) const;
  // Exchanges the policies of all sockets at once, in the sockets' order. It holds for every
  // connection that is accepted from now on; those of peers that it no longer allows are closed.
  void SetPolicies(std::vector<PeerPolicy> policies);
  // For how long the thread has not come round; see AsyncServer::CheckPulse. Between Start and
  // Stop.
  absl::Duration CheckPulse();
  // Ends the thread: nothing is accepted any more. Peers that connected just now are given
  // kStopGrace to send their preface, then all are told to go elsewhere and given kLeaveTimeout for
  // it, in which gRPC should still answer them. Who stays is left to gRPC. More than once is fine.
  void Stop();

 private:
  class Loop;
  explicit ConnectionAcceptor(std::unique_ptr<Loop> loop);

  std::unique_ptr<Loop> loop_;
  std::thread thread_;
};

}  // namespace kekd

#endif  // KEKD_KMS_SERVER_CONNECTION_ACCEPTOR_H_
