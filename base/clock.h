// The time, as a seam for tests.
#ifndef KEKD_BASE_CLOCK_H_
#define KEKD_BASE_CLOCK_H_

#include "absl/time/time.h"

namespace kekd {

// Tells the time. Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual absl::Time Now() const = 0;

  // The system's clock; lives for ever.
  static const Clock& System();
};

}  // namespace kekd

#endif  // KEKD_BASE_CLOCK_H_
