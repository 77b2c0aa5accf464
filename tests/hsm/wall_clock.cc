#include "tests/hsm/wall_clock.h"

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>

namespace {

std::atomic<int64_t> step_seconds = 0;

}  // namespace

extern "C" int clock_gettime(clockid_t clock, timespec* time) noexcept {
  const int result = static_cast<int>(::syscall(SYS_clock_gettime, clock, time));
  if (result == 0 && clock == CLOCK_REALTIME) time->tv_sec += step_seconds;
  return result;
}

namespace kekd::testing {

WallClockStep::WallClockStep(absl::Duration step) { step_seconds = absl::ToInt64Seconds(step); }
WallClockStep::~WallClockStep() { step_seconds = 0; }

}  // namespace kekd::testing
