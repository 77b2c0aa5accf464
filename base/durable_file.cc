#include "base/durable_file.h"

#include <unistd.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace kekd {
namespace {

absl::Status WriteAndSync(FileSystem& fs, absl::string_view path, ByteView content,
                          const DurableFileOptions& options) {
  KEKD_ASSIGN_OR_RETURN(std::unique_ptr<WritableFile> file, fs.CreateFile(path, options.mode));
  KEKD_RETURN_IF_ERROR(file->SetOwnerAndMode(options.owner.value_or(geteuid()),
                                             options.group.value_or(getegid()), options.mode));
  KEKD_RETURN_IF_ERROR(file->Append(content));
  KEKD_RETURN_IF_ERROR(file->Sync());
  return file->Close();
}

// Writes the temporary file, then gives it its name by `publish`.
template <typename Publish>
absl::Status WriteThenPublish(FileSystem& fs, absl::string_view path, ByteView content,
                              const DurableFileOptions& options, Publish publish) {
  const std::string temporary = absl::StrCat(path, ".tmp");
  absl::Status removed = fs.Remove(temporary);
  if (!removed.ok() && !absl::IsNotFound(removed)) return removed;
  absl::Status written = WriteAndSync(fs, temporary, content, options);
  if (written.ok()) written = publish(temporary);
  if (!written.ok()) {
    (void)fs.Remove(temporary);  // best effort: the next write removes it too
    return written;
  }
  return WithContext(fs.SyncDirectory(DirectoryOf(path)),
                     absl::StrCat(path,
                                  " was replaced, but it is not known whether that would "
                                  "survive a power cut"));
}

}  // namespace

absl::Status ReplaceFileDurably(FileSystem& fs, absl::string_view path, ByteView content,
                                const DurableFileOptions& options) {
  return WriteThenPublish(fs, path, content, options,
                          [&](const std::string& temporary) { return fs.Rename(temporary, path); });
}

absl::Status CreateFileDurably(FileSystem& fs, absl::string_view path, ByteView content,
                               const DurableFileOptions& options) {
  return WriteThenPublish(fs, path, content, options, [&](const std::string& temporary) {
    // link(2), unlike rename(2), refuses to replace what is there.
    KEKD_RETURN_IF_ERROR(fs.Link(temporary, path));
    return fs.Remove(temporary);
  });
}

}  // namespace kekd
