// What etcd holds, whichever way it was read.
#ifndef KEKD_CLUSTER_STORED_OBJECT_H_
#define KEKD_CLUSTER_STORED_OBJECT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace kekd {

// Where a value was found.
enum class Place {
  kCurrent,      // what an API server reads under its key
  kPending,      // in the write-ahead log and not yet in the database: current after etcd's start
  kOldRevision,  // overwritten or deleted, and not compacted
  kFreeSpace,    // remains in pages of the file that nothing refers to
  kWal,          // in the write-ahead log, besides its place in the database
};

absl::string_view ToString(Place place);  // "current", "pending", "old revision", …
// Whether no API server reads what is found there any more.
bool IsPast(Place place);

// A value under its key. The views are valid during the call that hands it over.
struct StoredObject {
  absl::string_view key;
  absl::string_view value;
  int64_t mod_revision = 0;  // of etcd; 0 if it is not known
  Place place = Place::kCurrent;
  // False for remains of which the end is missing: `value` is what is left of its beginning.
  bool whole = true;
};

// A status that is not OK ends the reading and is returned by it.
using ObjectVisitor = absl::FunctionRef<absl::Status(const StoredObject&)>;

// Something that should have been read and was not: nothing may be called clean while there is one.
struct Gap {
  std::string what;      // "page 12 of /var/lib/etcd/member/snap/db"
  std::string why;       // "its content does not fit its header"
  std::string cure;      // what to do about it; may be empty
  bool damaged = false;  // what is there is not what was once written, rather than out of reach
  uint64_t count = 1;    // how many this one stands for
};

// What was read, and how it can be told from another.
struct SourceFacts {
  std::string name;  // path or endpoints
  std::string kind;  // "snapshot", "database file", "data folder", "live etcd"
  // SHA-256 of a snapshot, or the cluster id of a live etcd or a data folder, in hex; or empty.
  std::string identity;
  std::string version;      // of etcd, as far as it can be told; or empty
  int64_t revision = 0;     // of the newest object; 0 if unknown
  int64_t compacted = 0;    // history up to this revision is compacted; 0 if unknown
  uint64_t bytes = 0;       // read of files, or received
  uint64_t other_keys = 0;  // keys outside of the prefixes: counted, not visited
  bool history = false;     // old revisions and, of files, remains were visited too
  std::vector<Gap> gaps;    // at most kMaxGaps; the last then says how many more there are
  static constexpr size_t kMaxGaps = 100;
};

// Which keys, and how much of their past.
struct ReadRange {
  // Keys that begin with one of these are visited. kube-apiserver's --etcd-prefix and OpenShift's.
  std::vector<std::string> prefixes = {"/registry/", "/kubernetes.io/", "/openshift.io/"};
  bool history = false;
};

// Bytes read so far, and of how many (0 if that is not known).
using ReadProgress = absl::FunctionRef<void(uint64_t done, uint64_t total)>;

// EtcdSource is one etcd: a running one, its data folder or a snapshot of it. Not thread-safe.
class EtcdSource {
 public:
  virtual ~EtcdSource() = default;

  // Visits every object in the range once for each place it is found in, in no particular order,
  // with memory that does not depend on the size of the values. A page, record or segment that
  // can't be read is a gap in the facts, and the reading goes on. Fails only if nothing can be told
  // (no permission, not an etcd file, etcd went away: Unavailable) or if `visit` does.
  virtual absl::StatusOr<SourceFacts> Read(const ReadRange& range, ObjectVisitor visit,
                                           ReadProgress progress) = 0;
};

}  // namespace kekd

#endif  // KEKD_CLUSTER_STORED_OBJECT_H_
