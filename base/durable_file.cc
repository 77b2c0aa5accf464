#include "base/durable_file.h"

#include <unistd.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace kekd {
namespace {

absl::Status WriteAndSync(WritableFile& file, ByteView content, const DurableFileOptions& options) {
  KEKD_RETURN_IF_ERROR(file.SetOwnerAndMode(options.owner.value_or(geteuid()),
                                            options.group.value_or(getegid()), options.mode));
  KEKD_RETURN_IF_ERROR(file.Append(content));
  return file.Sync();
}

absl::Status WriteSyncAndClose(WritableFile& file, ByteView content,
                               const DurableFileOptions& options) {
  KEKD_RETURN_IF_ERROR(WriteAndSync(file, content, options));
  return file.Close();
}

absl::Status RemoveIfThere(FileSystem& fs, absl::string_view path) {
  absl::Status removed = fs.Remove(path);
  if (absl::IsNotFound(removed)) return absl::OkStatus();
  return removed;
}

// Makes the name of a file that has just got one durable.
absl::Status SyncName(FileSystem& fs, absl::string_view path, absl::string_view was) {
  return WithContext(fs.SyncDirectory(DirectoryOf(path)),
                     absl::StrCat(path, " was ", was,
                                  ", but it is not known whether that would survive a power cut"));
}

absl::Status NameIt(absl::Status linked, absl::string_view path) {
  if (!absl::IsAlreadyExists(linked)) return linked;
  return absl::AlreadyExistsError(absl::StrCat(path, " exists already; nothing is overwritten"));
}

// For a file system that has no files without a name.
absl::Status CreateByTemporary(FileSystem& fs, absl::string_view path, ByteView content,
                               const DurableFileOptions& options) {
  const std::string temporary = absl::StrCat(path, ".tmp");
  absl::StatusOr<std::unique_ptr<WritableFile>> file = fs.CreateFile(temporary, options.mode);
  if (absl::IsAlreadyExists(file.status())) {
    return absl::FailedPreconditionError(
        absl::StrCat(temporary, " is in the way: ", path,
                     " is written under that name first. Nothing was changed; look what it is, "
                     "move it away and try again"));
  }
  KEKD_RETURN_IF_ERROR(file.status());
  absl::Status written = WriteSyncAndClose(**file, content, options);
  // link(2), unlike rename(2), refuses to replace what is there.
  if (written.ok()) written = NameIt(fs.Link(temporary, path), path);
  if (!written.ok()) {
    (void)fs.Remove(temporary);  // best effort: it is only in the way of the next try
    return written;
  }
  // From here on the file is there, and whoever is told of an error has to be told so.
  absl::Status removed = RemoveIfThere(fs, temporary);
  if (!removed.ok()) removed = RemoveIfThere(fs, temporary);
  KEKD_RETURN_IF_ERROR(SyncName(fs, path, "made"));
  return WithContext(removed, absl::StrCat(path, " was made, but ", temporary,
                                           ", a second name of it, has to be removed by hand"));
}

}  // namespace

absl::Status ReplaceFileDurably(FileSystem& fs, absl::string_view path, ByteView content,
                                const DurableFileOptions& options) {
  const std::string temporary = absl::StrCat(path, ".tmp");
  KEKD_RETURN_IF_ERROR(RemoveIfThere(fs, temporary));
  absl::StatusOr<std::unique_ptr<WritableFile>> file = fs.CreateFile(temporary, options.mode);
  absl::Status written = file.status();
  if (written.ok()) written = WriteSyncAndClose(**file, content, options);
  if (written.ok()) written = fs.Rename(temporary, path);
  if (!written.ok()) {
    (void)fs.Remove(temporary);  // best effort: the next write removes it too
    return written;
  }
  return SyncName(fs, path, "replaced");
}

absl::Status CreateFileDurably(FileSystem& fs, absl::string_view path, ByteView content,
                               const DurableFileOptions& options) {
  absl::StatusOr<std::unique_ptr<WritableFile>> file = fs.CreateUnnamedFile(path, options.mode);
  if (absl::IsUnimplemented(file.status())) return CreateByTemporary(fs, path, content, options);
  KEKD_RETURN_IF_ERROR(file.status());
  KEKD_RETURN_IF_ERROR(WriteAndSync(**file, content, options));
  KEKD_RETURN_IF_ERROR(NameIt((*file)->Link(path), path));
  return SyncName(fs, path, "made");
}

}  // namespace kekd
