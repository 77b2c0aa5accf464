// Every object of a range, as it was at one revision.
#ifndef KEKD_CLUSTER_ETCD_CLIENT_RANGE_SCAN_H_
#define KEKD_CLUSTER_ETCD_CLIENT_RANGE_SCAN_H_

#include <cstdint>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cluster/etcd_client/etcd_client.h"
#include "cluster/gap_list.h"

namespace kekd {

struct RangeScanResult {
  uint64_t counted = 0;  // keys, as etcd counted them when the first page came
  uint64_t visited = 0;
  uint64_t bytes = 0;  // of their keys and values
};

using KeyValueVisitor = absl::FunctionRef<absl::Status(const EtcdKeyValue&)>;

// Visits the objects in the order of their keys and reads them page by page, each at `revision`,
// whichever endpoint answers. A value too large to be read, and fewer or more keys than were
// counted, are gaps. `came` is told after each page what has been visited so far.
// Aborted if etcd compacted the revision; DataLoss if the answers can't be of one revision (keys
// out of order, outside of the range or newer than it); else the errors of EtcdClient::Range and
// `visit`.
absl::StatusOr<RangeScanResult> ScanRange(EtcdClient& client, const KeyRange& range,
                                          int64_t revision, GapList& gaps, KeyValueVisitor visit,
                                          absl::FunctionRef<void(const RangeScanResult&)> came);

}  // namespace kekd

#endif  // KEKD_CLUSTER_ETCD_CLIENT_RANGE_SCAN_H_
