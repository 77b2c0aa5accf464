#include "kms/server/unix_listener.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/posix_error.h"
#include "base/status_macros.h"
#include "base/unix_socket.h"

namespace kekd {
namespace {

constexpr int kBacklog = 1024;

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
absl::Status RemoveDeadSocket(FileSystem& fs, const std::string& path, const UnixAddress& address) {
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
  if (connect(probe.get(), address.get(), address.size()) == 0 || errno == EAGAIN) {
    return absl::UnavailableError(
        absl::StrCat("another program serves ", path, "; stop it or choose another path"));
  }
  if (errno != ECONNREFUSED) return PosixError(errno, absl::StrCat("connect ", path));
  return fs.Remove(path);
}

// The mode of the socket's file, and with 0660 the group that it is for.
absl::Status SetFileMode(const SocketConfig& config) {
  const std::string& path = config.path;
  if (config.mode == 0660 && !config.allowed_groups.empty() &&
      chown(path.c_str(), static_cast<uid_t>(-1), config.allowed_groups.front()) != 0) {
    return PosixError(errno, absl::StrCat("chgrp ", path));
  }
  if (chmod(path.c_str(), config.mode) != 0) return PosixError(errno, absl::StrCat("chmod ", path));
  return absl::OkStatus();
}

absl::StatusOr<int> SocketOption(int fd, int option, absl::string_view name) {
  int value = 0;
  socklen_t size = sizeof(value);
  if (getsockopt(fd, SOL_SOCKET, option, &value, &size) != 0) {
    return PosixError(errno, absl::StrCat("getsockopt ", name));
  }
  return value;
}

// Whether the file of a socket that somebody else made is as narrow as the configuration wants it.
absl::Status CheckFile(const FileInfo& info, const SocketConfig& config) {
  if (info.type != FileType::kSocket) {
    return absl::FailedPreconditionError(absl::StrCat(config.path, " is no socket"));
  }
  if (info.owner != 0 && info.owner != geteuid()) {
    return absl::PermissionDeniedError(absl::StrCat("the socket ", config.path, " belongs to uid ",
                                                    info.owner,
                                                    ", neither to root nor to kekd's "
                                                    "user"));
  }
  if ((info.mode & ~config.mode) != 0) {
    return absl::PermissionDeniedError(absl::StrFormat(
        "the socket %s has mode %04o, the configuration allows %04o: set SocketMode= in its socket "
        "unit, or \"mode\" in the configuration",
        config.path, info.mode, config.mode));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<UnixListener>> UnixListener::Bind(FileSystem& fs,
                                                                 const SocketConfig& config) {
  const std::string& path = config.path;
  KEKD_ASSIGN_OR_RETURN(const UnixAddress address, UnixAddress::FromText(path));
  const bool abstract = address.abstract();
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
  if (bind(fd.get(), address.get(), address.size()) != 0) {
    if (errno == EADDRINUSE) {
      return absl::UnavailableError(absl::StrCat("another program serves ", path));
    }
    return PosixError(errno, absl::StrCat("bind ", path));
  }
  uint64_t inode = 0;
  if (!abstract) {
    // What is bound and can't be served is not left behind.
    absl::Cleanup remove = [&fs, &path] { (void)fs.Remove(path); };
    // The group, and bits that a umask may have taken away (0660 under umask 077).
    KEKD_RETURN_IF_ERROR(SetFileMode(config));
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
      new UnixListener(fs, config, Maker::kKekd, std::move(lock), std::move(fd), inode));
}

absl::StatusOr<std::unique_ptr<UnixListener>> UnixListener::Adopt(FileSystem& fs,
                                                                  const SocketConfig& config,
                                                                  UniqueFd fd, Maker maker) {
  const std::string& path = config.path;
  KEKD_ASSIGN_OR_RETURN(const UnixAddress address, UnixAddress::OfSocket(fd.get()));
  if (address.ToString() != path) {
    return absl::InvalidArgumentError(
        absl::StrCat("the socket is bound to ", address.ToString(), ", not to ", path));
  }
  KEKD_ASSIGN_OR_RETURN(const int type, SocketOption(fd.get(), SO_TYPE, "SO_TYPE"));
  KEKD_ASSIGN_OR_RETURN(const int listens, SocketOption(fd.get(), SO_ACCEPTCONN, "SO_ACCEPTCONN"));
  if (type != SOCK_STREAM || listens == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("the socket ", path,
                     " is not a listening stream socket; its socket unit needs ListenStream= and "
                     "Accept=no"));
  }
  uint64_t inode = 0;
  if (!address.abstract()) {
    KEKD_RETURN_IF_ERROR(CheckFolder(fs, path));
    const absl::StatusOr<FileInfo> info = fs.GetInfo(path);
    if (absl::IsNotFound(info.status())) {
      return absl::NotFoundError(
          absl::StrCat("the socket ", path,
                       " is listened on, but its file is gone, so nobody can connect; restart its "
                       "socket unit"));
    }
    KEKD_RETURN_IF_ERROR(info.status());
    // What an earlier kekd has made gets the mode that is configured now.
    if (maker == Maker::kKekd) KEKD_RETURN_IF_ERROR(SetFileMode(config));
    if (maker == Maker::kServiceManager) KEKD_RETURN_IF_ERROR(CheckFile(*info, config));
    inode = info->inode;
  }
  const int flags = fcntl(fd.get(), F_GETFL);
  if (flags < 0 || fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK) != 0 ||
      fcntl(fd.get(), F_SETFD, FD_CLOEXEC) != 0) {
    return PosixError(errno, "fcntl");
  }
  return std::unique_ptr<UnixListener>(
      new UnixListener(fs, config, maker, nullptr, std::move(fd), inode));
}

absl::Status UnixListener::SetAccess(const SocketConfig& next) {
  const bool has_file = inode_ != 0;
  if (has_file && maker_ == Maker::kServiceManager) {
    KEKD_ASSIGN_OR_RETURN(const FileInfo info, fs_.GetInfo(next.path));
    KEKD_RETURN_IF_ERROR(CheckFile(info, next));
  }
  if (has_file && maker_ == Maker::kKekd) KEKD_RETURN_IF_ERROR(SetFileMode(next));
  config_ = next;
  return absl::OkStatus();
}

UnixListener::~UnixListener() {
  if (inode_ == 0 || maker_ != Maker::kKekd || kept_) return;
  const absl::StatusOr<FileInfo> info = fs_.GetInfo(config_.path);
  if (info.ok() && info->inode == inode_) (void)fs_.Remove(config_.path);
}

}  // namespace kekd
