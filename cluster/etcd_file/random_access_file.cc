#include "cluster/etcd_file/random_access_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/posix_error.h"
#include "base/unique_fd.h"

namespace kekd {
namespace {

// Linux reads at most this much in one call.
constexpr size_t kMaxRead = 0x7ffff000;

bool SameTime(const timespec& a, const timespec& b) {
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

class PosixRandomAccessFile final : public RandomAccessFile {
 public:
  PosixRandomAccessFile(std::string path, UniqueFd fd, const struct stat& info)
      : path_(std::move(path)), fd_(std::move(fd)), info_(info) {}

  absl::StatusOr<size_t> ReadAt(uint64_t offset, absl::Span<char> out) const override {
    size_t done = 0;
    while (done < out.size()) {
      const ssize_t got =
          ::pread(fd_.get(), out.data() + done, std::min(out.size() - done, kMaxRead),
                  static_cast<off_t>(offset + done));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return PosixError(errno, absl::StrCat("read ", path_, " at ", offset + done));
      if (got == 0) break;
      done += static_cast<size_t>(got);
    }
    return done;
  }

  void WillNeed(uint64_t offset, uint64_t length) const override {
    ::posix_fadvise(fd_.get(), static_cast<off_t>(offset), static_cast<off_t>(length),
                    POSIX_FADV_WILLNEED);
  }

  bool IsLocked() const override {
    // A shared lock, and only for this moment: an etcd that starts must not wait for a reader.
    if (::flock(fd_.get(), LOCK_SH | LOCK_NB) != 0) return errno == EWOULDBLOCK;
    ::flock(fd_.get(), LOCK_UN);
    return false;
  }

  bool HasChanged() const override {
    struct stat now = {};
    if (::fstat(fd_.get(), &now) != 0) return true;
    return now.st_size != info_.st_size || !SameTime(now.st_mtim, info_.st_mtim);
  }

  const std::string& path() const override { return path_; }
  uint64_t size() const override { return static_cast<uint64_t>(info_.st_size); }

 private:
  const std::string path_;
  const UniqueFd fd_;
  const struct stat info_;
};

absl::Status NoRegularFile(const std::string& path) {
  return absl::InvalidArgumentError(absl::StrCat(path, ": is no regular file"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<RandomAccessFile>> OpenRandomAccessFile(const std::string& path) {
  struct stat info = {};
  // Before it is opened: opening a device may do something to it, and a FIFO would wait.
  if (::stat(path.c_str(), &info) != 0) return PosixError(errno, absl::StrCat("open ", path));
  if (!S_ISREG(info.st_mode)) return NoRegularFile(path);
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd.valid()) return PosixError(errno, absl::StrCat("open ", path));
  if (::fstat(fd.get(), &info) != 0) return PosixError(errno, absl::StrCat("stat ", path));
  if (!S_ISREG(info.st_mode)) return NoRegularFile(path);
  return std::make_unique<PosixRandomAccessFile>(path, std::move(fd), info);
}

}  // namespace kekd
