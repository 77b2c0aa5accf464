#include "base/file_system.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/posix_error.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"

namespace kekd {
namespace {

absl::Status ErrnoAt(absl::string_view call, absl::string_view path) {
  return PosixError(errno, absl::StrCat(call, " ", path));
}

FileInfo InfoFrom(const struct stat& st) {
  FileInfo info;
  if (S_ISREG(st.st_mode)) {
    info.type = FileType::kRegular;
  } else if (S_ISDIR(st.st_mode)) {
    info.type = FileType::kDirectory;
  } else if (S_ISSOCK(st.st_mode)) {
    info.type = FileType::kSocket;
  }
  info.size = static_cast<uint64_t>(st.st_size);
  info.owner = st.st_uid;
  info.group = st.st_gid;
  info.mode = st.st_mode & 07777;
  info.inode = st.st_ino;
  info.device = st.st_dev;
  info.modified_ns = int64_t{st.st_mtim.tv_sec} * 1'000'000'000 + st.st_mtim.tv_nsec;
  info.changed_ns = int64_t{st.st_ctim.tv_sec} * 1'000'000'000 + st.st_ctim.tv_nsec;
  return info;
}

// Opens for reading and checks that it is a regular file no larger than max_size. O_NONBLOCK keeps
// a FIFO put in the file's place from holding us for ever.
absl::StatusOr<UniqueFd> OpenForReading(const std::string& path, size_t max_size, FileInfo* info) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) return ErrnoAt("open", path);
  struct stat st;
  if (fstat(fd.get(), &st) != 0) return ErrnoAt("fstat", path);
  *info = InfoFrom(st);
  if (info->type != FileType::kRegular) {
    return absl::FailedPreconditionError(absl::StrCat(path, " is not a regular file"));
  }
  if (info->size > max_size) {
    return absl::OutOfRangeError(
        absl::StrCat(path, " has ", info->size, " bytes, more than the ", max_size, " expected"));
  }
  return fd;
}

// Reads until the end of the file or of `out`; returns the bytes read.
absl::StatusOr<size_t> ReadAll(int fd, absl::Span<uint8_t> out, absl::string_view path) {
  size_t done = 0;
  while (done < out.size()) {
    const ssize_t n = read(fd, out.data() + done, out.size() - done);
    if (n < 0) {
      if (errno == EINTR) continue;
      return ErrnoAt("read", path);
    }
    if (n == 0) break;
    done += static_cast<size_t>(n);
  }
  return done;
}

absl::Status SetOwnerAndMode(int fd, absl::string_view path, uid_t owner, gid_t group,
                             mode_t mode) {
  struct stat st;
  if (fstat(fd, &st) != 0) return ErrnoAt("fstat", path);
  // Each only where it differs: who may not change them need not.
  if ((st.st_uid != owner || st.st_gid != group) && fchown(fd, owner, group) != 0) {
    return ErrnoAt("fchown", path);
  }
  if ((st.st_mode & 07777) != mode && fchmod(fd, mode) != 0) return ErrnoAt("fchmod", path);
  return absl::OkStatus();
}

class PosixWritableFile final : public WritableFile {
 public:
  PosixWritableFile(UniqueFd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  absl::Status Append(ByteView bytes) override {
    while (!bytes.empty()) {
      const ssize_t n = write(fd_.get(), bytes.data(), bytes.size());
      if (n < 0) {
        if (errno == EINTR) continue;
        return ErrnoAt("write", path_);
      }
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return absl::OkStatus();
  }

  absl::Status SetOwnerAndMode(uid_t owner, gid_t group, mode_t mode) override {
    return kekd::SetOwnerAndMode(fd_.get(), path_, owner, group, mode);
  }

  absl::Status Sync() override {
    return fsync(fd_.get()) == 0 ? absl::OkStatus() : ErrnoAt("fsync", path_);
  }

  absl::Status Link(absl::string_view path_view) override {
    const std::string path(path_view);
    // By the descriptor itself only who may read everything can; by its link in /proc its owner.
    const std::string link = absl::StrCat("/proc/self/fd/", fd_.get());
    if (linkat(AT_FDCWD, link.c_str(), AT_FDCWD, path.c_str(), AT_SYMLINK_FOLLOW) == 0 ||
        (errno == ENOENT && linkat(fd_.get(), "", AT_FDCWD, path.c_str(), AT_EMPTY_PATH) == 0)) {
      return absl::OkStatus();
    }
    return ErrnoAt("link", path);
  }

  absl::Status Close() override {
    // On some file systems (NFS) only close tells that a write has failed.
    return close(fd_.Release()) == 0 ? absl::OkStatus() : ErrnoAt("close", path_);
  }

 private:
  UniqueFd fd_;
  const std::string path_;
};

class PosixFileLock final : public FileLock {
 public:
  PosixFileLock(UniqueFd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  ~PosixFileLock() override {
    if (has_holder_) (void)!ftruncate(fd_.get(), 0);
  }

  absl::Status SetOwnerAndMode(uid_t owner, gid_t group, mode_t mode) override {
    KEKD_RETURN_IF_ERROR(CheckOwnFile());
    return kekd::SetOwnerAndMode(fd_.get(), path_, owner, group, mode);
  }

  absl::Status SetHolder(absl::string_view holder) override {
    KEKD_RETURN_IF_ERROR(CheckOwnFile());
    has_holder_ = true;
    if (ftruncate(fd_.get(), 0) != 0) return ErrnoAt("ftruncate", path_);
    const ssize_t n = pwrite(fd_.get(), holder.data(), holder.size(), 0);
    return n == static_cast<ssize_t>(holder.size()) ? absl::OkStatus() : ErrnoAt("write", path_);
  }

 private:
  // What Lock has made itself has one name; whatever else has one would be given away, or written
  // to, with it.
  absl::Status CheckOwnFile() const {
    struct stat st;
    if (fstat(fd_.get(), &st) != 0) return ErrnoAt("fstat", path_);
    if (S_ISREG(st.st_mode) && st.st_nlink == 1) return absl::OkStatus();
    return absl::FailedPreconditionError(
        absl::StrCat(path_,
                     " is not a file of its own but a link to another one, or no plain file; "
                     "look what it is, remove it and try again"));
  }

  UniqueFd fd_;
  const std::string path_;
  bool has_holder_ = false;
};

// What the holder of a locked file has written into it.
std::string HolderOf(int fd) {
  char text[256];
  const ssize_t n = pread(fd, text, sizeof(text), 0);
  if (n <= 0) return "another process";
  return absl::CHexEscape(absl::string_view(text, static_cast<size_t>(n)));
}

class PosixFileSystem final : public FileSystem {
 public:
  absl::StatusOr<std::string> ReadFile(absl::string_view path_view, size_t max_size) override {
    const std::string path(path_view);
    FileInfo info;
    KEKD_ASSIGN_OR_RETURN(UniqueFd fd, OpenForReading(path, max_size, &info));
    // One byte more than its size, to notice a file that grows meanwhile.
    std::string content(info.size + 1, '\0');
    KEKD_ASSIGN_OR_RETURN(const size_t n, ReadAll(fd.get(), AsWritableBytes(content), path));
    if (n > info.size) return GrewError(path);
    content.resize(n);
    return content;
  }

  absl::StatusOr<SecretBytes> ReadSecretFile(absl::string_view path_view, size_t max_size,
                                             FileInfo* info_out) override {
    const std::string path(path_view);
    FileInfo info;
    KEKD_ASSIGN_OR_RETURN(UniqueFd fd, OpenForReading(path, max_size, &info));
    SecretBytes content(info.size + 1);
    KEKD_ASSIGN_OR_RETURN(const size_t n,
                          ReadAll(fd.get(), content.RevealMutable(SecretAccessToken()), path));
    if (n > info.size) return GrewError(path);
    content.Truncate(n);
    if (info_out != nullptr) *info_out = info;
    return content;
  }

  absl::StatusOr<FileInfo> GetInfo(absl::string_view path_view) override {
    const std::string path(path_view);
    struct stat st;
    if (stat(path.c_str(), &st) != 0) return ErrnoAt("stat", path);
    return InfoFrom(st);
  }

  absl::StatusOr<std::vector<std::string>> ListDirectory(absl::string_view path_view) override {
    const std::string path(path_view);
    std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir(path.c_str()), closedir);
    if (directory == nullptr) return ErrnoAt("opendir", path);
    std::vector<std::string> names;
    errno = 0;
    while (const dirent* entry = readdir(directory.get())) {
      const absl::string_view name = entry->d_name;
      if (name != "." && name != "..") names.emplace_back(name);
    }
    if (errno != 0) return ErrnoAt("readdir", path);
    std::sort(names.begin(), names.end());
    return names;
  }

  absl::StatusOr<std::unique_ptr<WritableFile>> CreateFile(absl::string_view path_view,
                                                           mode_t mode) override {
    std::string path(path_view);
    UniqueFd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
    if (!fd.valid()) return ErrnoAt("create", path);
    return std::make_unique<PosixWritableFile>(std::move(fd), std::move(path));
  }

  absl::StatusOr<std::unique_ptr<WritableFile>> CreateUnnamedFile(absl::string_view path_view,
                                                                  mode_t mode) override {
    std::string path(path_view);
    UniqueFd fd(open(DirectoryOf(path).c_str(), O_WRONLY | O_TMPFILE | O_CLOEXEC, mode));
    if (fd.valid()) return std::make_unique<PosixWritableFile>(std::move(fd), std::move(path));
    // What does not know the flag sees a folder opened for writing, or a name to be made there.
    if (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL || errno == ENOSYS) {
      return absl::UnimplementedError(absl::StrCat("no files without a name beside ", path));
    }
    return ErrnoAt("create", path);
  }

  absl::Status CreateDirectory(absl::string_view path_view, mode_t mode) override {
    const std::string path(path_view);
    return mkdir(path.c_str(), mode) == 0 ? absl::OkStatus() : ErrnoAt("mkdir", path);
  }

  absl::Status Rename(absl::string_view from, absl::string_view to) override {
    if (rename(std::string(from).c_str(), std::string(to).c_str()) == 0) return absl::OkStatus();
    return ErrnoAt("rename", absl::StrCat(from, " to ", to));
  }

  absl::Status Link(absl::string_view from, absl::string_view to) override {
    if (link(std::string(from).c_str(), std::string(to).c_str()) == 0) return absl::OkStatus();
    return ErrnoAt("link", absl::StrCat(from, " to ", to));
  }

  absl::Status Remove(absl::string_view path_view) override {
    const std::string path(path_view);
    return unlink(path.c_str()) == 0 ? absl::OkStatus() : ErrnoAt("unlink", path);
  }

  absl::Status SyncDirectory(absl::string_view path_view) override {
    const std::string path(path_view);
    UniqueFd fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd.valid()) return ErrnoAt("open", path);
    return fsync(fd.get()) == 0 ? absl::OkStatus() : ErrnoAt("fsync", path);
  }

  absl::StatusOr<std::unique_ptr<FileLock>> Lock(absl::string_view path_view,
                                                 mode_t mode) override {
    const std::string path(path_view);
    UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, mode));
    if (!fd.valid()) return ErrnoAt("open", path);
    if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno == EWOULDBLOCK) {
        return absl::UnavailableError(absl::StrCat(path, " is locked by ", HolderOf(fd.get())));
      }
      return ErrnoAt("flock", path);
    }
    return std::make_unique<PosixFileLock>(std::move(fd), path);
  }

 private:
  static absl::Status GrewError(absl::string_view path) {
    return absl::AbortedError(absl::StrCat(path, " changed while it was read; try again"));
  }
};

}  // namespace

FileSystem& FileSystem::System() {
  static auto* const file_system = new PosixFileSystem;
  return *file_system;
}

std::string DirectoryOf(absl::string_view path) {
  const size_t slash = path.rfind('/');
  if (slash == absl::string_view::npos) return ".";
  return std::string(slash == 0 ? "/" : path.substr(0, slash));
}

std::string JoinPath(absl::string_view directory, absl::string_view name) {
  return absl::StrCat(directory, directory.empty() || directory.back() == '/' ? "" : "/", name);
}

std::string AbsolutePath(absl::string_view path) {
  if (path.empty() || path.front() == '/') return std::string(path);
  char folder[PATH_MAX];
  if (getcwd(folder, sizeof(folder)) == nullptr) return std::string(path);
  while (absl::ConsumePrefix(&path, "./")) {
  }
  return JoinPath(folder, path);
}

}  // namespace kekd
