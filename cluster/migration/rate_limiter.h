// So many a second.
#ifndef KEKD_CLUSTER_MIGRATION_RATE_LIMITER_H_
#define KEKD_CLUSTER_MIGRATION_RATE_LIMITER_H_

#include <stop_token>

#include "absl/time/time.h"
#include "base/mutex.h"

namespace kekd {

// RateLimiter hands out moments that are evenly spaced; what was not used is not saved up.
// Thread-safe.
class RateLimiter final {
 public:
  // 0: no limit.
  explicit RateLimiter(double per_second)
      : spacing_(per_second > 0 ? absl::Seconds(1 / per_second) : absl::ZeroDuration()) {}

  // Returns when it is this caller's turn; false if stop was asked for.
  bool Wait(const std::stop_token& stop);

 private:
  const absl::Duration spacing_;
  Mutex mu_;
  absl::Time next_ ABSL_GUARDED_BY(mu_) = absl::InfinitePast();
};

}  // namespace kekd

#endif  // KEKD_CLUSTER_MIGRATION_RATE_LIMITER_H_
