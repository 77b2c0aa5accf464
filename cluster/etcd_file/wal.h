// etcd's write-ahead log: what was written lately, applied or not.
#ifndef KEKD_CLUSTER_ETCD_FILE_WAL_H_
#define KEKD_CLUSTER_ETCD_FILE_WAL_H_

#include <cstdint>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "cluster/gap_list.h"
#include "cluster/etcd_file/random_access_file.h"
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

// Visits the puts of one segment: of entries that are not in the database yet as kPending, with
// history those of all others as kWal. An entry that etcd will give up because a later one has its
// index, or because the others of the cluster never got it, is told as pending too. From a record
// that can't be read on there is a gap, and with history the rest is searched for remains. Sets
// `cluster_id` if the segment tells it. Fails as `visit` does.
absl::Status ReadWalSegment(const RandomAccessFile& file, const WalScope& scope, GapList& gaps,
                            ObjectVisitor visit, absl::FunctionRef<void(uint64_t)> on_bytes,
                            uint64_t& cluster_id);

}  // namespace kekd

#endif  // KEKD_CLUSTER_ETCD_FILE_WAL_H_
