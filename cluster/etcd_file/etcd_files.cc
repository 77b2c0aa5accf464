#include "cluster/etcd_file/etcd_files.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/hex.h"
#include "base/status_macros.h"
#include "cluster/etcd_file/bbolt_file.h"
#include "cluster/etcd_file/database.h"
#include "cluster/etcd_file/file_digest.h"
#include "cluster/etcd_file/gap_list.h"
#include "cluster/etcd_file/random_access_file.h"

namespace kekd {
namespace {

absl::Status InUse(const std::string& path) {
  return absl::FailedPreconditionError(
      absl::StrCat(path,
                   " is in use by a running etcd: read from its endpoints or from a snapshot "
                   "(etcdctl snapshot save FILE), or stop that etcd first"));
}

void AddChangedGap(const RandomAccessFile& file, GapList& gaps) {
  gaps.Add({.what = file.path(),
            .why = "it was written to while it was read",
            .cure = "read again while nothing writes to it"});
}

// A snapshot or a database file.
class DatabaseFileSource final : public EtcdSource {
 public:
  explicit DatabaseFileSource(std::unique_ptr<RandomAccessFile> file) : file_(std::move(file)) {}

  absl::StatusOr<SourceFacts> Read(const ReadRange& range, ObjectVisitor visit,
                                   ReadProgress progress) override {
    const bool is_snapshot = HasSnapshotHash(file_->size());
    const uint64_t size = file_->size() - (is_snapshot ? kSnapshotHashSize : 0);
    GapList gaps;
    // Before the walk, which follows in its tracks.
    std::optional<FileDigest> digest;
    if (is_snapshot) digest.emplace(*file_, size);
    uint64_t done = 0;
    KEKD_ASSIGN_OR_RETURN(
        const DatabaseFacts read,
        ReadDatabase(*file_, size, range, Place::kCurrent, gaps, visit, [&](uint64_t bytes) {
          progress(std::min(done += bytes, file_->size()), file_->size());
        }));
    SourceFacts facts = {.name = file_->path(),
                         .kind = is_snapshot ? "snapshot" : "database file",
                         .version = read.version,
                         .revision = read.revision,
                         .compacted = read.compacted,
                         .bytes = file_->size(),
                         .other_keys = read.other_keys,
                         .history = range.history};
    if (digest) facts.identity = CheckDigest(*digest, size, gaps);
    if (file_->HasChanged()) AddChangedGap(*file_, gaps);
    facts.gaps = gaps.Take();
    progress(file_->size(), file_->size());
    return facts;
  }

 private:
  // The digest in hex, or nothing if the file can't be read.
  std::string CheckDigest(FileDigest& digest, uint64_t size, GapList& gaps) const {
    const absl::StatusOr<SnapshotHash> computed = digest.Finish();
    std::array<char, kSnapshotHashSize> stored;
    const absl::StatusOr<size_t> got = file_->ReadAt(size, absl::MakeSpan(stored));
    if (!computed.ok() || !got.ok() || *got != stored.size()) {
      const absl::Status& why = computed.ok() ? got.status() : computed.status();
      gaps.Add({.what = absl::StrCat("the SHA-256 of ", file_->path()),
                .why = why.ok() ? "the file ends before it" : std::string(why.message()),
                .cure = "take a new snapshot"});
      return computed.ok() ? HexEncode(*computed) : std::string();
    }
    if (AsBytes(absl::string_view(stored.data(), stored.size())) != ByteView(*computed)) {
      gaps.Add({.what = absl::StrCat("the SHA-256 of ", file_->path()),
                .why = "it is not the one that the snapshot ends with: the file was changed or "
                       "damaged after it was made",
                .cure = "take a new snapshot, or fetch this one again"});
    }
    return HexEncode(*computed);
  }

  const std::unique_ptr<RandomAccessFile> file_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<EtcdSource>> OpenEtcdFiles(const std::string& path) {
  KEKD_ASSIGN_OR_RETURN(std::unique_ptr<RandomAccessFile> file, OpenRandomAccessFile(path));
  if (file->IsLocked()) return InUse(path);
  // Whether it is a database at all; its gaps are told when it is read.
  GapList gaps;
  KEKD_RETURN_IF_ERROR(BboltFile::Open(*file, file->size(), gaps).status());
  return std::make_unique<DatabaseFileSource>(std::move(file));
}

}  // namespace kekd
