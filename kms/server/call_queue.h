// Which calls are answered, when there are more of them than there is time.
#ifndef KEKD_KMS_SERVER_CALL_QUEUE_H_
#define KEKD_KMS_SERVER_CALL_QUEUE_H_

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <vector>

namespace kekd {

// A call that waits for its turn.
class QueuedCall {
 public:
  virtual ~QueuedCall() = default;
  // Answers it. One of the two, once.
  virtual void Run() = 0;
  // Says no: it could not be answered in time.
  virtual void Refuse() = 0;
};

// CallQueue is the waiting room before a thread that answers calls inline. While there is time, a
// call is run as it comes. Else it waits in the lane of its method; the lanes take turns, so that a
// storm of one method does not hold up the others. What can't be run before its deadline, at the
// pace of the calls just before it, is refused as it comes. Not thread-safe but for refused().
class CallQueue final {
 public:
  using Time = std::chrono::steady_clock::time_point;
  using Duration = std::chrono::steady_clock::duration;
  // For so long calls are run before the thread looks again for what has come meanwhile.
  static constexpr std::chrono::milliseconds kTurn{2};
  // What is left of a deadline when the answer is expected: the estimate is one, and an answer has
  // to be read, too.
  static constexpr int kMarginPart = 8;
  static constexpr std::chrono::milliseconds kLeastMargin{150};
  // What a call is taken to cost before the first ones were measured.
  static constexpr std::chrono::microseconds kFirstGuess{50};

  // `behind` tells whether what comes now may have waited elsewhere before.
  CallQueue(std::function<Time()> now, std::function<bool(Time)> behind)
      : now_(std::move(now)), behind_(std::move(behind)) {}

  // Runs `call` now, keeps it for RunTurn, or refuses it. `deadline` is called if it has to wait.
  void Offer(size_t lane, QueuedCall* call, const std::function<Time()>& deadline);
  bool empty() const { return waiting_ == 0; }
  // Runs those that wait for one turn, and refuses those that have waited in vain.
  void RunTurn();
  void RunAll();
  // For how long what comes may go on coming before RunTurn is due.
  bool TurnIsOver() const { return now_() >= turn_end_; }
  void BeginTurn() { turn_end_ = now_() + kTurn; }
  // Since the start. Thread-safe.
  uint64_t refused() const { return refused_.load(std::memory_order_relaxed); }

 private:
  struct Waiting {
    QueuedCall* call;
    Time run_by;
  };
  void Refuse(QueuedCall* call);
  void RunNext();
  // Until a call that comes into the lane now has been run.
  Duration EstimatedWait(size_t lane) const;
  // Learns from the calls that were run since the last time.
  void Measure();
  // What was learnt before nobody waited counts less.
  void Forget(Duration idle);

  const std::function<Time()> now_;
  const std::function<bool(Time)> behind_;
  std::vector<std::deque<Waiting>> lanes_;
  size_t next_lane_ = 0;
  size_t waiting_ = 0;
  Time turn_end_{};
  // What calls took while others waited, everything that is done between two calls included; what
  // is long ago counts less and less.
  struct Pace {
    double seconds = kFirstCalls * std::chrono::duration<double>(kFirstGuess).count();
    double calls = kFirstCalls;
  };
  static constexpr double kFirstCalls = 1000;
  Pace pace_;
  Time measured_at_{};  // the beginning of what is measured, if calls wait
  size_t ran_ = 0;      // since then
  std::atomic<uint64_t> refused_{0};
};

}  // namespace kekd

#endif  // KEKD_KMS_SERVER_CALL_QUEUE_H_
