#include "base/unix_socket.h"

#include <errno.h>
#include <string.h>

#include <algorithm>
#include <cstddef>

#include "absl/strings/str_cat.h"
#include "base/posix_error.h"

namespace kekd {
namespace {

constexpr size_t kPathOffset = offsetof(sockaddr_un, sun_path);
constexpr size_t kMaxTextBytes = sizeof(sockaddr_un::sun_path) - 1;

}  // namespace

absl::StatusOr<UnixAddress> UnixAddress::FromText(absl::string_view text) {
  if (text.empty() || text == "@") {
    return absl::InvalidArgumentError("a unix socket needs a path, or \"@\" and a name");
  }
  if (text.size() > kMaxTextBytes) {
    return absl::InvalidArgumentError(absl::StrCat("the socket path ", text, " has ", text.size(),
                                                   " bytes; the system takes up to ",
                                                   kMaxTextBytes));
  }
  if (text.find('\0') != absl::string_view::npos) {
    return absl::InvalidArgumentError("a socket path has a zero byte in it");
  }
  UnixAddress address;
  address.storage_.sun_family = AF_UNIX;
  memcpy(address.storage_.sun_path, text.data(), text.size());
  // An abstract name has its exact length, as Go and gRPC bind it; a path ends in a zero.
  const bool abstract = text[0] == '@';
  if (abstract) address.storage_.sun_path[0] = '\0';
  address.size_ = static_cast<socklen_t>(kPathOffset + text.size() + (abstract ? 0 : 1));
  return address;
}

absl::StatusOr<UnixAddress> UnixAddress::OfSocket(int fd) {
  UnixAddress address;
  sockaddr_storage bound = {};
  socklen_t size = sizeof(bound);
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &size) != 0) {
    if (errno == ENOTSOCK) return absl::InvalidArgumentError("it is no socket");
    return PosixError(errno, "getsockname");
  }
  if (bound.ss_family != AF_UNIX) return absl::InvalidArgumentError("it is no unix socket");
  if (size <= kPathOffset) return absl::InvalidArgumentError("it is bound to no address");
  memcpy(&address.storage_, &bound, sizeof(address.storage_));
  address.size_ = size;
  return address;
}

std::string UnixAddress::ToString() const {
  // A path of the whole field has no zero after it, though the kernel counts one.
  const size_t size = std::min<size_t>(size_ - kPathOffset, sizeof(storage_.sun_path));
  if (abstract()) return absl::StrCat("@", absl::string_view(storage_.sun_path + 1, size - 1));
  return std::string(storage_.sun_path, strnlen(storage_.sun_path, size));
}

absl::StatusOr<PeerCredentials> PeerCredentials::OfSocket(int fd) {
  ucred peer = {};
  socklen_t size = sizeof(peer);
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
    return PosixError(errno, "getsockopt SO_PEERCRED");
  }
  return PeerCredentials{peer.uid, peer.gid, peer.pid};
}

std::string PeerCredentials::ToString() const {
  return absl::StrCat("uid ", uid, " (pid ", pid, ")");
}

}  // namespace kekd
