#include "kms/server/device_calls.h"

#include <pthread.h>

#include <algorithm>
#include <system_error>
#include <utility>

#include "absl/time/clock.h"
#include "kms/server/call_queue.h"

namespace kekd {
namespace {

// The newest call counts an eighth: a device that has recovered is believed within a few calls.
constexpr double kNewest = 1.0 / 8;

absl::Status Stopping() { return absl::UnavailableError("kekd is stopping"); }

double SecondsSince(std::chrono::steady_clock::time_point began) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
}

// What of `left` may pass until the answer is expected: the estimate is one.
absl::Duration Spare(absl::Duration left) {
  const absl::Duration margin =
      std::max(left / CallQueue::kMarginPart, absl::FromChrono(CallQueue::kLeastMargin));
  return std::max(left / 2, left - margin);
}

}  // namespace

DeviceCalls::~DeviceCalls() {
  Stop();
  std::vector<std::thread> threads;
  {
    MutexLock lock(&mu_);
    threads.swap(threads_);
  }
  for (std::thread& thread : threads) thread.join();
}

void DeviceCalls::Submit(const std::string& flight, const std::shared_ptr<DeviceWork>& work,
                         absl::Time deadline, const Answer& answer) {
  const absl::Duration left = deadline - absl::Now();
  absl::Status refusal;
  bool joined = false;
  {
    MutexLock lock(&mu_);
    const auto found = flight.empty() ? flights_.end() : flights_.find(flight);
    joined = found != flights_.end();
    if (stopped_) {
      refusal = Stopping();
    } else if (calls_ >= options_.most_calls ||
               !(joined ? WillEndLocked(*found->second, left) : HasTimeLocked(left))) {
      refusal = absl::ResourceExhaustedError(
          "the device that holds the key is too far behind to answer before the call's deadline; "
          "'kekctl status' tells how it does");
    } else if (joined) {
      found->second->waiters.push_back({deadline, answer});
    } else if (!HasThreadLocked()) {
      refusal = absl::ResourceExhaustedError("there is no thread for a call of the device");
    } else {
      AddLocked(flight, work, {deadline, answer});
    }
    if (refusal.ok()) {
      ++calls_;
    } else if (!stopped_) {
      refused_.fetch_add(1, std::memory_order_relaxed);
    }
  }
  if (!refusal.ok()) {
    answer(refusal, *work);
  } else if (!joined) {
    work_.NotifyOne();
  }
}

void DeviceCalls::AddLocked(const std::string& flight, const std::shared_ptr<DeviceWork>& work,
                            Waiter waiter) {
  const auto job = std::make_shared<Job>();
  job->flight = flight;
  job->work = work;
  job->waiters.push_back(std::move(waiter));
  if (!flight.empty()) flights_.emplace(flight, job);
  waiting_.push_back(job);
}

bool DeviceCalls::WillEndLocked(const Job& job, absl::Duration left) const {
  if (job.began == SteadyTime{}) return HasTimeLocked(left);
  // One that takes longer than usual takes, as far as anybody can tell, as long again.
  const double elapsed = SecondsSince(job.began);
  const double rest = elapsed < mean_seconds_ ? mean_seconds_ - elapsed : elapsed;
  return left > absl::ZeroDuration() && absl::Seconds(rest) <= Spare(left);
}

bool DeviceCalls::HasTimeLocked(absl::Duration left) const {
  if (waiting_.size() >= options_.most_waiting || left <= absl::ZeroDuration()) return false;
  if (waiting_.size() + running_.size() < options_.threads) return true;
  double each = mean_seconds_;
  if (running_.size() >= options_.threads) {
    // A call takes at least as long as the youngest of those that run: this is how a device that
    // has begun to hang is noticed before the first call comes back.
    double youngest = SecondsSince(running_.front()->began);
    for (const auto& job : running_) youngest = std::min(youngest, SecondsSince(job->began));
    each = std::max(each, youngest);
  }
  const double before = each * static_cast<double>(waiting_.size() + running_.size()) /
                        static_cast<double>(options_.threads);
  return absl::Seconds(before) <= Spare(left);
}

bool DeviceCalls::HasThreadLocked() {
  if (waiting_.size() < idle_ || threads_.size() >= options_.threads) return true;
  try {
    threads_.emplace_back([this] { RunJobs(); });
  } catch (const std::system_error&) {
    return !threads_.empty();
  }
  pthread_setname_np(threads_.back().native_handle(), "kekd-device");
  return true;
}

void DeviceCalls::RunJobs() {
  MutexLock lock(&mu_);
  for (;;) {
    while (waiting_.empty() && !stopped_) {
      ++idle_;
      work_.Wait(&mu_);
      --idle_;
    }
    if (stopped_) return;
    const std::shared_ptr<Job> job = std::move(waiting_.front());
    waiting_.pop_front();
    absl::Time deadline = absl::InfinitePast();
    for (const Waiter& waiter : job->waiters) deadline = std::max(deadline, waiter.deadline);
    if (deadline <= absl::Now()) {
      EndFlightLocked(job);
      AnswerLocked(job, std::exchange(job->waiters, {}),
                   absl::DeadlineExceededError("the device was not free before the deadline"));
      continue;
    }
    job->began = std::chrono::steady_clock::now();
    running_.push_back(job);
    mu_.Unlock();
    const absl::Status status = job->work->Run(deadline);
    mu_.Lock();
    mean_seconds_ += kNewest * (SecondsSince(job->began) - mean_seconds_);
    running_.erase(std::find(running_.begin(), running_.end(), job));
    std::vector<Waiter> done = std::exchange(job->waiters, {});
    if (absl::IsDeadlineExceeded(status) && !stopped_) {
      // It ran with an earlier deadline than that of who joined it since.
      const auto later = std::stable_partition(
          done.begin(), done.end(),
          [deadline](const Waiter& waiter) { return waiter.deadline <= deadline; });
      std::move(later, done.end(), std::back_inserter(job->waiters));
      done.erase(later, done.end());
    }
    if (job->waiters.empty()) {
      EndFlightLocked(job);
    } else {
      waiting_.push_front(job);  // this thread takes it up, if no other does before
    }
    AnswerLocked(job, done, status);
  }
}

void DeviceCalls::EndFlightLocked(const std::shared_ptr<Job>& job) {
  if (!job->flight.empty()) flights_.erase(job->flight);
}

void DeviceCalls::AnswerLocked(const std::shared_ptr<Job>& job, const std::vector<Waiter>& waiters,
                               const absl::Status& status) {
  ++answering_;
  calls_ -= waiters.size();
  mu_.Unlock();
  for (const Waiter& waiter : waiters) waiter.answer(status, *job->work);
  mu_.Lock();
  if (--answering_ == 0 && stopped_) answered_.NotifyAll();
}

void DeviceCalls::Stop() {
  MutexLock lock(&mu_);
  stopped_ = true;
  work_.NotifyAll();
  std::vector<std::shared_ptr<Job>> jobs(waiting_.begin(), waiting_.end());
  waiting_.clear();
  jobs.insert(jobs.end(), running_.begin(), running_.end());
  flights_.clear();
  for (const std::shared_ptr<Job>& job : jobs) {
    AnswerLocked(job, std::exchange(job->waiters, {}), Stopping());
  }
  while (answering_ > 0) answered_.Wait(&mu_);
}

}  // namespace kekd
