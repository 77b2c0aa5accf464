// Keeps what a peer can cause from filling the disk.
#ifndef KEKD_BASE_LOG_THROTTLE_H_
#define KEKD_BASE_LOG_THROTTLE_H_

#include <chrono>
#include <cstdint>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "base/mutex.h"

namespace kekd {

// LogThrottle lets one event per interval through, the first one at once. Thread-safe.
class LogThrottle final {
 public:
  explicit LogThrottle(std::chrono::seconds interval = std::chrono::seconds(1))
      : interval_(interval) {}

  // If the event may be logged now: how many were not since the last one that was.
  std::optional<uint64_t> Admit() {
    MutexLock lock(&mu_);
    const auto now = std::chrono::steady_clock::now();
    if (now < next_) {
      ++suppressed_;
      return std::nullopt;
    }
    next_ = now + interval_;
    const uint64_t suppressed = suppressed_;
    suppressed_ = 0;
    return suppressed;
  }

 private:
  const std::chrono::seconds interval_;
  Mutex mu_;
  std::chrono::steady_clock::time_point next_ ABSL_GUARDED_BY(mu_);
  uint64_t suppressed_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace kekd

#endif  // KEKD_BASE_LOG_THROTTLE_H_
