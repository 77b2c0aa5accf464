// A wall clock that a test can set.
#ifndef KEKD_TESTS_HSM_WALL_CLOCK_H_
#define KEKD_TESTS_HSM_WALL_CLOCK_H_

#include "absl/time/time.h"

namespace kekd::testing {

// Steps the wall clock of this process, as NTP does, until it is destroyed. The executable's own
// clock_gettime(2) makes that so; the monotonic clock goes on as it does. absl::Now() may take
// some seconds to see the step, which is waited for.
class WallClockStep final {
 public:
  explicit WallClockStep(absl::Duration step);
  ~WallClockStep();
  WallClockStep(const WallClockStep&) = delete;
  WallClockStep& operator=(const WallClockStep&) = delete;
};

}  // namespace kekd::testing

#endif  // KEKD_TESTS_HSM_WALL_CLOCK_H_
