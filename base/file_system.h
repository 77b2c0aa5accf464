// The file system, as a seam: each call that can fail on a real disk is one virtual call here.
#ifndef KEKD_BASE_FILE_SYSTEM_H_
#define KEKD_BASE_FILE_SYSTEM_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/bytes.h"
#include "base/secret_bytes.h"

namespace kekd {

enum class FileType { kRegular, kDirectory, kSocket, kOther };

struct FileInfo {
  FileType type = FileType::kOther;
  uint64_t size = 0;
  uid_t owner = 0;
  gid_t group = 0;
  mode_t mode = 0;  // permission bits only
  uint64_t inode = 0;
  // What changes when the file is written, for who wants to know whether it is still the same.
  uint64_t device = 0;
  int64_t modified_ns = 0;  // since 1970
  int64_t changed_ns = 0;   // st_ctim: can't be set back
};

// A file open for writing. What was appended is durable only after Sync. Not thread-safe.
class WritableFile {
 public:
  virtual ~WritableFile() = default;  // closes without an error report
  virtual absl::Status Append(ByteView bytes) = 0;
  virtual absl::Status SetOwnerAndMode(uid_t owner, gid_t group, mode_t mode) = 0;
  // fsync(2). An error means that nothing is known about what is on the disk.
  virtual absl::Status Sync() = 0;
  // link(2): gives a file without a name `path`; AlreadyExists if there is one.
  virtual absl::Status Link(absl::string_view path) = 0;
  virtual absl::Status Close() = 0;
};

// An exclusive advisory lock (flock(2)) on a file, held until this goes, also across a crash of the
// process (the kernel drops it).
class FileLock {
 public:
  virtual ~FileLock() = default;
  // Of the locked file, so that a lock made by root's tool can be taken by the daemon later.
  // FailedPrecondition, and nothing changes, if it is not a plain file of this one name: a link to
  // somebody else's file must not give that file away.
  virtual absl::Status SetOwnerAndMode(uid_t owner, gid_t group, mode_t mode) = 0;
  // Writes into the file who has it, for whoever finds it locked; emptied again when the lock goes.
  // FailedPrecondition as above.
  virtual absl::Status SetHolder(absl::string_view holder) = 0;
};

// FileSystem is every file operation that keys and keyrings depend on. Errors carry the path and
// errno's name (posix_error.h). Thread-safe.
class FileSystem {
 public:
  virtual ~FileSystem() = default;

  // The whole content; OutOfRange if it is larger than `max_size`.
  virtual absl::StatusOr<std::string> ReadFile(absl::string_view path, size_t max_size) = 0;
  // The same for a secret, read straight into locked memory. `info`, if not null, is of the file
  // that was read (fstat on the open descriptor, so that it can't be exchanged in between).
  virtual absl::StatusOr<SecretBytes> ReadSecretFile(absl::string_view path, size_t max_size,
                                                     FileInfo* info) = 0;
  // Follows symbolic links. NotFound if there is nothing.
  virtual absl::StatusOr<FileInfo> GetInfo(absl::string_view path) = 0;
  // Names in a directory without "." and "..", sorted.
  virtual absl::StatusOr<std::vector<std::string>> ListDirectory(absl::string_view path) = 0;

  // A new file; AlreadyExists if there is one.
  virtual absl::StatusOr<std::unique_ptr<WritableFile>> CreateFile(absl::string_view path,
                                                                   mode_t mode) = 0;
  // A new file without a name in the folder of `path`, which is to be its name
  // (WritableFile::Link): it is gone if it is closed, or the process ends, before it has one.
  // Unimplemented where the file system (NFS, for one) knows of no such files.
  virtual absl::StatusOr<std::unique_ptr<WritableFile>> CreateUnnamedFile(absl::string_view path,
                                                                          mode_t mode) = 0;
  virtual absl::Status CreateDirectory(absl::string_view path, mode_t mode) = 0;
  // rename(2): replaces `to` in one step.
  virtual absl::Status Rename(absl::string_view from, absl::string_view to) = 0;
  // link(2): `to` names the same file; AlreadyExists if there is one.
  virtual absl::Status Link(absl::string_view from, absl::string_view to) = 0;
  virtual absl::Status Remove(absl::string_view path) = 0;
  // fsync(2) of a directory: makes the names in it durable.
  virtual absl::Status SyncDirectory(absl::string_view path) = 0;
  // Makes the file if there is none and locks it. Unavailable at once if another process (or
  // another holder in this one) has it; the message names the holder if that has said who it is.
  virtual absl::StatusOr<std::unique_ptr<FileLock>> Lock(absl::string_view path, mode_t mode) = 0;

  // The operating system's; lives for ever.
  static FileSystem& System();
};

// The folder that holds `path` ("." if it names none).
std::string DirectoryOf(absl::string_view path);
std::string JoinPath(absl::string_view directory, absl::string_view name);
// The path from the root on, for one that was given on a command line: what keeps it or compares it
// may be elsewhere later. As it is if the current folder is gone.
std::string AbsolutePath(absl::string_view path);

}  // namespace kekd

#endif  // KEKD_BASE_FILE_SYSTEM_H_
