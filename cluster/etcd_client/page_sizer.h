// How many objects to ask for at once.
#ifndef KEKD_CLUSTER_ETCD_CLIENT_PAGE_SIZER_H_
#define KEKD_CLUSTER_ETCD_CLIENT_PAGE_SIZER_H_

#include <cstddef>
#include <cstdint>

namespace kekd {

// PageSizer aims at pages of about 1 MiB by what the last one weighed. It begins small and grows
// slowly, because etcd makes a page in memory before it sends it and nobody knows how large the
// next objects are. Not thread-safe.
class PageSizer final {
 public:
  static constexpr uint64_t kTargetBytes = uint64_t{1} << 20;
  static constexpr int64_t kFirstLimit = 50;
  // etcd counts the rest of the range for every page, so pages of many small objects must not be
  // too few objects; and this many of the largest that etcd takes (1.5 MiB) are no more in its
  // memory than a list of an API server's.
  static constexpr int64_t kMaxLimit = 2000;

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
