// Whether a thread still comes round.
#ifndef KEKD_KMS_SERVER_THREAD_PULSE_H_
#define KEKD_KMS_SERVER_THREAD_PULSE_H_

#include <atomic>
#include <chrono>

#include "absl/functional/function_ref.h"
#include "absl/time/time.h"

namespace kekd {

// ThreadPulse is a question to a thread that runs a loop, and the thread's answer to it. One thread
// asks, the other answers.
class ThreadPulse final {
 public:
  // How long the open question has waited for its answer. Without one it is zero, and `ask` is
  // called, which makes the other thread call Answer().
  absl::Duration Check(absl::FunctionRef<void()> ask) {
    const auto now = std::chrono::steady_clock::now();
    if (!answered_.exchange(false)) return absl::FromChrono(now - asked_at_);
    asked_at_ = now;
    ask();
    return absl::ZeroDuration();
  }
  void Answer() { answered_.store(true); }

 private:
  std::atomic<bool> answered_{true};
  std::chrono::steady_clock::time_point asked_at_;  // of the thread that asks
};

}  // namespace kekd

#endif  // KEKD_KMS_SERVER_THREAD_PULSE_H_
