// etcd's write-ahead log: what was written lately, applied or not.
#ifndef KEKD_CLUSTER_ETCD_FILE_WAL_H_
#define KEKD_CLUSTER_ETCD_FILE_WAL_H_

#include <cstdint>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "cluster/etcd_file/random_access_file.h"
#include "cluster/gap_list.h"
#include "cluster/stored_object.h"

namespace kekd {

// What to visit of a segment.
struct WalScope {
  const ReadRange& range;
  // The last entry that is in the database: those behind it are pending.
  uint64_t consistent_index = 0;
  // Nothing was written behind this segment, so that a crash may have torn its last record.
  bool is_last = false;
};

// What the segments of a log tell together, in their order. One for all of them.
struct WalFacts {
  uint64_t covered = 0;     // entries up to this one are in a database that was read
  uint64_t cluster_id = 0;  // 0 if no segment tells it
  uint64_t first = 0;       // the index of the first entry; 0 before there was one
  uint64_t last = 0;        // of the entry that was read last
  uint64_t snapshot = 0;    // the last entry that a snapshot record stands for
  uint64_t commit = 0;      // the last entry that the cluster was known to have
};

// Visits the puts of one segment: of entries that are not in the database yet as kPending, with
// history those of all others as kWal. An entry that etcd will give up because a later one has its
// index, or because the others of the cluster never got it, is told as pending too. From a record
// that can't be read on there is a gap, and with history the rest is searched for remains. Entries
// that are missing before one are a gap. Adds what the segment tells to `facts`. Fails as `visit`
// does.
absl::Status ReadWalSegment(const RandomAccessFile& file, const WalScope& scope, GapList& gaps,
                            ObjectVisitor visit, absl::FunctionRef<void(uint64_t)> on_bytes,
                            WalFacts& facts);

// After the last segment: entries that the log tells of and does not have are a gap.
void NoteMissingEnd(const WalFacts& facts, const std::string& path, GapList& gaps);

}  // namespace kekd

#endif  // KEKD_CLUSTER_ETCD_FILE_WAL_H_
