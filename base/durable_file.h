// Files that are wholly there or not at all.
#ifndef KEKD_BASE_DURABLE_FILE_H_
#define KEKD_BASE_DURABLE_FILE_H_

#include <sys/types.h>

#include <optional>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/bytes.h"
#include "base/file_system.h"

namespace kekd {

struct DurableFileOptions {
  mode_t mode = 0600;
  // Owner and group of the new file; the process's own if not given. What is replaced passes its
  // own on, so that root's tool doesn't take a file away from the daemon.
  std::optional<uid_t> owner = {};
  std::optional<gid_t> group = {};
};

// Replaces `path` by a file with this content: writes "<path>.tmp", syncs it, renames it, syncs the
// folder. When it returns OK the new content survives a power cut. When it fails before the rename,
// the old file is untouched and the temporary one removed; when the folder's sync fails, either of
// the two may be there after a power cut, which the error says. A left-over "<path>.tmp" is
// replaced: the caller holds the lock under which alone one is written.
absl::Status ReplaceFileDurably(FileSystem& fs, absl::string_view path, ByteView content,
                                const DurableFileOptions& options);

// The same for a file that must not exist yet: AlreadyExists if it does. It gets a name only when
// it is whole, so that whoever is killed leaves nothing behind. Where the file system has no files
// without a name it is "<path>.tmp" first; one that is there may be somebody else's and is never
// touched: FailedPrecondition. An error after the file has its name says that it was made.
absl::Status CreateFileDurably(FileSystem& fs, absl::string_view path, ByteView content,
                               const DurableFileOptions& options);

}  // namespace kekd

#endif  // KEKD_BASE_DURABLE_FILE_H_
