#include "kms/ctl/unix_channel.h"

#include <errno.h>
#include <fcntl.h>
#include <grpcpp/create_channel_posix.h>
#include <grpcpp/support/channel_arguments.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/posix_error.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "base/unix_socket.h"

namespace kekd {
namespace {

absl::StatusOr<UniqueFd> ConnectSocket(const std::string& path) {
  KEKD_ASSIGN_OR_RETURN(const UnixAddress address, UnixAddress::FromText(path));
  // Not blocking: a kekd that takes no connections must not hold us.
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return PosixError(errno, "socket");
  if (connect(fd.get(), address.get(), address.size()) == 0) return fd;
  if (errno == ENOENT || errno == ECONNREFUSED) {
    return absl::NotFoundError(absl::StrCat("kekd is not running: nobody listens on ", path));
  }
  return PosixError(errno, absl::StrCat("connect ", path));
}

}  // namespace

absl::StatusOr<UnixChannel> UnixChannel::Connect(const SocketConfig& socket) {
  KEKD_ASSIGN_OR_RETURN(UniqueFd fd, ConnectSocket(socket.path));
  KEKD_ASSIGN_OR_RETURN(const PeerCredentials server, PeerCredentials::OfSocket(fd.get()));
  UniqueFd watched(fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
  if (!watched.valid()) return PosixError(errno, "fcntl F_DUPFD_CLOEXEC");
  grpc::ChannelArguments arguments;
  // What kube-apiserver sends for a unix socket.
  arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, "localhost");
  return UnixChannel(socket, server, std::move(watched),
                     grpc::CreateCustomInsecureChannelFromFd("localhost", fd.Release(), arguments));
}

UnixChannel::UnixChannel(const SocketConfig& socket, const PeerCredentials& server,
                         UniqueFd watched, std::shared_ptr<grpc::Channel> channel)
    : socket_(&socket),
      server_(server),
      watched_(std::move(watched)),
      channel_(std::move(channel)) {}

bool UnixChannel::Broken() const {
  pollfd watched = {.fd = watched_.get(), .events = POLLRDHUP, .revents = 0};
  return poll(&watched, 1, 0) != 0;
}

bool UnixChannel::MayConnect() const {
  const std::vector<uid_t>& users = socket_->allowed_users;
  const std::vector<gid_t>& groups = socket_->allowed_groups;
  if (users.empty() && groups.empty()) return geteuid() == 0 || geteuid() == server_.uid;
  return std::find(users.begin(), users.end(), geteuid()) != users.end() ||
         std::find(groups.begin(), groups.end(), getegid()) != groups.end();
}

absl::Status UnixChannel::StatusOf(const grpc::Status& status) const {
  if (status.ok()) return absl::OkStatus();
  const bool broken = status.error_code() == grpc::StatusCode::UNAVAILABLE && Broken();
  if (broken && !MayConnect()) {
    return absl::PermissionDeniedError(
        absl::StrCat("kekd closed the connection on ", socket_->path, ": uid ", geteuid(), ", gid ",
                     getegid(), " is not among the socket's allowedUsers and allowedGroups"));
  }
  if (broken) {
    return absl::UnavailableError(absl::StrCat("kekd ended the connection on ", socket_->path));
  }
  if (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED) {
    return absl::DeadlineExceededError(
        absl::StrCat("kekd did not answer in time on ", socket_->path));
  }
  // The numbers of both lists of codes are the same.
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

}  // namespace kekd
