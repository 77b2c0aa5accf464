#include "cluster/gap_list.h"

#include "absl/strings/str_cat.h"

namespace kekd {

void GapList::Add(Gap gap) {
  ++count_;
  if (gaps_.size() < SourceFacts::kMaxGaps) {
    gaps_.push_back(std::move(gap));
  } else {
    left_out_damage_ = left_out_damage_ || gap.damaged;
  }
}

std::vector<Gap> GapList::Take() {
  if (count_ > gaps_.size()) {
    const bool damaged = left_out_damage_ || gaps_.back().damaged;
    const uint64_t more = count_ - gaps_.size() + 1;
    gaps_.back() = Gap{.what = absl::StrCat(more, " more"),
                       .why = "only so many gaps are told one by one",
                       .cure = "",
                       .damaged = damaged,
                       .count = more};
  }
  count_ = 0;
  left_out_damage_ = false;
  return std::exchange(gaps_, {});
}

}  // namespace kekd
