#include "cluster/migration/rate_limiter.h"

#include <algorithm>

#include "base/monotonic.h"
#include "cluster/api_server/api_client.h"

namespace kekd {

bool RateLimiter::Wait(const std::stop_token& stop) {
  if (stop.stop_requested()) return false;
  if (spacing_ == absl::ZeroDuration()) return true;
  const absl::Time now = MonotonicNow();
  absl::Time turn;
  {
    const MutexLock lock(&mu_);
    turn = std::max(next_, now);
    next_ = turn + spacing_;
  }
  return turn <= now || PauseUnlessStopped(turn - now, stop);
}

}  // namespace kekd
