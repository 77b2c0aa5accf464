// A file system that fails where a test wants it to.
#ifndef KEKD_TESTS_FAKES_FAULT_INJECTING_FILE_SYSTEM_H_
#define KEKD_TESTS_FAKES_FAULT_INJECTING_FILE_SYSTEM_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/file_system.h"
#include "base/mutex.h"

namespace kekd::testing {

// One thing that goes wrong, once.
struct Fault {
  enum class Kind {
    kError,           // the call does nothing and fails
    kErrorAfterDone,  // the call takes place and is reported as failed (a lost answer of NFS)
    kShortWrite,      // an Append writes `written` bytes, then fails; any other call: as kError
    kCrash,           // this call and every later one fail: nobody cleans up after a dead process
    kRun,             // `run` happens, then the call takes its course: what another process does
  };

  size_t call = 0;        // which of the coming calls: 0 is the next
  std::string call_name;  // counted among these calls only ("Append"); empty: among all
  Kind kind = Kind::kError;
  int error = 0;  // errno
  size_t written = 0;
  std::function<void()> run = {};
};

// FaultInjectingFileSystem passes every call on to another file system, writes its name down
// ("Rename /a to /b", and the WritableFile's own: "Append /a") and lets faults out of a queue. A
// test that loops over call indices until injected_all() turns false has seen each failure there
// can be. Thread-safe, also its base's.
class FaultInjectingFileSystem final : public FileSystem {
 public:
  explicit FaultInjectingFileSystem(FileSystem& base = FileSystem::System()) : base_(base) {}

  void Inject(Fault fault);
  // As a file system that has no files without a name. Before it is used.
  void HaveNoUnnamedFiles() { has_unnamed_files_ = false; }
  // Whether every fault so far has happened.
  bool injected_all() const;
  // Forgets the calls and the faults that have not happened; ends a crash.
  void Reset();
  std::vector<std::string> calls() const;

  absl::StatusOr<std::string> ReadFile(absl::string_view path, size_t max_size) override;
  absl::StatusOr<SecretBytes> ReadSecretFile(absl::string_view path, size_t max_size,
                                             FileInfo* info) override;
  absl::StatusOr<FileInfo> GetInfo(absl::string_view path) override;
  absl::StatusOr<std::vector<std::string>> ListDirectory(absl::string_view path) override;
  absl::StatusOr<std::unique_ptr<WritableFile>> CreateFile(absl::string_view path,
                                                           mode_t mode) override;
  absl::StatusOr<std::unique_ptr<WritableFile>> CreateUnnamedFile(absl::string_view path,
                                                                  mode_t mode) override;
  absl::Status CreateDirectory(absl::string_view path, mode_t mode) override;
  absl::Status Rename(absl::string_view from, absl::string_view to) override;
  absl::Status Link(absl::string_view from, absl::string_view to) override;
  absl::Status Remove(absl::string_view path) override;
  absl::Status SyncDirectory(absl::string_view path) override;
  absl::StatusOr<std::unique_ptr<FileLock>> Lock(absl::string_view path, mode_t mode) override;

 private:
  class File;
  class HeldLock;

  // Notes a call and takes the fault that is due at it, or one of kind kRun that does nothing.
  Fault Take(absl::string_view call_name, absl::string_view object);
  // Runs `call` as the fault that is due wants it.
  template <typename Call>
  auto Run(absl::string_view call_name, absl::string_view object, Call call) -> decltype(call());

  FileSystem& base_;
  bool has_unnamed_files_ = true;
  mutable Mutex mu_;
  std::vector<std::string> calls_ ABSL_GUARDED_BY(mu_);
  std::vector<Fault> faults_ ABSL_GUARDED_BY(mu_);
  bool crashed_ ABSL_GUARDED_BY(mu_) = false;
  Fault crash_ ABSL_GUARDED_BY(mu_);
};

}  // namespace kekd::testing

#endif  // KEKD_TESTS_FAKES_FAULT_INJECTING_FILE_SYSTEM_H_
