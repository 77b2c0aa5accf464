#include "tests/fakes/fault_injecting_file_system.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/posix_error.h"

namespace kekd::testing {

class FaultInjectingFileSystem::File final : public WritableFile {
 public:
  File(FaultInjectingFileSystem& fs, std::unique_ptr<WritableFile> base, absl::string_view path)
      : fs_(fs), base_(std::move(base)), path_(path) {}

  absl::Status Append(ByteView bytes) override {
    const Fault fault = fs_.Take("Append", path_);
    switch (fault.kind) {
      case Fault::Kind::kRun:
        if (fault.run) fault.run();
        return base_->Append(bytes);
      case Fault::Kind::kErrorAfterDone:
        (void)base_->Append(bytes);
        break;
      case Fault::Kind::kShortWrite:
        (void)base_->Append(bytes.first(std::min(fault.written, bytes.size())));
        break;
      case Fault::Kind::kError:
      case Fault::Kind::kCrash:
        break;
    }
    return PosixError(fault.error, absl::StrCat("write ", path_));
  }
  absl::Status SetOwnerAndMode(uid_t owner, gid_t group, mode_t mode) override {
    return fs_.Run("SetOwnerAndMode", path_,
                   [&] { return base_->SetOwnerAndMode(owner, group, mode); });
  }
  absl::Status Sync() override {
    return fs_.Run("Sync", path_, [&] { return base_->Sync(); });
  }
  absl::Status Link(absl::string_view path) override {
    return fs_.Run("Link", path, [&] { return base_->Link(path); });
  }
  absl::Status Close() override {
    return fs_.Run("Close", path_, [&] { return base_->Close(); });
  }

 private:
  FaultInjectingFileSystem& fs_;
  const std::unique_ptr<WritableFile> base_;
  const std::string path_;
};

class FaultInjectingFileSystem::HeldLock final : public FileLock {
 public:
  HeldLock(FaultInjectingFileSystem& fs, std::unique_ptr<FileLock> base, absl::string_view path)
      : fs_(fs), base_(std::move(base)), path_(path) {}

  absl::Status SetOwnerAndMode(uid_t owner, gid_t group, mode_t mode) override {
    return fs_.Run("SetOwnerAndMode", path_,
                   [&] { return base_->SetOwnerAndMode(owner, group, mode); });
  }
  // Nothing depends on it, so it does not fail.
  absl::Status SetHolder(absl::string_view holder) override { return base_->SetHolder(holder); }

 private:
  FaultInjectingFileSystem& fs_;
  const std::unique_ptr<FileLock> base_;
  const std::string path_;
};

void FaultInjectingFileSystem::Inject(Fault fault) {
  MutexLock lock(&mu_);
  faults_.push_back(std::move(fault));
}

bool FaultInjectingFileSystem::injected_all() const {
  MutexLock lock(&mu_);
  return faults_.empty();
}

void FaultInjectingFileSystem::Reset() {
  MutexLock lock(&mu_);
  calls_.clear();
  faults_.clear();
  crashed_ = false;
}

std::vector<std::string> FaultInjectingFileSystem::calls() const {
  MutexLock lock(&mu_);
  return calls_;
}

Fault FaultInjectingFileSystem::Take(absl::string_view call_name, absl::string_view object) {
  MutexLock lock(&mu_);
  calls_.push_back(absl::StrCat(call_name, " ", object));
  if (crashed_) return crash_;
  Fault due;
  due.kind = Fault::Kind::kRun;
  bool taken = false;
  for (auto fault = faults_.begin(); fault != faults_.end();) {
    if (!fault->call_name.empty() && fault->call_name != call_name) {
      ++fault;
    } else if (fault->call > 0) {
      --fault->call;
      ++fault;
    } else if (taken) {
      ++fault;  // two at one call: the second has its turn at the next
    } else {
      due = std::move(*fault);
      taken = true;
      fault = faults_.erase(fault);
    }
  }
  if (due.kind == Fault::Kind::kCrash) {
    crashed_ = true;
    crash_ = due;
  }
  return due;
}

template <typename Call>
auto FaultInjectingFileSystem::Run(absl::string_view call_name, absl::string_view object, Call call)
    -> decltype(call()) {
  const Fault fault = Take(call_name, object);
  if (fault.kind == Fault::Kind::kRun) {
    if (fault.run) fault.run();
    return call();
  }
  if (fault.kind == Fault::Kind::kErrorAfterDone) (void)call();
  return PosixError(fault.error, absl::StrCat(call_name, " ", object));
}

absl::StatusOr<std::string> FaultInjectingFileSystem::ReadFile(absl::string_view path,
                                                               size_t max_size) {
  return Run("ReadFile", path, [&] { return base_.ReadFile(path, max_size); });
}

absl::StatusOr<SecretBytes> FaultInjectingFileSystem::ReadSecretFile(absl::string_view path,
                                                                     size_t max_size,
                                                                     FileInfo* info) {
  return Run("ReadSecretFile", path, [&] { return base_.ReadSecretFile(path, max_size, info); });
}

absl::StatusOr<FileInfo> FaultInjectingFileSystem::GetInfo(absl::string_view path) {
  return Run("GetInfo", path, [&] { return base_.GetInfo(path); });
}

absl::StatusOr<std::vector<std::string>> FaultInjectingFileSystem::ListDirectory(
    absl::string_view path) {
  return Run("ListDirectory", path, [&] { return base_.ListDirectory(path); });
}

absl::StatusOr<std::unique_ptr<WritableFile>> FaultInjectingFileSystem::CreateFile(
    absl::string_view path, mode_t mode) {
  auto file = Run("CreateFile", path, [&] { return base_.CreateFile(path, mode); });
  if (!file.ok()) return file.status();
  return std::make_unique<File>(*this, *std::move(file), path);
}

absl::StatusOr<std::unique_ptr<WritableFile>> FaultInjectingFileSystem::CreateUnnamedFile(
    absl::string_view path, mode_t mode) {
  if (!has_unnamed_files_) return absl::UnimplementedError("no files without a name");
  auto file = Run("CreateUnnamedFile", path, [&] { return base_.CreateUnnamedFile(path, mode); });
  if (!file.ok()) return file.status();
  return std::make_unique<File>(*this, *std::move(file), path);
}

absl::Status FaultInjectingFileSystem::CreateDirectory(absl::string_view path, mode_t mode) {
  return Run("CreateDirectory", path, [&] { return base_.CreateDirectory(path, mode); });
}

absl::Status FaultInjectingFileSystem::Rename(absl::string_view from, absl::string_view to) {
  return Run("Rename", absl::StrCat(from, " to ", to), [&] { return base_.Rename(from, to); });
}

absl::Status FaultInjectingFileSystem::Link(absl::string_view from, absl::string_view to) {
  return Run("Link", absl::StrCat(from, " to ", to), [&] { return base_.Link(from, to); });
}

absl::Status FaultInjectingFileSystem::Remove(absl::string_view path) {
  return Run("Remove", path, [&] { return base_.Remove(path); });
}

absl::Status FaultInjectingFileSystem::SyncDirectory(absl::string_view path) {
  return Run("SyncDirectory", path, [&] { return base_.SyncDirectory(path); });
}

absl::StatusOr<std::unique_ptr<FileLock>> FaultInjectingFileSystem::Lock(absl::string_view path,
                                                                         mode_t mode) {
  auto lock = Run("Lock", path, [&] { return base_.Lock(path, mode); });
  if (!lock.ok()) return lock.status();
  return std::make_unique<HeldLock>(*this, *std::move(lock), path);
}

}  // namespace kekd::testing
