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
#include "cluster/etcd_file/random_access_file.h"
#include "cluster/etcd_file/read_buffer.h"
#include "cluster/gap_list.h"
#include "cluster/stored_object.h"

namespace kekd {

// RemainsFinder looks for the beginning of an mvccpb.KeyValue or of an etcdserverpb.PutRequest
// whose key has one of the prefixes, and hands over what there is of it. A value of which not even
// the first byte is left is not reported. It also looks for what Kubernetes stores as protobuf in
// clear, since a page that was used again may have taken the key from before it: whatever key that
// had, it is handed over with an empty one. What has lost the value's beginning too can't be told
// from other bytes, and is not found.
//
// The work grows with the bytes, whatever they are: what lies in a value that is whole and is what
// its beginning says is not looked at again, and what overlaps any other is handed over as cut.
// Not thread-safe.
class RemainsFinder final {
 public:
  // A value that is longer may be told as cut, however much of it is there.
  static constexpr size_t kMaxValue = 4 << 20;
  // No more than this is handed over of a value that is cut: what it is shows at its beginning.
  static constexpr size_t kMaxBeginning = 1024;

  // `range` and whatever `visit` refers to outlive this. Finds are visited as of `place`.
  RemainsFinder(const ReadRange& range, Place place, ObjectVisitor visit)
      : prefixes_(range.prefixes), place_(place), visit_(visit) {}

  // In these bytes, which are together as they were written. Fails as `visit` does.
  absl::Status Search(absl::string_view bytes) const {
    Handed handed;
    return Search(bytes, bytes.size(), handed);
  }

  // In [begin, end) of a file, with 2 * kMaxValue bytes of memory at most. What can't be read is a
  // gap. `on_bytes` hears how much has been searched.
  absl::Status SearchFile(const RandomAccessFile& file, uint64_t begin, uint64_t end, GapList& gaps,
                          absl::FunctionRef<void(uint64_t)> on_bytes);

 private:
  // How far of the bytes values were handed over: the ends of them.
  struct Handed {
    size_t sound = 0;  // of one that is whole and what its beginning says
    size_t whole = 0;  // of one that is whole
    size_t begun = 0;  // of the beginning of one, which tells what it is
  };

  // What begins before `limit` and may end behind it.
  absl::Status Search(absl::string_view bytes, size_t limit, Handed& handed) const;
  absl::Status VisitKeyed(absl::string_view bytes, size_t at, absl::string_view prefix,
                          Handed& handed) const;
  absl::Status VisitBare(absl::string_view bytes, size_t at, Handed& handed) const;
  absl::Status HandOver(absl::string_view bytes, StoredObject found, Handed& handed) const;

  const std::vector<std::string>& prefixes_;
  const Place place_;
  const ObjectVisitor visit_;
  ReadBuffer buffer_;
};

}  // namespace kekd

#endif  // KEKD_CLUSTER_ETCD_FILE_REMAINS_H_
