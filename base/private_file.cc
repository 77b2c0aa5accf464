#include "base/private_file.h"

#include <unistd.h>

#include "absl/strings/str_format.h"
#include "base/status_macros.h"

namespace kekd {

absl::StatusOr<SecretBytes> ReadPrivateFile(FileSystem& fs, absl::string_view what,
                                            absl::string_view path, size_t max_size,
                                            std::optional<uid_t> other_owner, FileInfo* info_out) {
  FileInfo info;
  KEKD_ASSIGN_OR_RETURN(SecretBytes content, fs.ReadSecretFile(path, max_size, &info));
  if (info_out != nullptr) *info_out = info;
  if (info.owner != 0 && info.owner != geteuid() && info.owner != other_owner) {
    return absl::PermissionDeniedError(absl::StrFormat(
        "%s %s belongs to uid %d, who could read and replace it; give it to root or to the user "
        "who needs it (chown)",
        what, path, info.owner));
  }
  if ((info.mode & 077) != 0) {
    return absl::PermissionDeniedError(
        absl::StrFormat("%s %s has mode %04o: others than its owner have rights on it; run 'chmod "
                        "0600 %s' and consider what is in it as known to them",
                        what, path, info.mode, path));
  }
  return content;
}

}  // namespace kekd
