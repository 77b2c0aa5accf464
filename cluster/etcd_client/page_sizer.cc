#include "cluster/etcd_client/page_sizer.h"

#include <algorithm>

namespace kekd {

void PageSizer::Came(size_t objects, uint64_t bytes) {
  if (objects == 0) return;
  const uint64_t mean = std::max<uint64_t>(bytes / objects, 1);
  const auto fitting = static_cast<int64_t>(kTargetBytes / mean);
  limit_ = std::clamp<int64_t>(fitting, 1, std::min(limit_ * 4, kMaxLimit));
}

bool PageSizer::Halve() {
  if (limit_ == 1) return false;
  limit_ /= 2;
  return true;
}

}  // namespace kekd
