#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <ctime>

#include "absl/strings/str_cat.h"
#include "base/length_prefixed.h"
#include "base/monotonic.h"
#include "base/posix_error.h"
#include "base/status_macros.h"
#include "hsm/token/worker_message.h"

namespace kekd {
namespace {

constexpr size_t kLengthsBytes = 8;
// What a length claims is believed this far at a time.
constexpr size_t kStepBytes = size_t{256} << 10;

absl::Status Gone() { return absl::UnavailableError("the other side has closed the connection"); }

absl::Status TooLarge(size_t fields, size_t secret) {
  return absl::InvalidArgumentError(absl::StrCat(
      "a frame of ", fields, " + ", secret, " bytes; at most ", WorkerFrame::kMaxFieldBytes, " + ",
      WorkerFrame::kMaxSecretBytes, " are allowed"));
}

// Until the socket is ready for `events`. What is ready is never late: after a pause of the whole
// machine the deadline has passed, and the answer may be there.
absl::Status Await(int fd, short events, absl::Time deadline) {
  while (true) {
    const bool limited = deadline != absl::InfiniteFuture();
    const absl::Duration remaining =
        limited ? std::max(deadline - MonotonicNow(), absl::ZeroDuration()) : absl::ZeroDuration();
    const timespec left = absl::ToTimespec(remaining);
    pollfd poll = {.fd = fd, .events = events, .revents = 0};
    const int ready = ::ppoll(&poll, 1, limited ? &left : nullptr, nullptr);
    if (ready > 0) return absl::OkStatus();
    if (ready < 0 && errno != EINTR) return PosixError(errno, "ppoll on the worker's socket");
    if (ready == 0 && remaining == absl::ZeroDuration()) {
      return absl::DeadlineExceededError("no answer within the deadline");
    }
  }
}

bool IsGone(int error) { return error == EPIPE || error == ECONNRESET; }

// Takes `size` bytes off the front of the list.
void Advance(iovec*& parts, size_t& count, size_t size) {
  while (count > 0 && size >= parts->iov_len) {
    size -= parts->iov_len;
    ++parts;
    --count;
  }
  if (count == 0) return;
  parts->iov_base = static_cast<char*>(parts->iov_base) + size;
  parts->iov_len -= size;
}

// Fills all of the parts.
absl::Status ReceiveAll(int fd, iovec* parts, size_t count, absl::Time deadline) {
  // What blocks in recvmsg saves a system call; it is what the worker does, which has no deadline.
  const int flags = MSG_CMSG_CLOEXEC | (deadline == absl::InfiniteFuture() ? 0 : MSG_DONTWAIT);
  Advance(parts, count, 0);
  while (count > 0) {
    msghdr message = {};
    message.msg_iov = parts;
    message.msg_iovlen = count;
    const ssize_t size = ::recvmsg(fd, &message, flags);
    if (size == 0 || (size < 0 && IsGone(errno))) return Gone();
    if (size > 0) {
      Advance(parts, count, static_cast<size_t>(size));
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      KEKD_RETURN_IF_ERROR(Await(fd, POLLIN, deadline));
    } else if (errno != EINTR) {
      return PosixError(errno, "recvmsg on the worker's socket");
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status SendFrame(int fd, const WorkerFrame& frame, absl::Time deadline) {
  if (frame.fields.size() > WorkerFrame::kMaxFieldBytes ||
      frame.secret.size() > WorkerFrame::kMaxSecretBytes) {
    return TooLarge(frame.fields.size(), frame.secret.size());
  }
  std::string lengths;
  AppendU32(lengths, static_cast<uint32_t>(frame.fields.size()));
  AppendU32(lengths, static_cast<uint32_t>(frame.secret.size()));
  const ByteView secret = frame.secret.Reveal(SecretAccessToken());
  // sendmsg(2) takes what it does not write to as writable.
  iovec all[] = {{lengths.data(), lengths.size()},
                 {const_cast<char*>(frame.fields.data()), frame.fields.size()},
                 {const_cast<uint8_t*>(secret.data()), secret.size()}};
  iovec* parts = all;
  size_t count = std::size(all);
  while (count > 0) {
    msghdr message = {};
    message.msg_iov = parts;
    message.msg_iovlen = count;
    const ssize_t size = ::sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (size >= 0) {
      Advance(parts, count, static_cast<size_t>(size));
    } else if (IsGone(errno)) {
      return Gone();
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      KEKD_RETURN_IF_ERROR(Await(fd, POLLOUT, deadline));
    } else if (errno != EINTR) {
      return PosixError(errno, "sendmsg on the worker's socket");
    }
  }
  return absl::OkStatus();
}

absl::Status AwaitFrame(int fd, absl::Time deadline) { return Await(fd, POLLIN, deadline); }

absl::StatusOr<WorkerFrame> ReceiveFrame(int fd, absl::Time deadline) {
  uint8_t lengths[kLengthsBytes];
  iovec header[] = {{lengths, sizeof(lengths)}};
  KEKD_RETURN_IF_ERROR(ReceiveAll(fd, header, 1, deadline));
  const size_t field_bytes = ReadU32(lengths);
  const size_t secret_bytes = ReadU32(lengths + 4);
  if (field_bytes > WorkerFrame::kMaxFieldBytes || secret_bytes > WorkerFrame::kMaxSecretBytes) {
    return TooLarge(field_bytes, secret_bytes);
  }
  WorkerFrame frame;
  while (field_bytes - frame.fields.size() > kStepBytes) {
    const size_t had = frame.fields.size();
    frame.fields.resize(had + kStepBytes);
    iovec step[] = {{frame.fields.data() + had, kStepBytes}};
    KEKD_RETURN_IF_ERROR(ReceiveAll(fd, step, 1, deadline));
  }
  const size_t had = frame.fields.size();
  frame.fields.resize(field_bytes);
  if (secret_bytes > 0) frame.secret = SecretBytes(secret_bytes);
  const absl::Span<uint8_t> secret = frame.secret.RevealMutable(SecretAccessToken());
  iovec rest[] = {{frame.fields.data() + had, field_bytes - had}, {secret.data(), secret.size()}};
  KEKD_RETURN_IF_ERROR(ReceiveAll(fd, rest, std::size(rest), deadline));
  return frame;
}

}  // namespace kekd
