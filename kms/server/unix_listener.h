// A unix socket that nobody else can take or steal.
#ifndef KEKD_KMS_SERVER_UNIX_LISTENER_H_
#define KEKD_KMS_SERVER_UNIX_LISTENER_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/file_system.h"
#include "base/unique_fd.h"
#include "kms/config/config.h"

namespace kekd {

// UnixListener is a listening stream socket, by path or in the abstract namespace. On a path it
//   - refuses a folder that others may write to (they could put their own socket in its place),
//   - holds a lock on "<path>.lock", so that a second kekd can't take the socket from a live one,
//   - replaces a dead socket and nothing else,
//   - has its mode from the first moment, whatever the umask is,
//   - removes the socket when it goes, if it still is its own.
// Not thread-safe.
class UnixListener final {
 public:
  // PermissionDenied: the folder is not safe or not writable. Unavailable: somebody serves there.
  // FailedPrecondition: something that is no socket lies there. InvalidArgument: the path is too
  // long. `fs` outlives the listener.
  static absl::StatusOr<std::unique_ptr<UnixListener>> Bind(FileSystem& fs,
                                                            const SocketConfig& config);
  ~UnixListener();
  UnixListener(const UnixListener&) = delete;
  UnixListener& operator=(const UnixListener&) = delete;

  // Non-blocking.
  int fd() const { return fd_.get(); }
  const SocketConfig& config() const { return config_; }

 private:
  UnixListener(FileSystem& fs, SocketConfig config, std::unique_ptr<FileLock> lock, UniqueFd fd,
               uint64_t inode)
      : fs_(fs),
        config_(std::move(config)),
        lock_(std::move(lock)),
        fd_(std::move(fd)),
        inode_(inode) {}

  FileSystem& fs_;
  const SocketConfig config_;
  const std::unique_ptr<FileLock> lock_;  // null for an abstract socket
  UniqueFd fd_;
  const uint64_t inode_;  // of the socket's file; 0 for an abstract socket
};

}  // namespace kekd

#endif  // KEKD_KMS_SERVER_UNIX_LISTENER_H_
