#include "cluster/migration/page_writer.h"

#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"

namespace kekd {

absl::Status PageWriter::Run(const std::stop_token& stop, absl::Time deadline,
                             const std::function<absl::Status(const State& state)>& look) {
  const std::stop_callback pass_on(stop, [this] { give_up_.request_stop(); });
  std::vector<std::jthread> workers;
  const size_t count = std::min(static_cast<size_t>(options_.concurrency), objects_.size());
  {
    const MutexLock lock(&mu_);
    working_ = static_cast<int>(count);
  }
  for (size_t i = 0; i < count; ++i) {
    workers.emplace_back([this, deadline] { Work(give_up_.get_token(), deadline); });
  }
  absl::Status looked;
  absl::Time next_look = absl::Now() + options_.progress_interval;
  while (true) {
    State state;
    {
      const MutexLock lock(&mu_);
      while (working_ > 0 && absl::Now() < next_look)
        changed_.WaitFor(&mu_, next_look - absl::Now());
      if (working_ == 0) break;
      state = StateLocked();
    }
    next_look = absl::Now() + options_.progress_interval;
    if (looked.ok()) looked = look(state);
    if (!looked.ok()) give_up_.request_stop();
  }
  workers.clear();
  const MutexLock lock(&mu_);
  if (!looked.ok()) failed_ = looked;
  if (failed_.ok() && stop.stop_requested()) failed_ = absl::CancelledError("stopped");
  if (looked.ok()) looked = look(StateLocked());
  return failed_.ok() ? looked : failed_;
}

void PageWriter::Work(const std::stop_token& stop, absl::Time deadline) {
  while (true) {
    size_t index;
    {
      const MutexLock lock(&mu_);
      if (next_ == objects_.size() || stop.stop_requested()) break;
      index = next_++;
    }
    std::string reason;
    const absl::StatusOr<Outcome> outcome = Write(objects_[index], stop, deadline, reason);
    Note(index, outcome, std::move(reason));
  }
  const MutexLock lock(&mu_);
  if (--working_ == 0) changed_.NotifyAll();
}

absl::StatusOr<PageWriter::Outcome> PageWriter::Write(const ListedObject& object,
                                                      const std::stop_token& stop,
                                                      absl::Time deadline, std::string& reason) {
  const HttpRequest request = TouchRequest(resource_, object);
  absl::Duration pause = options_.retries.first_pause;
  for (int attempt = 1;; ++attempt) {
    if (!limiter_.Wait(stop)) return absl::CancelledError("stopped");
    if (absl::Now() >= deadline) return absl::DeadlineExceededError("the time is up");
    KEKD_ASSIGN_OR_RETURN(const ApiAnswer answer,
                          client_.CallWithRetries(request, options_.retries, stop, deadline));
    const std::optional<absl::StatusOr<Outcome>> outcome = Judge(object, answer);
    reason = std::string(ToStatus(answer, "").message().substr(answer.ok() ? 0 : 2));
    if (outcome.has_value()) return *outcome;
    if (attempt >= options_.attempts) return Outcome::kFailed;
    if (!PauseUnlessStopped(pause, stop)) return absl::CancelledError("stopped");
    pause *= 2;
  }
}

std::optional<absl::StatusOr<PageWriter::Outcome>> PageWriter::Judge(
    const ListedObject& object, const ApiAnswer& answer) const {
  if (answer.ok()) {
    return ResourceVersionOf(answer.body) == object.resource_version ? Outcome::kUpToDate
                                                                     : Outcome::kWritten;
  }
  if (answer.IsTransient() || answer.IsDenial()) {
    return ToStatus(answer, absl::StrCat("writing ", resource_.name(), " anew"));
  }
  switch (answer.http_status) {
    case 409:
      // Whoever changed it wrote it as a new one is written. A webhook may refuse by the same code.
      return answer.reason == "Conflict" && answer.about == object.name ? Outcome::kByOthers
                                                                        : Outcome::kRefused;
    case 404:
      // Of the object, and not of the resource: a server that comes up may not have that yet.
      if (answer.about == object.name) return Outcome::kByOthers;
      return std::nullopt;
    default:
      if (answer.http_status >= 500) return std::nullopt;
      return Outcome::kRefused;
  }
}

void PageWriter::Note(size_t index, const absl::StatusOr<Outcome>& outcome, std::string reason) {
  const MutexLock lock(&mu_);
  if (!outcome.ok()) {
    // The first that ends it says why; that others were stopped is no reason.
    if (failed_.ok() && !absl::IsCancelled(outcome.status())) failed_ = outcome.status();
    give_up_.request_stop();
    return;
  }
  outcomes_[index] = *outcome;
  if (*outcome != Outcome::kFailed) {
    failures_in_a_row_ = 0;
    if (*outcome == Outcome::kRefused) reasons_[index] = std::move(reason);
    return;
  }
  if (++failures_in_a_row_ >= options_.failures_in_a_row && failed_.ok()) {
    failed_ = absl::UnavailableError(absl::StrCat("the API server fails every write of ",
                                                  resource_.name(), "; the last answer: ", reason));
    give_up_.request_stop();
  }
  reasons_[index] = std::move(reason);
}

PageWriter::State PageWriter::StateLocked() const {
  State state;
  bool gap = false;
  for (size_t i = 0; i < outcomes_.size(); ++i) {
    const Outcome outcome = outcomes_[i];
    // When the server was ill all along, what it failed is to be done by whoever goes on.
    const bool open = outcome == Outcome::kNone || (outcome == Outcome::kFailed && !failed_.ok());
    gap = gap || open;
    state.done += open ? 0 : 1;
    if (gap) continue;
    state.through = i + 1;
    switch (outcome) {
      case Outcome::kNone:
        break;
      case Outcome::kWritten:
        ++state.counts.written;
        break;
      case Outcome::kUpToDate:
        ++state.counts.up_to_date;
        break;
      case Outcome::kByOthers:
        ++state.counts.by_others;
        break;
      case Outcome::kRefused:
      case Outcome::kFailed:
        ++state.counts.refused;
        state.refusals.push_back(
            {resource_.name(), objects_[i].namespace_name, objects_[i].name, reasons_.at(i)});
        break;
    }
  }
  return state;
}

}  // namespace kekd
