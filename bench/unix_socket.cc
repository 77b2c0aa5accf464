#include "bench/unix_socket.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "base/posix_error.h"
#include "base/status_macros.h"

namespace kekd::bench {
namespace {

absl::StatusOr<sockaddr_un> AddressOf(absl::string_view path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", path, "\" has ", path.size(), " bytes, not 1 to ", sizeof(address.sun_path) - 1));
  }
  memcpy(address.sun_path, path.data(), path.size());
  return address;
}

absl::StatusOr<UniqueFd> NewSocket() {
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return PosixError(errno, "socket");
  return fd;
}

}  // namespace

absl::StatusOr<UniqueFd> ConnectUnix(absl::string_view path) {
  KEKD_ASSIGN_OR_RETURN(const sockaddr_un address, AddressOf(path));
  KEKD_ASSIGN_OR_RETURN(UniqueFd fd, NewSocket());
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return PosixError(errno, absl::StrCat("connect ", path));
  }
  return fd;
}

absl::StatusOr<UniqueFd> ListenUnix(absl::string_view path) {
  KEKD_ASSIGN_OR_RETURN(const sockaddr_un address, AddressOf(path));
  KEKD_ASSIGN_OR_RETURN(UniqueFd fd, NewSocket());
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return PosixError(errno, absl::StrCat("bind ", path));
  }
  if (listen(fd.get(), SOMAXCONN) != 0) return PosixError(errno, absl::StrCat("listen ", path));
  return fd;
}

absl::StatusOr<UniqueFd> AcceptUnix(int listener) {
  UniqueFd fd(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
  if (!fd.valid()) return PosixError(errno, "accept");
  return fd;
}

absl::StatusOr<pid_t> PeerPid(int fd) {
  ucred peer = {};
  socklen_t size = sizeof(peer);
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
    return PosixError(errno, "getsockopt SO_PEERCRED");
  }
  return peer.pid;
}

absl::Status WriteAll(int fd, ByteView bytes) {
  while (!bytes.empty()) {
    const ssize_t n = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n < 0) {
      if (errno == EINTR) continue;
      return PosixError(errno, "send");
    }
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

absl::StatusOr<size_t> ReadSome(int fd, absl::Span<uint8_t> out) {
  for (;;) {
    const ssize_t n = recv(fd, out.data(), out.size(), 0);
    if (n > 0) return static_cast<size_t>(n);
    if (n == 0) return absl::UnavailableError("the server has closed the connection");
    if (errno != EINTR) return PosixError(errno, "recv");
  }
}

}  // namespace kekd::bench
