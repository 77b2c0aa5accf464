// Calls that wait for a device, away from the thread that serves gRPC.
#ifndef KEKD_KMS_SERVER_DEVICE_CALLS_H_
#define KEKD_KMS_SERVER_DEVICE_CALLS_H_

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/mutex.h"

namespace kekd {

// What is asked of a device, for one call or for several equal ones. It holds what it needs and
// what it found out, and goes when the last of these calls has its answer.
class DeviceWork {
 public:
  virtual ~DeviceWork() = default;
  // Asks. On a thread of DeviceCalls, by one thread at a time; again if the first time ended with
  // DeadlineExceeded and there is a call with time left.
  virtual absl::Status Run(absl::Time deadline) = 0;
};

// DeviceCalls runs work that may block on a few threads of its own, started with the first of it.
// What can't be done before its deadline is refused at once: a client is better off with a no now
// than with silence. Thread-safe.
class DeviceCalls final {
 public:
  // Answers one call. On any thread, also within Submit; must not call DeviceCalls. The work is the
  // one that ran, which is another than the submitted one if the call joined.
  using Answer = std::function<void(const absl::Status& status, const DeviceWork& work)>;

  struct Options {
    size_t threads = 4;
    // Works that wait, and calls that wait for one, at most, whatever is estimated.
    size_t most_waiting = 1024;
    size_t most_calls = 8192;
  };
  // What a device is taken to need before it was measured.
  static constexpr std::chrono::milliseconds kFirstGuess{1};

  DeviceCalls() : DeviceCalls(Options{}) {}
  explicit DeviceCalls(Options options) : options_(options) {}
  ~DeviceCalls();  // Stop, then waits for the device calls that run: they end by their deadlines
  DeviceCalls(const DeviceCalls&) = delete;
  DeviceCalls& operator=(const DeviceCalls&) = delete;

  // Has `work` run and `answer` called, once: with what Run returned, with ResourceExhausted at
  // once if the device is too far behind for `deadline`, with DeadlineExceeded if `deadline` passed
  // before its turn, with Unavailable after Stop. Calls of the same `flight` (empty: of none) that
  // come while one of them waits or runs join it instead.
  void Submit(const std::string& flight, const std::shared_ptr<DeviceWork>& work,
              absl::Time deadline, const Answer& answer);

  // Answers everybody who still waits, for a device call that runs, too, with Unavailable. After
  // it has returned no Answer is called any more but within Submit.
  void Stop();

  // Since the start.
  uint64_t refused() const { return refused_.load(std::memory_order_relaxed); }

 private:
  using SteadyTime = std::chrono::steady_clock::time_point;
  struct Waiter {
    absl::Time deadline;
    Answer answer;
  };
  struct Job {
    std::string flight;
    std::shared_ptr<DeviceWork> work;
    std::vector<Waiter> waiters;
    SteadyTime began = {};  // running, if it is set
  };

  void RunJobs();
  // Whether a new work is likely to be done within `left`.
  bool HasTimeLocked(absl::Duration left) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Whether this one is.
  bool WillEndLocked(const Job& job, absl::Duration left) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Makes the job for a new work.
  void AddLocked(const std::string& flight, const std::shared_ptr<DeviceWork>& work, Waiter waiter)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Starts a thread for one more job if need be. False if there is none and the system gives none.
  bool HasThreadLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Takes the job off the books and answers its waiters, without the lock.
  void AnswerLocked(const std::shared_ptr<Job>& job, const std::vector<Waiter>& waiters,
                    const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void EndFlightLocked(const std::shared_ptr<Job>& job) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Options options_;
  std::atomic<uint64_t> refused_{0};
  Mutex mu_;
  CondVar work_;      // there is some, or stopped_
  CondVar answered_;  // nobody answers any more, and stopped_
  std::deque<std::shared_ptr<Job>> waiting_ ABSL_GUARDED_BY(mu_);
  std::vector<std::shared_ptr<Job>> running_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, std::shared_ptr<Job>> flights_ ABSL_GUARDED_BY(mu_);  // both, by flight
  double mean_seconds_ ABSL_GUARDED_BY(mu_) = std::chrono::duration<double>(kFirstGuess).count();
  size_t calls_ ABSL_GUARDED_BY(mu_) = 0;      // that wait for an answer
  size_t idle_ ABSL_GUARDED_BY(mu_) = 0;       // threads without work
  size_t answering_ ABSL_GUARDED_BY(mu_) = 0;  // threads within an Answer
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<std::thread> threads_ ABSL_GUARDED_BY(mu_);
};

}  // namespace kekd

#endif  // KEKD_KMS_SERVER_DEVICE_CALLS_H_
