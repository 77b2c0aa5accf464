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
  enum class Maker {
    kKekd,            // this one, or an earlier one whose socket was kept over its restart
    kServiceManager,  // by a socket unit, which also decides about the file
  };

  // PermissionDenied: the folder is not safe or not writable. Unavailable: somebody serves there.
  // FailedPrecondition: something that is no socket lies there. InvalidArgument: the path is too
  // long. `fs` outlives the listener.
  static absl::StatusOr<std::unique_ptr<UnixListener>> Bind(FileSystem& fs,
                                                            const SocketConfig& config);

  // Takes over a socket that listens already. InvalidArgument: it is not a listening unix stream
  // socket bound to the configured address. PermissionDenied: its folder is not safe, or its file
  // is somebody else's or has a wider mode than configured. NotFound: its file is gone.
  static absl::StatusOr<std::unique_ptr<UnixListener>> Adopt(FileSystem& fs,
                                                             const SocketConfig& config,
                                                             UniqueFd fd, Maker maker);
  ~UnixListener();
  UnixListener(const UnixListener&) = delete;
  UnixListener& operator=(const UnixListener&) = delete;

  // Non-blocking.
  int fd() const { return fd_.get(); }
  const SocketConfig& config() const { return config_; }

  // Gives the file mode and group of `next`, which has the same path. A file that a service manager
  // made is only checked: PermissionDenied if it is wider than `next` allows.
  absl::Status SetAccess(const SocketConfig& next);

  Maker maker() const { return maker_; }
  // The socket stays when this goes: a service manager holds its descriptor for the next kekd.
  void Keep() { kept_ = true; }

 private:
  UnixListener(FileSystem& fs, SocketConfig config, Maker maker, std::unique_ptr<FileLock> lock,
               UniqueFd fd, uint64_t inode)
      : fs_(fs),
        config_(std::move(config)),
        maker_(maker),
        lock_(std::move(lock)),
        fd_(std::move(fd)),
        inode_(inode) {}

  FileSystem& fs_;
  SocketConfig config_;
  const Maker maker_;
  // Of "<path>.lock"; null unless Bind made the file. An adopted socket needs none: whoever would
  // bind finds that it is listened on.
  const std::unique_ptr<FileLock> lock_;
  UniqueFd fd_;
  const uint64_t inode_;  // of the socket's file; 0 for an abstract socket
  bool kept_ = false;
};

}  // namespace kekd

#endif  // KEKD_KMS_SERVER_UNIX_LISTENER_H_
