// The connections that gRPC reads under guard.
#ifndef KEKD_KMS_SERVER_GUARDED_SOCKETS_H_
#define KEKD_KMS_SERVER_GUARDED_SOCKETS_H_

#include <sys/socket.h>
#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "base/mutex.h"
#include "kms/server/frame_guard.h"

namespace kekd {

// GuardedSockets puts a FrameGuard between gRPC and the sockets that it has adopted. gRPC's calls
// of recvmsg(2) and sendmsg(2) are led here by the linker (--wrap, in this folder's
// CMakeLists.txt), so that a guard sees the bytes as they pass, without a system call or a copy
// more. A connection whose guard says so is shown to gRPC as ended. One that sends without a pause
// is now and then shown as empty, so that gRPC's thread comes to the others: poll(2) then tells it
// again; under another GRPC_POLL_STRATEGY it would be lost, so nothing is ever shown as empty
// there. Thread-safe; one per process.
class GuardedSockets final {
 public:
  // How much is read of one connection before the others have their turn.
  static constexpr size_t kTurnBytes = size_t{8} * 1024;

  static GuardedSockets& Instance();

  // From now on, what is read and written by this number is guarded.
  void Add(int fd);
  // The connection behind `fd`, a duplicate perhaps, has ended: why by our own doing, or nothing.
  std::string End(int fd);
  // Whether any connection has had more to read than was read when it was its turn, just now.
  bool AnyUnread(FrameGuard::Time now) const;
  // For how long what was read of the connection last, just now, has waited in its socket.
  std::chrono::nanoseconds UnreadTime(int fd);
  // Shows those as ended to gRPC that have to end though they say nothing more.
  void Sweep();

  ssize_t Receive(int fd, msghdr* message, int flags);
  ssize_t Send(int fd, const msghdr* message, int flags);

 private:
  struct Socket;
  GuardedSockets() = default;
  std::shared_ptr<Socket> Find(int fd);

  FrameGuard::Totals totals_;
  std::atomic<bool> can_pause_{false};
  std::atomic<FrameGuard::Time> last_unread_{FrameGuard::Time()};
  Mutex mu_;
  std::vector<std::shared_ptr<Socket>> by_number_ ABSL_GUARDED_BY(mu_);
  std::unordered_map<ino_t, std::shared_ptr<Socket>> by_inode_ ABSL_GUARDED_BY(mu_);
};

}  // namespace kekd

#endif  // KEKD_KMS_SERVER_GUARDED_SOCKETS_H_
