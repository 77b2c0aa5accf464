#include "cluster/etcd_file/wal.h"

#include <algorithm>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "base/wire_reader.h"
#include "cluster/etcd_file/key_value.h"
#include "cluster/etcd_file/raft_request.h"
#include "cluster/etcd_file/read_buffer.h"
#include "cluster/etcd_file/remains.h"
#include "cluster/etcd_file/wal_reader.h"

namespace kekd {
namespace {

constexpr char kCure[] =
    "if this member does not start, replace it; take a snapshot of a healthy member and read that";
constexpr size_t kChunk = 1 << 20;

// Whether there is anything but zeros in [begin, end). What can't be read is no zero.
bool HasContent(const RandomAccessFile& file, uint64_t begin, uint64_t end) {
  ReadBuffer buffer;
  while (begin < end) {
    const absl::Span<char> chunk =
        buffer.Resize(static_cast<size_t>(std::min<uint64_t>(kChunk, end - begin)));
    const absl::StatusOr<size_t> got = file.ReadAt(begin, chunk);
    if (!got.ok() || *got < chunk.size()) return true;
    if (std::any_of(chunk.begin(), chunk.end(), [](char byte) { return byte != 0; })) return true;
    begin += chunk.size();
  }
  return false;
}

uint64_t NumberField(absl::string_view message, uint32_t number) {
  WireReader reader(message);
  while (const std::optional<WireField> field = reader.Next()) {
    if (field->number == number) return field->number_value;
  }
  return 0;
}

class SegmentReading {
 public:
  SegmentReading(const RandomAccessFile& file, const WalScope& scope, GapList& gaps,
                 ObjectVisitor visit)
      : file_(file), scope_(scope), gaps_(gaps), visit_(visit) {}

  absl::Status VisitRecord(uint64_t offset, const WalRecord& record, WalFacts& facts) {
    switch (record.type) {
      case WalRecord::kEntry:
        return VisitEntry(offset, record.data, facts);
      case WalRecord::kMetadata:
        if (facts.cluster_id == 0) facts.cluster_id = NumberField(record.data, 2);
        break;
      case WalRecord::kState:
        facts.commit = std::max(facts.commit, NumberField(record.data, 3));
        break;
      case WalRecord::kSnapshot:
        facts.snapshot = std::max(facts.snapshot, NumberField(record.data, 1));
        break;
      default:
        break;
    }
    return absl::OkStatus();
  }

  // The records ended at `offset`, though the file may not.
  absl::Status EndAt(const WalReader& reader, const absl::Status& why) {
    const uint64_t offset = reader.offset();
    const uint64_t end = why.ok() ? offset : std::min(reader.failed_end(), file_.size());
    const bool goes_on = HasContent(file_, end, file_.size());
    const bool is_crash = !why.ok() && scope_.is_last && reader.is_torn();
    if (goes_on || (!why.ok() && !is_crash)) {
      AddGap(offset, why.ok() ? "it was never written, and others follow" : why.message());
    }
    if (!scope_.range.history || (why.ok() && !goes_on)) return absl::OkStatus();
    RemainsFinder remains(scope_.range, Place::kWal, visit_);
    return remains.SearchFile(file_, offset, file_.size(), gaps_, [](uint64_t) {});
  }

 private:
  void AddGap(uint64_t offset, absl::string_view why) {
    gaps_.Add({.what = absl::StrCat("the record at ", offset, " of ", file_.path()),
               .why = std::string(why),
               .cure = kCure,
               .damaged = true});
  }

  // An index that is lower than the one before: raft gave up what has it and what follows.
  void NoteMissingBefore(uint64_t offset, uint64_t index, const WalFacts& facts) {
    // What precedes the log is in the database; within it, what a leader sent as a whole is.
    const uint64_t before = facts.first == 0
                                ? facts.covered
                                : std::max(facts.last, std::min(facts.snapshot, facts.covered));
    if (index <= before || index - before == 1) return;
    gaps_.Add({.what = absl::StrCat("entries ", before + 1, " to ", index - 1,
                                    " before the record at ", offset, " of ", file_.path()),
               .why = "they are missing in the write-ahead log",
               .cure = kCure,
               .damaged = true});
  }

  absl::Status VisitEntry(uint64_t offset, absl::string_view data, WalFacts& facts) {
    const std::optional<RaftEntry> entry = ParseRaftEntry(data);
    if (!entry) {
      AddGap(offset, "it has no entry");
      return absl::OkStatus();
    }
    NoteMissingBefore(offset, entry->index, facts);
    if (facts.first == 0) facts.first = entry->index;
    facts.last = entry->index;
    const bool is_pending = entry->index > scope_.consistent_index;
    if (!entry->is_normal || (!is_pending && !scope_.range.history)) return absl::OkStatus();
    // So that a visitor's own error is not taken for one of the entry.
    absl::Status visited;
    const absl::Status read =
        ForEachPut(entry->data, [&](absl::string_view key, absl::string_view value) {
          if (!HasPrefix(key, scope_.range.prefixes)) return absl::OkStatus();
          visited = visit_(
              {.key = key, .value = value, .place = is_pending ? Place::kPending : Place::kWal});
          return visited;
        });
    KEKD_RETURN_IF_ERROR(visited);
    if (!read.ok()) AddGap(offset, absl::StrCat("entry ", entry->index, ": ", read.message()));
    return absl::OkStatus();
  }

  const RandomAccessFile& file_;
  const WalScope& scope_;
  GapList& gaps_;
  const ObjectVisitor visit_;
};

}  // namespace

absl::Status ReadWalSegment(const RandomAccessFile& file, const WalScope& scope, GapList& gaps,
                            ObjectVisitor visit, absl::FunctionRef<void(uint64_t)> on_bytes,
                            WalFacts& facts) {
  SegmentReading reading(file, scope, gaps, visit);
  WalReader reader(file);
  uint64_t offset = 0;
  for (;;) {
    const absl::StatusOr<std::optional<WalRecord>> record = reader.Next();
    if (!record.ok() || !*record) {
      KEKD_RETURN_IF_ERROR(reading.EndAt(reader, record.status()));
      break;
    }
    KEKD_RETURN_IF_ERROR(reading.VisitRecord(offset, **record, facts));
    on_bytes(reader.offset() - offset);
    offset = reader.offset();
  }
  on_bytes(file.size() - offset);
  return absl::OkStatus();
}

void NoteMissingEnd(const WalFacts& facts, const std::string& path, GapList& gaps) {
  const uint64_t last = std::max(facts.last, facts.covered);
  if (facts.commit <= last) return;
  gaps.Add({.what = absl::StrCat("entries ", last + 1, " to ", facts.commit, " of ", path),
            .why = "the cluster had agreed on them, and the write-ahead log does not have them",
            .cure = kCure,
            .damaged = true});
}

}  // namespace kekd
