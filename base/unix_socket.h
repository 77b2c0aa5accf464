// Addresses and peers of unix sockets.
#ifndef KEKD_BASE_UNIX_SOCKET_H_
#define KEKD_BASE_UNIX_SOCKET_H_

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace kekd {

// The address of a unix socket (unix(7)): a path, or a name in the abstract namespace, which is
// written as "@name".
class UnixAddress final {
 public:
  // InvalidArgument if `text` is empty, "@" alone, longer than a sockaddr_un holds (107 bytes), or
  // a path with a zero byte in it.
  static absl::StatusOr<UnixAddress> FromText(absl::string_view text);
  // What a socket is bound to. InvalidArgument if it is no unix socket, or bound to nothing.
  static absl::StatusOr<UnixAddress> OfSocket(int fd);

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage_); }
  socklen_t size() const { return size_; }
  bool abstract() const { return storage_.sun_path[0] == '\0'; }
  // "/run/kekd/prod.sock" or "@name".
  std::string ToString() const;

 private:
  UnixAddress() = default;

  sockaddr_un storage_ = {};
  socklen_t size_ = 0;
};

// The process at the other end, as the kernel noted it (SO_PEERCRED): for an accepted connection
// when it connected, for a client when the server began to listen.
struct PeerCredentials {
  uid_t uid = 0;
  gid_t gid = 0;
  pid_t pid = 0;

  static absl::StatusOr<PeerCredentials> OfSocket(int fd);
  // "uid 0 (pid 123)"
  std::string ToString() const;
};

}  // namespace kekd

#endif  // KEKD_BASE_UNIX_SOCKET_H_
