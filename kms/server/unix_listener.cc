#include "kms/server/unix_listener.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/posix_error.h"
#include "base/status_macros.h"

namespace kekd {
namespace {

constexpr int kBacklog = 128;

struct Address {
  sockaddr_un storage = {};
  socklen_t size = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

bool IsAbstract(absl::string_view path) { return !path.empty() && path[0] == '@'; }

absl::StatusOr<Address> MakeAddress(absl::string_view path) {
  if (path.size() > kMaxSocketPathBytes) {
    return absl::InvalidArgumentError(absl::StrCat("the socket path ", path, " has ", path.size(),
                                                   " bytes; the system takes up to ",
                                                   kMaxSocketPathBytes));
  }
  Address address;
  address.storage.sun_family = AF_UNIX;
  memcpy(address.storage.sun_path, path.data(), path.size());
  // An abstract name has its exact length, as Go and gRPC bind it; a path ends in a zero.
  const bool abstract = IsAbstract(path);
  if (abstract) address.storage.sun_path[0] = '\0';
  address.size =
      static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + (abstract ? 0 : 1));
  return address;
}

absl::Status CheckFolder(FileSystem& fs, absl::string_view path) {
  const std::string folder = DirectoryOf(path);
  absl::StatusOr<FileInfo> info = fs.GetInfo(folder);
  if (absl::IsNotFound(info.status())) {
    return absl::NotFoundError(absl::StrCat("the folder ", folder,
                                            " of the socket does not exist; "
                                            "make it first (systemd: RuntimeDirectory=kekd)"));
  }
  if (!info.ok()) {
    return WithContext(info.status(), absl::StrCat("the folder of the socket ", path));
  }
  if (info->owner != 0 && info->owner != geteuid()) {
    return absl::PermissionDeniedError(
        absl::StrCat("the folder ", folder, " of the socket belongs to uid ", info->owner,
                     ", who could put another socket in its place; give it to root or to kekd's "
                     "user"));
  }
  if ((info->mode & 022) != 0) {
    return absl::PermissionDeniedError(absl::StrFormat(
        "the folder %s of the socket has mode %04o: others could put their own socket in its "
        "place; use a folder of its own (0755 or less), such as /run/kekd",
        folder, info->mode));
  }
  return absl::OkStatus();
}

// Removes a socket that nobody serves any more.
absl::Status RemoveDeadSocket(FileSystem& fs, const std::string& path, const Address& address) {
  struct stat st;
  if (lstat(path.c_str(), &st) != 0) {
    return errno == ENOENT ? absl::OkStatus() : PosixError(errno, absl::StrCat("lstat ", path));
  }
  if (!S_ISSOCK(st.st_mode)) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " exists and is no socket; kekd does not remove it"));
  }
  UniqueFd probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!probe.valid()) return PosixError(errno, "socket");
  if (connect(probe.get(), address.get(), address.size) == 0 || errno == EAGAIN) {
    return absl::UnavailableError(
        absl::StrCat("another program serves ", path, "; stop it or choose another path"));
  }
  if (errno != ECONNREFUSED) return PosixError(errno, absl::StrCat("connect ", path));
  return fs.Remove(path);
}

}  // namespace

absl::StatusOr<std::unique_ptr<UnixListener>> UnixListener::Bind(FileSystem& fs,
                                                                 const SocketConfig& config) {
  const std::string& path = config.path;
  KEKD_ASSIGN_OR_RETURN(const Address address, MakeAddress(path));
  const bool abstract = IsAbstract(path);
  std::unique_ptr<FileLock> lock;
  if (!abstract) {
    KEKD_RETURN_IF_ERROR(CheckFolder(fs, path));
    absl::StatusOr<std::unique_ptr<FileLock>> locked = fs.Lock(absl::StrCat(path, ".lock"), 0600);
    if (absl::IsUnavailable(locked.status())) {
      return absl::UnavailableError(absl::StrCat("another kekd serves ", path));
    }
    if (!locked.ok()) {
      return WithContext(locked.status(), absl::StrCat("can't make the socket ", path));
    }
    lock = *std::move(locked);
    KEKD_RETURN_IF_ERROR(RemoveDeadSocket(fs, path, address));
  }

  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return PosixError(errno, "socket");
  // bind(2) makes the file with the socket's own mode (less the umask). Setting that beforehand
  // leaves no moment with a wider one and, unlike umask(2), does not concern other threads.
  if (!abstract && fchmod(fd.get(), config.mode) != 0) return PosixError(errno, "fchmod");
  if (bind(fd.get(), address.get(), address.size) != 0) {
    if (errno == EADDRINUSE) {
      return absl::UnavailableError(absl::StrCat("another program serves ", path));
    }
    return PosixError(errno, absl::StrCat("bind ", path));
  }
  uint64_t inode = 0;
  if (!abstract) {
    // What is bound and can't be served is not left behind.
    absl::Cleanup remove = [&fs, &path] { (void)fs.Remove(path); };
    if (config.mode == 0660 && !config.allowed_groups.empty() &&
        chown(path.c_str(), static_cast<uid_t>(-1), config.allowed_groups.front()) != 0) {
      return PosixError(errno, absl::StrCat("chgrp ", path));
    }
    // A umask may have taken bits away (0660 under umask 077).
    if (chmod(path.c_str(), config.mode) != 0)
      return PosixError(errno, absl::StrCat("chmod ", path));
    KEKD_ASSIGN_OR_RETURN(const FileInfo info, fs.GetInfo(path));
    if (info.mode != config.mode || info.type != FileType::kSocket) {
      return absl::InternalError(
          absl::StrFormat("%s got mode %04o instead of %04o", path, info.mode, config.mode));
    }
    inode = info.inode;
    std::move(remove).Cancel();
  }
  if (listen(fd.get(), kBacklog) != 0) return PosixError(errno, absl::StrCat("listen ", path));
  return std::unique_ptr<UnixListener>(
      new UnixListener(fs, config, std::move(lock), std::move(fd), inode));
}

UnixListener::~UnixListener() {
  if (inode_ == 0) return;
  const absl::StatusOr<FileInfo> info = fs_.GetInfo(config_.path);
  if (info.ok() && info->inode == inode_) (void)fs_.Remove(config_.path);
}

}  // namespace kekd
