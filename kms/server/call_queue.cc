#include "kms/server/call_queue.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace kekd {
namespace {

constexpr double kHalfLifeSeconds = 0.5;
// A longer span between two looks was a standstill (a process that was stopped, a machine that was
// saved), and tells nothing of what calls cost.
constexpr double kLongestSpanSeconds = 0.2;

}  // namespace

void CallQueue::Offer(size_t lane, QueuedCall* call, const std::function<Time()>& deadline) {
  const Time now = now_();
  if (waiting_ == 0) {
    const bool in_turn = now < turn_end_;
    if (in_turn && !behind_(now)) {
      call->Run();
      return;
    }
    // Nobody waits. But we may not have looked for others for a while, or this one may have waited
    // elsewhere: it goes through the queue, behind a look.
    if (!in_turn) turn_end_ = now + kTurn;
    Forget(now - measured_at_);
    measured_at_ = now;
    ran_ = 0;
  }
  if (lanes_.size() <= lane) lanes_.resize(lane + 1);
  const Duration left = deadline() - now;
  const Duration margin = std::max<Duration>(left / kMarginPart, kLeastMargin);
  const Duration usable = std::max(left / 2, left - margin);
  if (left < Duration::zero() || (waiting_ > 0 && EstimatedWait(lane) > usable)) {
    Refuse(call);
    return;
  }
  lanes_[lane].push_back({call, now + usable});
  ++waiting_;
}

CallQueue::Duration CallQueue::EstimatedWait(size_t lane) const {
  const size_t ahead = lanes_[lane].size() + 1;
  size_t calls = 0;
  for (const std::deque<Waiting>& one : lanes_) calls += std::min(one.size(), ahead);
  const double each = pace_.seconds / pace_.calls;
  return std::chrono::duration_cast<Duration>(
      std::chrono::duration<double>(each * static_cast<double>(calls + 1)));
}

void CallQueue::Refuse(QueuedCall* call) {
  refused_.fetch_add(1, std::memory_order_relaxed);
  call->Refuse();
}

void CallQueue::RunNext() {
  while (lanes_[next_lane_].empty()) next_lane_ = (next_lane_ + 1) % lanes_.size();
  std::deque<Waiting>& lane = lanes_[next_lane_];
  next_lane_ = (next_lane_ + 1) % lanes_.size();
  const Waiting next = lane.front();
  lane.pop_front();
  --waiting_;
  if (now_() > next.run_by) {
    Refuse(next.call);
  } else {
    ++ran_;
    next.call->Run();
  }
}

void CallQueue::RunTurn() {
  if (waiting_ == 0) return;  // nothing to learn either
  const Time end = now_() + kTurn;
  while (waiting_ > 0 && now_() < end) RunNext();
  Measure();
  turn_end_ = now_() + kTurn;
}

void CallQueue::RunAll() {
  while (waiting_ > 0) RunNext();
}

void CallQueue::Forget(Duration idle) {
  const double kept = std::exp2(-std::chrono::duration<double>(idle).count() / kHalfLifeSeconds);
  const Pace first;
  pace_ = {.seconds = pace_.seconds * kept + first.seconds * (1 - kept),
           .calls = pace_.calls * kept + first.calls * (1 - kept)};
}

void CallQueue::Measure() {
  const Time now = now_();
  const double seconds = std::chrono::duration<double>(now - measured_at_).count();
  const double kept = std::exp2(-seconds / kHalfLifeSeconds);
  pace_ = {.seconds = pace_.seconds * kept + std::min(seconds, kLongestSpanSeconds),
           .calls = std::max(1.0, pace_.calls * kept + static_cast<double>(ran_))};
  measured_at_ = now;
  ran_ = 0;
}

}  // namespace kekd
