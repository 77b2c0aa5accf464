// How many objects to ask for at once.
#ifndef KEKD_CLUSTER_ETCD_CLIENT_PAGE_SIZER_H_
#define KEKD_CLUSTER_ETCD_CLIENT_PAGE_SIZER_H_

#include <cstddef>
#include <cstdint>

namespace kekd {

// PageSizer aims at pages of about 4 MiB by what the last one weighed: for each page etcd counts
// all that is left of the range, so that pages of 1 MiB cost it twice the work (bench/etcd_read).
// It begins small and grows step by step, because etcd makes a page in memory before it sends it
// and nobody knows how large the next objects are. Not thread-safe.
class PageSizer final {
 public:
  static constexpr uint64_t kTargetBytes = uint64_t{4} << 20;
  static constexpr int64_t kFirstLimit = 50;
  // An API server that starts lists whole resources at once: no page is more than that to etcd.
  static constexpr int64_t kMaxLimit = 4000;

  int64_t limit() const { return limit_; }
  // A page came.
  void Came(size_t objects, uint64_t bytes);
  // A page was too large to come. False if it was of one object: smaller there is none.
  bool Halve();

 private:
  int64_t limit_ = kFirstLimit;
};

}  // namespace kekd

#endif  // KEKD_CLUSTER_ETCD_CLIENT_PAGE_SIZER_H_
