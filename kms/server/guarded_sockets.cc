#include "kms/server/guarded_sockets.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <deque>
#include <utility>

// What the linker makes of recvmsg and sendmsg where it is told to wrap them: its names.
// NOLINTBEGIN(bugprone-reserved-identifier)
extern "C" {
ssize_t __real_recvmsg(int fd, msghdr* message, int flags);
ssize_t __real_sendmsg(int fd, const msghdr* message, int flags);

ssize_t __wrap_recvmsg(int fd, msghdr* message, int flags) {
  return kekd::GuardedSockets::Instance().Receive(fd, message, flags);
}
ssize_t __wrap_sendmsg(int fd, const msghdr* message, int flags) {
  return kekd::GuardedSockets::Instance().Send(fd, message, flags);
}
}
// NOLINTEND(bugprone-reserved-identifier)

namespace kekd {
namespace {

using Clock = std::chrono::steady_clock;

// What was read lies in gRPC for less than this until it is a call.
constexpr std::chrono::milliseconds kRecently(500);

// The first `size` bytes of a message's buffers, piece by piece.
template <typename Function>
void ForEachPiece(const msghdr& message, size_t size, const Function& function) {
  for (size_t i = 0; i < message.msg_iovlen && size > 0; ++i) {
    const iovec& piece = message.msg_iov[i];
    const size_t taken = std::min(size, piece.iov_len);
    function(ByteView(static_cast<const uint8_t*>(piece.iov_base), taken));
    size -= taken;
  }
}

}  // namespace

struct GuardedSockets::Socket {
  Socket(FrameGuard::Totals& totals, ino_t inode_in)
      : guard(totals, Clock::now()), inode(inode_in) {}

  void End() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    guard.End();
    arrivals.clear();
  }
  // Notes how much more has come by now than was read.
  void NoteUnread(int fd, Clock::time_point now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    int unread = 0;
    if (ioctl(fd, SIOCINQ, &unread) != 0 || unread <= 0) return;
    const uint64_t come = bytes_read + static_cast<uint64_t>(unread);
    if (arrivals.empty() || come > arrivals.back().bytes) arrivals.push_back({now, come});
  }
  // Whether what was read had to wait.
  bool NoteRead(size_t n, Clock::time_point now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    bytes_read += n;
    last_wait = {};
    if (arrivals.empty()) return false;
    last_wait = now - arrivals.front().seen;
    waited_at = now;
    while (!arrivals.empty() && arrivals.front().bytes <= bytes_read) arrivals.pop_front();
    return true;
  }

  Mutex mu;
  FrameGuard guard ABSL_GUARDED_BY(mu);
  size_t turn ABSL_GUARDED_BY(mu) = 0;  // bytes read since the others had theirs
  uint64_t bytes_read ABSL_GUARDED_BY(mu) = 0;
  struct Arrival {
    Clock::time_point seen;
    uint64_t bytes;  // so many had come by then
  };
  std::deque<Arrival> arrivals ABSL_GUARDED_BY(mu);  // of what is not read yet
  Clock::duration last_wait ABSL_GUARDED_BY(mu){};   // of what was read last
  Clock::time_point waited_at ABSL_GUARDED_BY(mu);   // when that was read
  bool ended ABSL_GUARDED_BY(mu) = false;
  std::string reason ABSL_GUARDED_BY(mu);  // why it was ended
  const ino_t inode;
};

GuardedSockets& GuardedSockets::Instance() {
  static GuardedSockets* const instance = new GuardedSockets;
  return *instance;
}

void GuardedSockets::Add(int fd) {
  struct stat st;
  if (fd < 0 || fstat(fd, &st) != 0) return;
  const char* strategy = getenv("GRPC_POLL_STRATEGY");
  can_pause_.store(strategy != nullptr && strcmp(strategy, "poll") == 0);
  auto socket = std::make_shared<Socket>(totals_, st.st_ino);
  MutexLock lock(&mu_);
  if (by_number_.size() <= static_cast<size_t>(fd)) by_number_.resize(static_cast<size_t>(fd) + 1);
  by_number_[static_cast<size_t>(fd)] = socket;
  by_inode_[st.st_ino] = std::move(socket);
}

std::string GuardedSockets::End(int fd) {
  struct stat st;
  if (fstat(fd, &st) != 0) return "";
  std::shared_ptr<Socket> socket;
  {
    MutexLock lock(&mu_);
    const auto it = by_inode_.find(st.st_ino);
    if (it == by_inode_.end()) return "";
    socket = std::move(it->second);
    by_inode_.erase(it);
  }
  // gRPC may still hold the number for a moment; the place in by_number_ is the next one's.
  MutexLock lock(&socket->mu);
  socket->ended = true;
  socket->End();
  return socket->reason;
}

std::shared_ptr<GuardedSockets::Socket> GuardedSockets::Find(int fd) {
  MutexLock lock(&mu_);
  if (fd < 0 || static_cast<size_t>(fd) >= by_number_.size()) return nullptr;
  return by_number_[static_cast<size_t>(fd)];
}

bool GuardedSockets::AnyUnread(FrameGuard::Time now) const {
  return now - last_unread_.load(std::memory_order_relaxed) < kRecently;
}

std::chrono::nanoseconds GuardedSockets::UnreadTime(int fd) {
  const std::shared_ptr<Socket> socket = Find(fd);
  if (socket == nullptr) return {};
  MutexLock lock(&socket->mu);
  const Clock::time_point now = Clock::now();
  return now - socket->waited_at < kRecently ? socket->last_wait : Clock::duration::zero();
}

void GuardedSockets::Sweep() {
  std::vector<std::pair<int, std::shared_ptr<Socket>>> sockets;
  {
    MutexLock lock(&mu_);
    for (size_t fd = 0; fd < by_number_.size(); ++fd) {
      if (by_number_[fd] != nullptr) sockets.emplace_back(static_cast<int>(fd), by_number_[fd]);
    }
  }
  const Clock::time_point now = Clock::now();
  for (const auto& [fd, socket] : sockets) {
    MutexLock lock(&socket->mu);
    const absl::string_view verdict = socket->guard.Verdict(now);
    if (socket->ended || verdict.empty()) continue;
    // Whoever has the number now, it must be this connection still.
    struct stat st;
    if (fstat(fd, &st) != 0 || st.st_ino != socket->inode) continue;
    socket->reason.assign(verdict.data(), verdict.size());
    shutdown(fd, SHUT_RDWR);
  }
}

ssize_t GuardedSockets::Receive(int fd, msghdr* message, int flags) {
  const std::shared_ptr<Socket> socket = Find(fd);
  if (socket == nullptr) return __real_recvmsg(fd, message, flags);
  MutexLock lock(&socket->mu);
  if (socket->ended) return __real_recvmsg(fd, message, flags);
  const Clock::time_point now = Clock::now();
  const bool pause = socket->turn >= kTurnBytes || !socket->guard.MayRead(now);
  if (can_pause_.load(std::memory_order_relaxed) && pause && socket->guard.Verdict(now).empty()) {
    socket->turn = 0;
    socket->NoteUnread(fd, now);
    errno = EAGAIN;
    return -1;
  }
  // No more than what is left of the turn.
  std::array<iovec, 8> pieces;
  msghdr shorter = *message;
  shorter.msg_iov = pieces.data();
  shorter.msg_iovlen = 0;
  size_t room = kTurnBytes;
  for (size_t i = 0; i < message->msg_iovlen && i < pieces.size() && room > 0; ++i) {
    pieces[i] = message->msg_iov[i];
    pieces[i].iov_len = std::min(pieces[i].iov_len, room);
    room -= pieces[i].iov_len;
    ++shorter.msg_iovlen;
  }
  const ssize_t n = __real_recvmsg(fd, &shorter, flags);
  message->msg_flags = shorter.msg_flags;
  message->msg_controllen = shorter.msg_controllen;
  message->msg_namelen = shorter.msg_namelen;
  if (n <= 0) {
    socket->turn = 0;
    if (n == 0 || (errno != EAGAIN && errno != EINTR)) socket->End();
    return n;
  }
  socket->turn += static_cast<size_t>(n);
  if (socket->NoteRead(static_cast<size_t>(n), now)) last_unread_.store(now);
  FrameGuard* const guard =
      &socket->guard;  // not by way of the socket, whose lock a lambda can't show
  ForEachPiece(shorter, static_cast<size_t>(n),
               [&](ByteView piece) { guard->Received(piece, now); });
  const absl::string_view verdict = socket->guard.Verdict(now);
  if (verdict.empty()) return n;
  socket->reason.assign(verdict.data(), verdict.size());
  // gRPC sees the end of the stream; the acceptor, on its duplicate, a hang-up.
  shutdown(fd, SHUT_RDWR);
  return 0;
}

ssize_t GuardedSockets::Send(int fd, const msghdr* message, int flags) {
  const ssize_t n = __real_sendmsg(fd, message, flags);
  if (n <= 0) return n;
  const std::shared_ptr<Socket> socket = Find(fd);
  if (socket == nullptr) return n;
  const int error = errno;
  MutexLock lock(&socket->mu);
  if (!socket->ended) {
    const Clock::time_point now = Clock::now();
    FrameGuard* const guard = &socket->guard;
    ForEachPiece(*message, static_cast<size_t>(n),
                 [&](ByteView piece) { guard->Sent(piece, now); });
  }
  errno = error;
  return n;
}

}  // namespace kekd
