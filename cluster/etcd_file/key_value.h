// What etcd's key bucket holds: revisions, and under each an mvccpb.KeyValue.
#ifndef KEKD_CLUSTER_ETCD_FILE_KEY_VALUE_H_
#define KEKD_CLUSTER_ETCD_FILE_KEY_VALUE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace kekd {

// A key of the bucket (etcd's server/storage/mvcc/revision.go): 8 bytes, '_', 8 bytes, and a 't'
// for a deletion; numbers big-endian, so that the order of the keys is that of the revisions.
struct Revision {
  int64_t main = 0;
  int64_t sub = 0;  // the number of the change within one transaction
  bool tombstone = false;
};

std::optional<Revision> ParseRevision(absl::string_view key);

// The fields of an mvccpb.KeyValue (etcd's api/mvccpb/kv.proto) that matter here, as views of it.
struct KeyValue {
  absl::string_view key;
  absl::string_view value;
  int64_t mod_revision = 0;
  bool has_value = false;
};

// None if `message` is no KeyValue or has no key.
std::optional<KeyValue> ParseKeyValue(absl::string_view message);

bool HasPrefix(absl::string_view key, const std::vector<std::string>& prefixes);

}  // namespace kekd

#endif  // KEKD_CLUSTER_ETCD_FILE_KEY_VALUE_H_
