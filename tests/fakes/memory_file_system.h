// A file system in memory that forgets at a power cut what nobody synced.
#ifndef KEKD_TESTS_FAKES_MEMORY_FILE_SYSTEM_H_
#define KEKD_TESTS_FAKES_MEMORY_FILE_SYSTEM_H_

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/file_system.h"
#include "base/mutex.h"

namespace kekd::testing {

// MemoryFileSystem keeps files as POSIX lets a disk keep them: the content of a file is durable
// after its fsync, a name after that of its folder, and until then each change for itself may or
// may not have reached the disk, in any order. Folders are durable at once. Everything belongs to
// the process's own user. Renames and links stay within a folder, as all of ours do. Thread-safe.
class MemoryFileSystem final : public FileSystem {
 public:
  // "/" and `folders` ("/ring"), with mode 0700.
  explicit MemoryFileSystem(const std::vector<std::string>& folders);

  // What a machine finds that comes up again. `survives` is asked for each change that was not
  // synced whether it is there; a content may also be there in part. Whoever has files or locks
  // open lets go of them before.
  void CutPower(absl::FunctionRef<bool()> survives);

  absl::StatusOr<std::string> ReadFile(absl::string_view path, size_t max_size) override;
  absl::StatusOr<SecretBytes> ReadSecretFile(absl::string_view path, size_t max_size,
                                             FileInfo* info) override;
  absl::StatusOr<FileInfo> GetInfo(absl::string_view path) override;
  absl::StatusOr<std::vector<std::string>> ListDirectory(absl::string_view path) override;
  absl::StatusOr<std::unique_ptr<WritableFile>> CreateFile(absl::string_view path,
                                                           mode_t mode) override;
  // Unimplemented, as on a file system without them.
  absl::StatusOr<std::unique_ptr<WritableFile>> CreateUnnamedFile(absl::string_view path,
                                                                  mode_t mode) override;
  absl::Status CreateDirectory(absl::string_view path, mode_t mode) override;
  absl::Status Rename(absl::string_view from, absl::string_view to) override;
  absl::Status Link(absl::string_view from, absl::string_view to) override;
  absl::Status Remove(absl::string_view path) override;
  absl::Status SyncDirectory(absl::string_view path) override;
  absl::StatusOr<std::unique_ptr<FileLock>> Lock(absl::string_view path, mode_t mode) override;

 private:
  class OpenFile;
  class HeldLock;
  struct File {
    std::string content;
    std::string durable;
    mode_t mode = 0;
    uint64_t inode = 0;
  };
  using Names = std::map<std::string, std::shared_ptr<File>>;
  // Names as they are after one call: a null file is a name that went.
  using Change = Names;
  struct Folder {
    Names names;
    Names durable;
    std::vector<Change> unsynced;
  };
  // A name and the folder it is in; the folder is null if there is none.
  struct Place {
    Folder* folder = nullptr;
    std::string name;
    std::shared_ptr<File> file = nullptr;  // null if nothing has that name
  };

  Place Find(absl::string_view path) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::StatusOr<std::shared_ptr<File>> FindFile(absl::string_view call, absl::string_view path)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  static void Apply(const Change& change, Names& names);
  void Make(Folder& folder, Change change) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::shared_ptr<File> NewFile(mode_t mode) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  Mutex mu_;
  std::map<std::string, Folder> folders_ ABSL_GUARDED_BY(mu_);
  std::set<std::string> locked_ ABSL_GUARDED_BY(mu_);
  uint64_t next_inode_ ABSL_GUARDED_BY(mu_) = 1;
};

}  // namespace kekd::testing

#endif  // KEKD_TESTS_FAKES_MEMORY_FILE_SYSTEM_H_
