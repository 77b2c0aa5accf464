#include "cluster/gap_list.h"

#include "absl/strings/str_cat.h"

namespace kekd {

void GapList::Add(Gap gap) {
  ++count_;
  if (gaps_.size() < SourceFacts::kMaxGaps) gaps_.push_back(std::move(gap));
}

std::vector<Gap> GapList::Take() {
  if (count_ > gaps_.size()) {
    gaps_.back() = Gap{.what = absl::StrCat(count_ - gaps_.size() + 1, " more"),
                       .why = "only so many gaps are told one by one"};
  }
  count_ = 0;
  return std::exchange(gaps_, {});
}

}  // namespace kekd
