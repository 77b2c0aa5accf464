// Where recovered objects go.
#ifndef KEKD_KMS_CTL_RECOVERY_FOLDER_H_
#define KEKD_KMS_CTL_RECOVERY_FOLDER_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/file_system.h"
#include "base/secret_bytes.h"

namespace kekd {

// One segment of a key as the name of a file: what is no letter, digit, dot, dash or underscore is
// written %XX, and so are the names "." and "..": a key in etcd must not choose a place. Longer
// than 200 bytes it is cut and ends in a digest of the whole.
std::string FileNameOf(absl::string_view segment);

// RecoveryFolder is a new folder (0700) of recovered objects, each in a file of its own (0600), and
// the log of the recovery. Not thread-safe.
class RecoveryFolder final {
 public:
  static constexpr int kMaxOfOneName = 1000;

  // Makes the folder. AlreadyExists if it is there: what lies there may be another recovery.
  // `fs` outlives the result.
  static absl::StatusOr<RecoveryFolder> Create(FileSystem& fs, const std::string& path);

  // Adds a line to the system's log (syslog, authpriv) and to recover.log of the folder; all lines
  // so far are durable when it returns OK.
  absl::Status Log(absl::string_view line);
  // Adds a line to recover.log only, not durable yet.
  absl::Status Note(absl::string_view line);

  // Writes an object to <folder>/<segments>/…<ending>; gives the path below the folder. Where there
  // is such a file, "~2", "~3" … stands before the ending: the same name may come from two prefixes
  // of etcd, and several times from its log. AlreadyExists above kMaxOfOneName.
  absl::StatusOr<std::string> Write(const std::vector<std::string>& segments,
                                    absl::string_view ending, const SecretBytes& content);

 private:
  RecoveryFolder(FileSystem& fs, std::string path, std::unique_ptr<WritableFile> log)
      : fs_(&fs), path_(std::move(path)), log_(std::move(log)) {}

  FileSystem* fs_;
  std::string path_;
  std::unique_ptr<WritableFile> log_;
};

}  // namespace kekd

#endif  // KEKD_KMS_CTL_RECOVERY_FOLDER_H_
