// Time that nobody sets.
#ifndef KEKD_BASE_MONOTONIC_H_
#define KEKD_BASE_MONOTONIC_H_

#include <chrono>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace kekd {

// For deadlines and pauses in this process only: the time since the machine came up, as if that had
// been in 1970. A clock that is set back or forward must keep nothing waiting, and must not make
// what works look hung.
inline absl::Time MonotonicNow() {
  return absl::UnixEpoch() + absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch());
}

// What a deadline by the wall clock is by MonotonicNow() now; infinite stays infinite. To be called
// once, where the deadline comes in.
inline absl::Time MonotonicDeadline(absl::Time deadline) {
  return MonotonicNow() + (deadline - absl::Now());
}

}  // namespace kekd

#endif  // KEKD_BASE_MONOTONIC_H_
