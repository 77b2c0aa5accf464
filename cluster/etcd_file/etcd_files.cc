#include "cluster/etcd_file/etcd_files.h"

#include <algorithm>
#include <array>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/file_system.h"
#include "base/hex.h"
#include "base/status_macros.h"
#include "cluster/etcd_file/bbolt_file.h"
#include "cluster/etcd_file/data_folder.h"
#include "cluster/etcd_file/database.h"
#include "cluster/etcd_file/file_digest.h"
#include "cluster/etcd_file/random_access_file.h"
#include "cluster/etcd_file/remains.h"
#include "cluster/etcd_file/wal.h"
#include "cluster/gap_list.h"

namespace kekd {
namespace {

absl::Status InUse(const std::string& path) {
  return absl::FailedPreconditionError(
      absl::StrCat(path,
                   " is in use by a running etcd: read from its endpoints or from a snapshot "
                   "(etcdctl snapshot save FILE), or stop that etcd first"));
}

// No lock is held while a file is read, so that an etcd can start: what it then does is noticed.
void NoteChange(const RandomAccessFile& file, GapList& gaps) {
  if (!file.HasChanged() && !file.IsLocked()) return;
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
                         .bytes = is_snapshot ? file_->size() : done,
                         .other_keys = read.other_keys,
                         .history = range.history};
    if (digest) facts.identity = CheckDigest(*digest, size, gaps);
    if (!is_snapshot) {
      gaps.Add({.what = absl::StrCat("the end of ", file_->path()),
                .why = "it has no hash, so it may be cut or changed, and what etcd's write-ahead "
                       "log has beyond it is not seen",
                .cure = "take a snapshot with 'etcdctl snapshot save', or read the data folder"});
    }
    NoteChange(*file_, gaps);
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
                .cure = "take a new snapshot, or fetch this one again",
                .damaged = true});
    }
    return HexEncode(*computed);
  }

  const std::unique_ptr<RandomAccessFile> file_;
};

// The database and the write-ahead log of a member that does not run.
class DataFolderSource final : public EtcdSource {
 public:
  DataFolderSource(std::string path, std::unique_ptr<RandomAccessFile> database)
      : path_(std::move(path)), database_(std::move(database)) {}

  absl::StatusOr<SourceFacts> Read(const ReadRange& range, ObjectVisitor visit,
                                   ReadProgress progress) override {
    Reading reading(range, visit, progress);
    KEKD_ASSIGN_OR_RETURN(const DataFolder folder, FindDataFolder(path_, reading.gaps));
    Files files = OpenAll(folder, reading);
    KEKD_ASSIGN_OR_RETURN(const DatabaseFacts read,
                          reading.ReadDatabaseFile(*database_, Place::kCurrent));
    WalFacts log = {.covered = read.consistent_index};
    for (const auto& [file, index] : files.left_overs) {
      // etcd takes it over when it starts if it is ahead of its own.
      const bool is_pending = index > read.consistent_index;
      if (!is_pending && !range.history) continue;
      const absl::Status status =
          reading.ReadDatabaseFile(*file, is_pending ? Place::kPending : Place::kOldRevision)
              .status();
      if (!status.ok()) {
        KEKD_RETURN_IF_ERROR(reading.Tolerate(*file, status));
      } else {
        log.covered = std::max(log.covered, index);
      }
    }
    for (size_t i = 0; i < files.segments.size(); ++i) {
      KEKD_RETURN_IF_ERROR(ReadWalSegment(
          *files.segments[i],
          {.range = range,
           .consistent_index = read.consistent_index,
           .is_last = i + 1 == files.segments.size()},
          reading.gaps, reading.visit(), [&](uint64_t bytes) { reading.Advance(bytes); }, log));
      NoteChange(*files.segments[i], reading.gaps);
    }
    NoteMissingEnd(log, path_, reading.gaps);
    if (range.history) {
      for (const auto& file : files.allocated) {
        RemainsFinder remains(range, Place::kWal, reading.visit());
        KEKD_RETURN_IF_ERROR(remains.SearchFile(*file, 0, file->size(), reading.gaps,
                                                [&](uint64_t bytes) { reading.Advance(bytes); }));
      }
    }
    SourceFacts facts = {.name = path_,
                         .kind = "data folder",
                         .version = read.version,
                         .revision = read.revision,
                         .compacted = read.compacted,
                         .bytes = reading.done,
                         .other_keys = read.other_keys,
                         .history = range.history,
                         .gaps = reading.gaps.Take()};
    if (log.cluster_id != 0) facts.identity = absl::StrFormat("%016x", log.cluster_id);
    progress(reading.total, reading.total);
    return facts;
  }

 private:
  struct Files {
    std::vector<std::pair<std::unique_ptr<RandomAccessFile>, uint64_t>> left_overs;
    std::vector<std::unique_ptr<RandomAccessFile>> segments;
    std::vector<std::unique_ptr<RandomAccessFile>> allocated;
  };

  // What all parts of one reading have in common.
  struct Reading {
    Reading(const ReadRange& of, ObjectVisitor to, ReadProgress told)
        : range(of), visitor(to), progress(told) {}

    // The visitor, with its failure remembered: one of a file's own is no end.
    absl::Status Visit(const StoredObject& object) { return visit_status = visitor(object); }
    ObjectVisitor visit() { return visiting; }
    void Advance(uint64_t bytes) {
      done += bytes;
      progress(std::min(done, total), total);
    }
    absl::StatusOr<DatabaseFacts> ReadDatabaseFile(const RandomAccessFile& file, Place latest) {
      absl::StatusOr<DatabaseFacts> facts =
          ReadDatabase(file, file.size(), range, latest, gaps, visit(),
                       [this](uint64_t bytes) { Advance(bytes); });
      NoteChange(file, gaps);
      return facts;
    }
    absl::Status Tolerate(const RandomAccessFile& file, const absl::Status& status) {
      KEKD_RETURN_IF_ERROR(visit_status);
      gaps.Add({.what = file.path(), .why = std::string(status.message())});
      return absl::OkStatus();
    }

    const ReadRange& range;
    const ObjectVisitor visitor;
    const ReadProgress progress;
    std::function<absl::Status(const StoredObject&)> visiting = [this](const StoredObject& object) {
      return Visit(object);
    };
    absl::Status visit_status;
    GapList gaps;
    uint64_t done = 0;
    uint64_t total = 0;
  };

  // A file of the log or a left-over that can't be opened is a gap.
  Files OpenAll(const DataFolder& folder, Reading& reading) const {
    Files files;
    reading.total = database_->size();
    const auto open = [&](const std::string& path) -> std::unique_ptr<RandomAccessFile> {
      absl::StatusOr<std::unique_ptr<RandomAccessFile>> file = OpenRandomAccessFile(path);
      if (!file.ok()) {
        reading.gaps.Add({.what = path, .why = std::string(file.status().message())});
        return nullptr;
      }
      reading.total += (*file)->size();
      return *std::move(file);
    };
    for (const LeftOver& left_over : folder.left_overs) {
      if (auto file = open(left_over.path)) {
        files.left_overs.emplace_back(std::move(file), left_over.index);
      }
    }
    for (const std::string& path : folder.segments) {
      if (auto file = open(path)) files.segments.push_back(std::move(file));
    }
    for (const std::string& path : folder.allocated) {
      if (auto file = open(path)) files.allocated.push_back(std::move(file));
    }
    return files;
  }

  const std::string path_;
  const std::unique_ptr<RandomAccessFile> database_;
};

// The database of a folder, or the file itself.
absl::StatusOr<std::string> DatabasePath(const std::string& path, bool is_folder) {
  if (!is_folder) return path;
  GapList gaps;  // told when it is read
  KEKD_ASSIGN_OR_RETURN(DataFolder folder, FindDataFolder(path, gaps));
  return std::move(folder.database);
}

}  // namespace

absl::StatusOr<std::unique_ptr<EtcdSource>> OpenEtcdFiles(const std::string& path) {
  const absl::StatusOr<FileInfo> info = FileSystem::System().GetInfo(path);
  const bool is_folder = info.ok() && info->type == FileType::kDirectory;
  KEKD_ASSIGN_OR_RETURN(const std::string database, DatabasePath(path, is_folder));
  KEKD_ASSIGN_OR_RETURN(std::unique_ptr<RandomAccessFile> file, OpenRandomAccessFile(database));
  if (file->IsLocked()) return InUse(path);
  // Whether it is a database at all; its gaps are told when it is read.
  GapList gaps;
  KEKD_RETURN_IF_ERROR(BboltFile::Open(*file, file->size(), gaps).status());
  if (is_folder) return std::make_unique<DataFolderSource>(path, std::move(file));
  return std::make_unique<DatabaseFileSource>(std::move(file));
}

}  // namespace kekd
