// etcd's database: what is current in it, what was, and what is left of it.
#ifndef KEKD_CLUSTER_ETCD_FILE_DATABASE_H_
#define KEKD_CLUSTER_ETCD_FILE_DATABASE_H_

#include <cstdint>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "cluster/etcd_file/random_access_file.h"
#include "cluster/gap_list.h"
#include "cluster/stored_object.h"

namespace kekd {

struct DatabaseFacts {
  std::string version;            // of etcd's storage or, before 3.6, of the cluster; or empty
  int64_t revision = 0;           // of the newest change
  int64_t compacted = 0;          // history up to this revision is compacted
  uint64_t consistent_index = 0;  // the last entry of the log that is in the database
  uint64_t other_keys = 0;        // current keys outside of the range
};

// Visits the objects of the database that the first `size` bytes of `file` are: the newest revision
// of each key that is not deleted, as of `latest`; with history the older ones that are not
// compacted, as kOldRevision, and the remains in pages that are not in use and behind the content
// of those that are, as kFreeSpace. `on_bytes` hears how many bytes have been gone through.
//
// Memory: 20 to 40 bytes for each key that was ever in use and is not compacted (a keyed hash of
// it), and the largest page. Fails as BboltFile::Open and as `visit`.
absl::StatusOr<DatabaseFacts> ReadDatabase(const RandomAccessFile& file, uint64_t size,
                                           const ReadRange& range, Place latest, GapList& gaps,
                                           ObjectVisitor visit,
                                           absl::FunctionRef<void(uint64_t)> on_bytes);

}  // namespace kekd

#endif  // KEKD_CLUSTER_ETCD_FILE_DATABASE_H_
