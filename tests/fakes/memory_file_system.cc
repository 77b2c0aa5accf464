#include "tests/fakes/memory_file_system.h"

#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/posix_error.h"

namespace kekd::testing {
namespace {

absl::Status Error(int error, absl::string_view call, absl::string_view path) {
  return PosixError(error, absl::StrCat(call, " ", path));
}

std::string NameOf(absl::string_view path) { return std::string(path.substr(path.rfind('/') + 1)); }

}  // namespace

class MemoryFileSystem::OpenFile final : public WritableFile {
 public:
  OpenFile(MemoryFileSystem& fs, std::shared_ptr<File> file) : fs_(fs), file_(std::move(file)) {}

  absl::Status Append(ByteView bytes) override {
    MutexLock lock(&fs_.mu_);
    file_->content.append(bytes.begin(), bytes.end());
    return absl::OkStatus();
  }
  absl::Status SetOwnerAndMode(uid_t /*owner*/, gid_t /*group*/, mode_t mode) override {
    MutexLock lock(&fs_.mu_);
    file_->mode = mode;
    return absl::OkStatus();
  }
  absl::Status Sync() override {
    MutexLock lock(&fs_.mu_);
    file_->durable = file_->content;
    return absl::OkStatus();
  }
  absl::Status Link(absl::string_view path) override { return Error(EEXIST, "link", path); }
  absl::Status Close() override { return absl::OkStatus(); }

 private:
  MemoryFileSystem& fs_;
  const std::shared_ptr<File> file_;
};

class MemoryFileSystem::HeldLock final : public FileLock {
 public:
  HeldLock(MemoryFileSystem& fs, absl::string_view path) : fs_(fs), path_(path) {}
  ~HeldLock() override {
    MutexLock lock(&fs_.mu_);
    fs_.locked_.erase(path_);
  }
  absl::Status SetOwnerAndMode(uid_t, gid_t, mode_t) override { return absl::OkStatus(); }
  absl::Status SetHolder(absl::string_view) override { return absl::OkStatus(); }

 private:
  MemoryFileSystem& fs_;
  const std::string path_;
};

MemoryFileSystem::MemoryFileSystem(const std::vector<std::string>& folders) {
  MutexLock lock(&mu_);
  folders_["/"];
  for (const std::string& folder : folders) folders_[folder];
}

void MemoryFileSystem::CutPower(absl::FunctionRef<bool()> survives) {
  MutexLock lock(&mu_);
  locked_.clear();
  for (auto& [path, folder] : folders_) {
    for (const Change& change : folder.unsynced) {
      if (survives()) Apply(change, folder.durable);
    }
    folder.unsynced.clear();
    folder.names = folder.durable;
    for (const auto& [name, file] : folder.names) {
      if (file->content == file->durable) continue;
      if (!survives()) {
        file->content =
            survives() ? file->content.substr(0, file->content.size() / 2) : file->durable;
      }
      file->durable = file->content;
    }
  }
}

MemoryFileSystem::Place MemoryFileSystem::Find(absl::string_view path) {
  Place place{.name = NameOf(path)};
  const auto folder = folders_.find(DirectoryOf(path));
  if (folder == folders_.end()) return place;
  place.folder = &folder->second;
  const auto file = place.folder->names.find(place.name);
  if (file != place.folder->names.end()) place.file = file->second;
  return place;
}

absl::StatusOr<std::shared_ptr<MemoryFileSystem::File>> MemoryFileSystem::FindFile(
    absl::string_view call, absl::string_view path) {
  Place place = Find(path);
  if (place.file == nullptr) return Error(ENOENT, call, path);
  return std::move(place.file);
}

void MemoryFileSystem::Apply(const Change& change, Names& names) {
  for (const auto& [name, file] : change) {
    if (file == nullptr) {
      names.erase(name);
    } else {
      names[name] = file;
    }
  }
}

void MemoryFileSystem::Make(Folder& folder, Change change) {
  Apply(change, folder.names);
  folder.unsynced.push_back(std::move(change));
}

std::shared_ptr<MemoryFileSystem::File> MemoryFileSystem::NewFile(mode_t mode) {
  auto file = std::make_shared<File>();
  file->mode = mode;
  file->inode = next_inode_++;
  return file;
}

absl::StatusOr<std::string> MemoryFileSystem::ReadFile(absl::string_view path, size_t max_size) {
  MutexLock lock(&mu_);
  const absl::StatusOr<std::shared_ptr<File>> file = FindFile("open", path);
  if (!file.ok()) return file.status();
  if ((*file)->content.size() > max_size) {
    return absl::OutOfRangeError(absl::StrCat(path, " is too large"));
  }
  return (*file)->content;
}

absl::StatusOr<SecretBytes> MemoryFileSystem::ReadSecretFile(absl::string_view path,
                                                             size_t max_size, FileInfo* info) {
  const absl::StatusOr<std::string> content = ReadFile(path, max_size);
  if (!content.ok()) return content.status();
  if (info != nullptr) {
    const absl::StatusOr<FileInfo> found = GetInfo(path);
    if (!found.ok()) return found.status();
    *info = *found;
  }
  return SecretBytes::CopyOf(AsBytes(*content));
}

absl::StatusOr<FileInfo> MemoryFileSystem::GetInfo(absl::string_view path) {
  MutexLock lock(&mu_);
  FileInfo info{.owner = geteuid(), .group = getegid()};
  if (folders_.count(std::string(path)) != 0) {
    info.type = FileType::kDirectory;
    info.mode = 0700;
    return info;
  }
  const absl::StatusOr<std::shared_ptr<File>> file = FindFile("stat", path);
  if (!file.ok()) return file.status();
  info.type = FileType::kRegular;
  info.mode = (*file)->mode;
  info.size = (*file)->content.size();
  info.inode = (*file)->inode;
  return info;
}

absl::StatusOr<std::vector<std::string>> MemoryFileSystem::ListDirectory(absl::string_view path) {
  MutexLock lock(&mu_);
  const auto folder = folders_.find(std::string(path));
  if (folder == folders_.end()) return Error(ENOENT, "opendir", path);
  std::vector<std::string> names;
  for (const auto& [name, file] : folder->second.names) names.push_back(name);
  return names;
}

absl::StatusOr<std::unique_ptr<WritableFile>> MemoryFileSystem::CreateFile(absl::string_view path,
                                                                           mode_t mode) {
  MutexLock lock(&mu_);
  Place place = Find(path);
  if (place.folder == nullptr) return Error(ENOENT, "open", path);
  if (place.file != nullptr) return Error(EEXIST, "open", path);
  std::shared_ptr<File> file = NewFile(mode);
  Make(*place.folder, {{place.name, file}});
  return std::make_unique<OpenFile>(*this, std::move(file));
}

absl::StatusOr<std::unique_ptr<WritableFile>> MemoryFileSystem::CreateUnnamedFile(
    absl::string_view path, mode_t /*mode*/) {
  return absl::UnimplementedError(absl::StrCat("open ", path, ": no files without a name"));
}

absl::Status MemoryFileSystem::CreateDirectory(absl::string_view path, mode_t /*mode*/) {
  MutexLock lock(&mu_);
  const bool made = folders_.try_emplace(std::string(path)).second;
  return made ? absl::OkStatus() : Error(EEXIST, "mkdir", path);
}

absl::Status MemoryFileSystem::Rename(absl::string_view from, absl::string_view to) {
  MutexLock lock(&mu_);
  Place source = Find(from);
  if (source.file == nullptr) return Error(ENOENT, "rename", from);
  const Place target = Find(to);
  if (target.folder != source.folder) return Error(EXDEV, "rename", to);
  if (target.file == source.file) return absl::OkStatus();  // as rename(2) of two links
  Make(*source.folder, {{source.name, nullptr}, {target.name, source.file}});
  return absl::OkStatus();
}

absl::Status MemoryFileSystem::Link(absl::string_view from, absl::string_view to) {
  MutexLock lock(&mu_);
  Place source = Find(from);
  if (source.file == nullptr) return Error(ENOENT, "link", from);
  const Place target = Find(to);
  if (target.folder != source.folder) return Error(EXDEV, "link", to);
  if (target.file != nullptr) return Error(EEXIST, "link", to);
  Make(*source.folder, {{target.name, source.file}});
  return absl::OkStatus();
}

absl::Status MemoryFileSystem::Remove(absl::string_view path) {
  MutexLock lock(&mu_);
  const Place place = Find(path);
  if (place.file == nullptr) return Error(ENOENT, "unlink", path);
  Make(*place.folder, {{place.name, nullptr}});
  return absl::OkStatus();
}

absl::Status MemoryFileSystem::SyncDirectory(absl::string_view path) {
  MutexLock lock(&mu_);
  const auto folder = folders_.find(std::string(path));
  if (folder == folders_.end()) return Error(ENOENT, "open", path);
  folder->second.durable = folder->second.names;
  folder->second.unsynced.clear();
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<FileLock>> MemoryFileSystem::Lock(absl::string_view path,
                                                                 mode_t mode) {
  MutexLock lock(&mu_);
  Place place = Find(path);
  if (place.folder == nullptr) return Error(ENOENT, "open", path);
  if (place.file == nullptr) Make(*place.folder, {{place.name, NewFile(mode)}});
  if (!locked_.insert(std::string(path)).second) {
    return absl::UnavailableError(absl::StrCat(path, " is locked"));
  }
  return std::make_unique<HeldLock>(*this, path);
}

}  // namespace kekd::testing
