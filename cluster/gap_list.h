// The gaps of one reading.
#ifndef KEKD_CLUSTER_GAP_LIST_H_
#define KEKD_CLUSTER_GAP_LIST_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "cluster/stored_object.h"

namespace kekd {

// Keeps the first gaps and counts the others, so that what is damaged all over does not fill the
// memory. Not thread-safe.
class GapList final {
 public:
  void Add(Gap gap);
  uint64_t count() const { return count_; }
  // At most SourceFacts::kMaxGaps; if there were more, the last says how many. Empties the list.
  std::vector<Gap> Take();

 private:
  std::vector<Gap> gaps_;
  uint64_t count_ = 0;
  bool left_out_damage_ = false;
};

}  // namespace kekd

#endif  // KEKD_CLUSTER_GAP_LIST_H_
