// Objects that nothing refers to any more, searched for where etcd left them.
#ifndef KEKD_CLUSTER_ETCD_FILE_REMAINS_H_
#define KEKD_CLUSTER_ETCD_FILE_REMAINS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "cluster/gap_list.h"
#include "cluster/etcd_file/random_access_file.h"
#include "cluster/etcd_file/read_buffer.h"
#include "cluster/stored_object.h"

namespace kekd {

// RemainsFinder looks for the beginning of an mvccpb.KeyValue or of an etcdserverpb.PutRequest
// whose key has one of the prefixes, and hands over as much of it as there is. A value of which not
// even the first byte is left is not reported. Not thread-safe.
class RemainsFinder final {
 public:
  // A value that is longer may be told as cut, however much of it is there.
  static constexpr size_t kMaxValue = 4 << 20;

  // `range` and whatever `visit` refers to outlive this. Finds are visited as of `place`.
  RemainsFinder(const ReadRange& range, Place place, ObjectVisitor visit)
      : prefixes_(range.prefixes), place_(place), visit_(visit) {}

  // In these bytes, which are together as they were written. Fails as `visit` does.
  absl::Status Search(absl::string_view bytes) const { return Search(bytes, bytes.size()); }

  // In [begin, end) of a file, with 2 * kMaxValue bytes of memory at most. What can't be read is a
  // gap. `on_bytes` hears how much has been searched.
  absl::Status SearchFile(const RandomAccessFile& file, uint64_t begin, uint64_t end, GapList& gaps,
                          absl::FunctionRef<void(uint64_t)> on_bytes);

 private:
  // What begins before `limit` and may end behind it.
  absl::Status Search(absl::string_view bytes, size_t limit) const;
  absl::Status VisitAt(absl::string_view remains, absl::string_view prefix) const;

  const std::vector<std::string>& prefixes_;
  const Place place_;
  const ObjectVisitor visit_;
  ReadBuffer buffer_;
};

}  // namespace kekd

#endif  // KEKD_CLUSTER_ETCD_FILE_REMAINS_H_
