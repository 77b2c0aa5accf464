#include "tests/hsm/wall_clock.h"

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>

#include "absl/time/clock.h"

namespace {

std::atomic<int64_t> step_seconds = 0;

}  // namespace

extern "C" int clock_gettime(clockid_t clock, timespec* time) noexcept {
  const int result = static_cast<int>(::syscall(SYS_clock_gettime, clock, time));
  if (result == 0 && clock == CLOCK_REALTIME) time->tv_sec += step_seconds;
  return result;
}

namespace kekd::testing {

namespace {

// absl::Now() may count processor cycles and look at the clock every few seconds only.
void StepTo(int64_t seconds) {
  step_seconds = seconds;
  timespec time = {};
  absl::Duration difference;
  do {
    if (::clock_gettime(CLOCK_REALTIME, &time) != 0) std::abort();
    difference = absl::TimeFromTimespec(time) - absl::Now();
  } while (absl::AbsDuration(difference) > absl::Minutes(1));
}

}  // namespace

WallClockStep::WallClockStep(absl::Duration step) { StepTo(absl::ToInt64Seconds(step)); }
WallClockStep::~WallClockStep() { StepTo(0); }

}  // namespace kekd::testing
