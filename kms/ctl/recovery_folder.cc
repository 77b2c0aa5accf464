#include "kms/ctl/recovery_folder.h"

#include <syslog.h>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/bytes.h"
#include "base/hex.h"
#include "base/status_macros.h"
#include "keystore/digest.h"
#include "kms/ctl/table.h"

namespace kekd {
namespace {

constexpr mode_t kFolderMode = 0700;
constexpr mode_t kFileMode = 0600;
constexpr size_t kMaxNameBytes = 200;

bool IsPlain(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.';
}

}  // namespace

std::string FileNameOf(absl::string_view segment) {
  const bool is_dots = segment == "." || segment == "..";
  std::string name;
  for (const char c : segment) {
    if (IsPlain(c) && !is_dots) {
      name.push_back(c);
    } else {
      absl::StrAppendFormat(&name, "%%%02X", static_cast<unsigned>(static_cast<unsigned char>(c)));
    }
  }
  if (segment.empty()) name = "%";
  if (name.size() <= kMaxNameBytes) return name;
  const absl::StatusOr<Sha256Digest> digest = Sha256(AsBytes(segment));
  return absl::StrCat(name.substr(0, kMaxNameBytes - 65), "%",
                      digest.ok() ? HexEncode(*digest) : "");
}

absl::StatusOr<RecoveryFolder> RecoveryFolder::Create(FileSystem& fs, const std::string& path) {
  KEKD_RETURN_IF_ERROR(WithContext(fs.CreateDirectory(path, kFolderMode),
                                   "the folder for what is recovered must be a new one"));
  KEKD_ASSIGN_OR_RETURN(std::unique_ptr<WritableFile> log,
                        fs.CreateFile(JoinPath(path, "recover.log"), kFileMode));
  KEKD_RETURN_IF_ERROR(fs.SyncDirectory(path));
  KEKD_RETURN_IF_ERROR(fs.SyncDirectory(DirectoryOf(path)));
  return RecoveryFolder(fs, path, std::move(log));
}

absl::Status RecoveryFolder::Log(absl::string_view line) {
  openlog("kekctl", LOG_PID, LOG_AUTHPRIV);
  syslog(LOG_AUTHPRIV | LOG_NOTICE, "%s", Printable(line).c_str());
  closelog();
  KEKD_RETURN_IF_ERROR(Note(line));
  return log_->Sync();
}

absl::Status RecoveryFolder::Note(absl::string_view line) {
  // Parts of it come from etcd: they must neither begin a line of their own nor steer a terminal.
  return log_->Append(AsBytes(absl::StrCat(Printable(line), "\n")));
}

absl::StatusOr<std::string> RecoveryFolder::Write(const std::vector<std::string>& segments,
                                                  absl::string_view ending,
                                                  const SecretBytes& content) {
  std::string below;
  for (size_t i = 0; i < segments.size(); ++i) {
    absl::StrAppend(&below, i == 0 ? "" : "/", FileNameOf(segments[i]));
    if (i + 1 == segments.size()) break;
    const absl::Status made = fs_->CreateDirectory(JoinPath(path_, below), kFolderMode);
    if (!made.ok() && !absl::IsAlreadyExists(made)) return made;
  }
  std::string name = absl::StrCat(below, ending);
  absl::StatusOr<std::unique_ptr<WritableFile>> file =
      fs_->CreateFile(JoinPath(path_, name), kFileMode);
  for (int i = 2; absl::IsAlreadyExists(file.status()) && i <= kMaxOfOneName; ++i) {
    name = absl::StrCat(below, "~", i, ending);
    file = fs_->CreateFile(JoinPath(path_, name), kFileMode);
  }
  if (!file.ok()) return file.status();
  KEKD_RETURN_IF_ERROR((*file)->Append(content.Reveal(SecretAccessToken())));
  // Not synced, as thousands of files would take minutes: etcd still has what was recovered.
  KEKD_RETURN_IF_ERROR((*file)->Close());
  return name;
}

}  // namespace kekd
