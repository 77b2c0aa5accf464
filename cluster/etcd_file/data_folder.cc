#include "cluster/etcd_file/data_folder.h"

#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/file_system.h"
#include "base/status_macros.h"

namespace kekd {
namespace {

constexpr size_t kHexDigits = 16;

// The number of the 16 hexadecimal digits at the front, which are taken.
std::optional<uint64_t> TakeHex(absl::string_view& name) {
  uint64_t number = 0;
  for (size_t i = 0; i < kHexDigits; ++i) {
    if (i == name.size() || !absl::ascii_isxdigit(static_cast<unsigned char>(name[i]))) {
      return std::nullopt;
    }
  }
  if (!absl::SimpleHexAtoi(name.substr(0, kHexDigits), &number)) return std::nullopt;
  name.remove_prefix(kHexDigits);
  return number;
}

// "<number>-<number><suffix>", as segments and *.snap files are called: the first number.
std::optional<uint64_t> NumberOf(absl::string_view name, absl::string_view suffix) {
  const std::optional<uint64_t> first = TakeHex(name);
  if (!first || !absl::ConsumePrefix(&name, "-")) return std::nullopt;
  if (!TakeHex(name) || name != suffix) return std::nullopt;
  return first;
}

bool IsAllocated(absl::string_view name) {
  uint32_t number = 0;
  return absl::ConsumeSuffix(&name, ".tmp") && absl::SimpleAtoi(name, &number);
}

// What a file system of its own begins with.
bool IsEmptyLostAndFound(const std::string& path) {
  if (!absl::EndsWith(path, "/lost+found")) return false;
  const absl::StatusOr<std::vector<std::string>> names = FileSystem::System().ListDirectory(path);
  return names.ok() && names->empty();
}

void AddUnknown(const std::string& path, GapList& gaps) {
  if (IsEmptyLostAndFound(path)) return;
  gaps.Add({.what = path,
            .why = "it is no part of an etcd that runs, and was not read",
            .cure = "look what it is; a copy of a database can be read by itself, and what is not "
                    "needed any more should be deleted"});
}

bool IsDirectory(const std::string& path) {
  const absl::StatusOr<FileInfo> info = FileSystem::System().GetInfo(path);
  return info.ok() && info->type == FileType::kDirectory;
}

absl::Status FindInSnap(const std::string& folder, DataFolder& found, GapList& gaps) {
  KEKD_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                        FileSystem::System().ListDirectory(folder));
  for (const std::string& name : names) {
    std::string path = JoinPath(folder, name);
    absl::string_view rest = name;
    const std::optional<uint64_t> index = TakeHex(rest);
    if (name == "db") {
      found.database = std::move(path);
    } else if (index && rest == ".snap.db") {
      found.left_overs.push_back({.path = std::move(path), .index = *index});
    } else if (!NumberOf(name, ".snap")) {
      AddUnknown(path, gaps);
    }
  }
  if (!found.database.empty()) return absl::OkStatus();
  return absl::NotFoundError(absl::StrCat(folder, " has no database (a file \"db\")"));
}

absl::Status FindInWal(const std::string& folder, DataFolder& found, GapList& gaps) {
  std::vector<std::string> names;
  if (IsDirectory(folder)) {
    KEKD_ASSIGN_OR_RETURN(names, FileSystem::System().ListDirectory(folder));
  }
  std::optional<uint64_t> last;
  for (const std::string& name : names) {  // sorted, and so are their numbers
    std::string path = JoinPath(folder, name);
    const std::optional<uint64_t> number = NumberOf(name, ".wal");
    if (!number) {
      if (IsAllocated(name)) {
        found.allocated.push_back(std::move(path));
      } else {
        AddUnknown(path, gaps);
      }
      continue;
    }
    if (last && *number != *last + 1) {
      gaps.Add({.what = absl::StrCat("what precedes ", path),
                .why = "a part of the write-ahead log is missing",
                .cure = "take a snapshot of a healthy member and read that"});
    }
    last = number;
    found.segments.push_back(std::move(path));
  }
  if (found.segments.empty()) {
    gaps.Add({.what = folder,
              .why = "there is no write-ahead log: what was written last may be missing",
              .cure = "if etcd runs with --wal-dir, copy that folder to this place"});
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<DataFolder> FindDataFolder(const std::string& path, GapList& gaps) {
  // Before what can't be looked into is told as something else.
  KEKD_RETURN_IF_ERROR(FileSystem::System().ListDirectory(path).status());
  std::string member = JoinPath(path, "member");
  const bool is_whole = IsDirectory(member);
  if (!is_whole) member = path;
  const std::string snap = JoinPath(member, "snap");
  if (!IsDirectory(snap)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " is no data folder of etcd: it has neither member/snap nor snap"));
  }
  for (const std::string& folder :
       is_whole ? std::vector<std::string>{path, member} : std::vector<std::string>{member}) {
    KEKD_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                          FileSystem::System().ListDirectory(folder));
    for (const std::string& name : names) {
      const bool known = folder == member ? name == "snap" || name == "wal" : name == "member";
      if (!known) AddUnknown(JoinPath(folder, name), gaps);
    }
  }
  DataFolder found;
  KEKD_RETURN_IF_ERROR(FindInSnap(snap, found, gaps));
  KEKD_RETURN_IF_ERROR(FindInWal(JoinPath(member, "wal"), found, gaps));
  return found;
}

}  // namespace kekd
