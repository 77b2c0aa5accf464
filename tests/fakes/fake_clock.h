// A clock that stands still.
#ifndef KEKD_TESTS_FAKES_FAKE_CLOCK_H_
#define KEKD_TESTS_FAKES_FAKE_CLOCK_H_

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/mutex.h"

namespace kekd::testing {

// Shows 2026-01-02 03:04:05.678 UTC until a test moves it. Thread-safe.
class FakeClock final : public Clock {
 public:
  FakeClock() = default;
  explicit FakeClock(absl::Time now) : now_(now) {}

  absl::Time Now() const override {
    MutexLock lock(&mu_);
    return now_;
  }
  void Set(absl::Time now) {
    MutexLock lock(&mu_);
    now_ = now;
  }
  void Advance(absl::Duration duration) {
    MutexLock lock(&mu_);
    now_ += duration;
  }

 private:
  mutable Mutex mu_;
  absl::Time now_ ABSL_GUARDED_BY(mu_) = absl::FromUnixMillis(1767323045678);
};

}  // namespace kekd::testing

#endif  // KEKD_TESTS_FAKES_FAKE_CLOCK_H_
