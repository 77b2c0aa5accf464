#include "hsm/token_client.h"

#include <algorithm>
#include <optional>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/monotonic.h"
#include "base/status_macros.h"

namespace kekd {
namespace {

WorkerRequest RequestFor(WorkerVerb verb) {
  WorkerRequest request;
  request.verb = verb;
  return request;
}

WorkerRequest RequestFor(WorkerVerb verb, const KeyReference& key) {
  WorkerRequest request = RequestFor(verb);
  request.key = key;
  return request;
}

}  // namespace

TokenClient::~TokenClient() {
  std::thread starter;
  {
    MutexLock lock(&mu_);
    ending_ = true;
    // A start under way ends with its worker.
    if (worker_ != nullptr) worker_->Kill("kekd ended it");
    starter = std::move(starter_);
  }
  if (starter.joinable()) starter.join();
}

void TokenClient::SpaceLocked() {
  next_start_ = MonotonicNow() + pause_;
  pause_ = std::clamp(2 * pause_, kFirstPause, kLongestPause);
}

// The worker has ended.
void TokenClient::BuryLocked() {
  stats_.last_end = worker_->end();
  stats_.pid = 0;
  if (const std::optional<uint64_t> suppressed = end_log_.Admit()) {
    LogWarning(
        "HSM worker ended",
        {{"pid", worker_->pid()}, {"why", stats_.last_end}, {"not_logged_before", *suppressed}});
  }
  if (useful_) {
    pause_ = absl::ZeroDuration();
    next_start_ = absl::InfinitePast();
  }
  SpaceLocked();
  last_start_failed_ = false;
  dead_.push_back(std::move(worker_));
  worker_ = nullptr;
}

void TokenClient::BeginStartLocked() {
  // It has nothing left to do that takes a lock.
  if (starter_.joinable()) starter_.join();
  try {
    starter_ = std::thread([this] { RunStart(); });
    starting_ = true;
  } catch (const std::system_error& error) {
    last_start_failed_ = true;
    ++failed_starts_;
    start_failure_ =
        absl::UnavailableError(absl::StrCat("no thread to start the HSM worker: ", error.what()));
    SpaceLocked();
  }
}

void TokenClient::RunStart() {
  std::vector<std::shared_ptr<WorkerProcess>> dead;
  absl::StatusOr<std::shared_ptr<WorkerProcess>> worker = WorkerProcess::Spawn(options_);
  absl::Status started = worker.status();
  if (worker.ok()) {
    {
      MutexLock lock(&mu_);
      worker_ = *worker;
      ++starts_;
      if (ending_) worker_->Kill("kekd ended it");
    }
    started = (*worker)->Configure(options_, MonotonicNow() + options_.start_timeout);
  }
  {
    MutexLock lock(&mu_);
    dead.swap(dead_);
  }
  // One that the kernel can't end yet takes its time; the next one needs nothing of it.
  dead.clear();
  if (started.ok()) {
    if (const std::optional<uint64_t> suppressed = start_log_.Admit()) {
      const absl::Status& status = (*worker)->start_status();
      LogInfo("HSM worker started", {{"pid", (*worker)->pid()},
                                     {"token", (*worker)->token().token.label},
                                     {"status", status.ok() ? "ok" : status.message()},
                                     {"not_logged_before", *suppressed}});
    }
  }
  MutexLock lock(&mu_);
  last_start_failed_ = !started.ok();
  useful_ = false;
  if (started.ok()) {
    stats_.pid = worker_->pid();
  } else {
    if (const std::optional<uint64_t> suppressed = failed_start_log_.Admit()) {
      LogWarning("HSM worker did not start",
                 {{"why", started.message()}, {"not_logged_before", *suppressed}});
    }
    if (worker_ != nullptr) {
      stats_.last_end = worker_->end();
      dead_.push_back(std::move(worker_));
      worker_ = nullptr;
    }
    start_failure_ = absl::UnavailableError(started.message());
    ++failed_starts_;
    SpaceLocked();
  }
  starting_ = false;
  changed_.NotifyAll();
}

absl::StatusOr<std::shared_ptr<WorkerProcess>> TokenClient::Worker(absl::Time deadline) {
  MutexLock lock(&mu_);
  const uint64_t failed_before = failed_starts_;
  while (true) {
    if (!starting_ && worker_ != nullptr) {
      if (worker_->alive()) return worker_;
      BuryLocked();
    }
    // Whoever has waited for a start shares its failure.
    if (failed_starts_ != failed_before) return start_failure_;
    const absl::Time now = MonotonicNow();
    if (!starting_ && now < next_start_ && last_start_failed_) return start_failure_;
    if (!starting_ && now >= next_start_) {
      BeginStartLocked();
      continue;
    }
    if (now >= deadline) {
      return absl::DeadlineExceededError(starting_ ? "the HSM worker is still starting"
                                                   : "the HSM worker is not back yet");
    }
    absl::Duration wait = std::min(deadline - now, absl::Hours(1));
    if (!starting_) wait = std::min(wait, next_start_ - now);
    changed_.WaitFor(&mu_, wait);
  }
}

void TokenClient::MarkUseful(const WorkerProcess& worker) {
  MutexLock lock(&mu_);
  if (worker_.get() != &worker) return;
  useful_ = true;
  pause_ = absl::ZeroDuration();
}

absl::StatusOr<WorkerResponse> TokenClient::Call(WorkerRequest& request, absl::Time wall_deadline) {
  const absl::Time deadline = MonotonicDeadline(wall_deadline);
  // What Generate has begun may be on the token.
  const int attempts = request.verb == WorkerVerb::kGenerate ? 1 : 2;
  absl::Status broken;
  for (int attempt = 0; attempt < attempts; ++attempt) {
    absl::StatusOr<std::shared_ptr<WorkerProcess>> worker = Worker(deadline);
    if (!worker.ok()) {
      if (broken.ok()) return worker.status();
      return absl::Status(worker.status().code(),
                          absl::StrCat(broken.message(), "; then: ", worker.status().message()));
    }
    absl::StatusOr<WorkerResponse> response = (*worker)->Call(request, deadline);
    if (response.ok() && !response->restart) {
      MarkUseful(**worker);
      return response;
    }
    if (response.ok()) {
      (*worker)->Kill(absl::StrCat("it asked for another: ", response->status.message()));
      if (response->status.ok()) return response;
      broken = absl::UnavailableError(response->status.message());
      continue;
    }
    if (!absl::IsUnavailable(response.status())) return response.status();
    broken = response.status();
  }
  return broken;
}

absl::StatusOr<WorkerResponse> TokenClient::Ask(WorkerRequest request, absl::Time deadline) {
  KEKD_ASSIGN_OR_RETURN(WorkerResponse response, Call(request, deadline));
  if (!response.status.ok()) return response.status;
  return response;
}

absl::StatusOr<std::string> TokenClient::Encrypt(const KeyReference& key,
                                                 const SecretBytes& plaintext,
                                                 ByteView associated_data, absl::Time deadline) {
  WorkerRequest request = RequestFor(WorkerVerb::kEncrypt, key);
  request.associated_data = std::string(AsText(associated_data));
  request.secret = plaintext.Clone();
  KEKD_ASSIGN_OR_RETURN(WorkerResponse response, Ask(std::move(request), deadline));
  return std::move(response.bytes);
}

absl::StatusOr<SecretBytes> TokenClient::Decrypt(const KeyReference& key, ByteView sealed,
                                                 ByteView associated_data, absl::Time deadline) {
  WorkerRequest request = RequestFor(WorkerVerb::kDecrypt, key);
  request.associated_data = std::string(AsText(associated_data));
  request.bytes = std::string(AsText(sealed));
  KEKD_ASSIGN_OR_RETURN(WorkerResponse response, Ask(std::move(request), deadline));
  return std::move(response.secret);
}

absl::StatusOr<KeyReference> TokenClient::AskForKey(WorkerVerb verb, const NewKey& key,
                                                    absl::Time deadline) {
  WorkerRequest request = RequestFor(verb);
  request.new_key = key;
  KEKD_ASSIGN_OR_RETURN(WorkerResponse response, Ask(std::move(request), deadline));
  return std::move(response.reference);
}

absl::StatusOr<KeyReference> TokenClient::Generate(const NewKey& key, absl::Time deadline) {
  return AskForKey(WorkerVerb::kGenerate, key, deadline);
}

absl::StatusOr<KeyReference> TokenClient::Adopt(const NewKey& key, absl::Time deadline) {
  return AskForKey(WorkerVerb::kAdopt, key, deadline);
}

absl::Status TokenClient::Destroy(const KeyReference& key, absl::Time deadline) {
  return Ask(RequestFor(WorkerVerb::kDestroy, key), deadline).status();
}

absl::StatusOr<std::vector<KeyDescription>> TokenClient::List(absl::Time deadline) {
  KEKD_ASSIGN_OR_RETURN(WorkerResponse response, Ask(RequestFor(WorkerVerb::kList), deadline));
  return std::move(response.keys);
}

absl::StatusOr<std::vector<KeyDescription>> TokenClient::Attest(const KeyReference& key,
                                                                absl::Time deadline) {
  KEKD_ASSIGN_OR_RETURN(WorkerResponse response,
                        Ask(RequestFor(WorkerVerb::kAttest, key), deadline));
  return std::move(response.keys);
}

absl::StatusOr<TokenDescription> TokenClient::Describe(absl::Time deadline) {
  WorkerRequest request = RequestFor(WorkerVerb::kDescribe);
  KEKD_ASSIGN_OR_RETURN(WorkerResponse response, Call(request, deadline));
  if (!response.status.ok() && response.token.pin_problem.empty()) return response.status;
  return std::move(response.token);
}

absl::Status TokenClient::Probe(absl::Time deadline) {
  return Ask(RequestFor(WorkerVerb::kProbe), deadline).status();
}

absl::Status TokenClient::Probe(const KeyReference& key, absl::Time deadline) {
  return Ask(RequestFor(WorkerVerb::kProbe, key), deadline).status();
}

absl::StatusOr<std::vector<Measurement>> TokenClient::Measure(const KeyReference& key,
                                                              uint32_t count, absl::Time deadline) {
  WorkerRequest request = RequestFor(WorkerVerb::kMeasure, key);
  request.count = count;
  KEKD_ASSIGN_OR_RETURN(WorkerResponse response, Ask(std::move(request), deadline));
  return std::move(response.measurements);
}

absl::StatusOr<std::vector<MechanismTrial>> TokenClient::Try(absl::Time deadline) {
  KEKD_ASSIGN_OR_RETURN(WorkerResponse response, Ask(RequestFor(WorkerVerb::kTry), deadline));
  return std::move(response.trials);
}

TokenSelector TokenClient::Found() const {
  MutexLock lock(&mu_);
  if (starting_ || worker_ == nullptr) return {};
  return worker_->token().token;
}

TokenClient::Stats TokenClient::GetStats() const {
  MutexLock lock(&mu_);
  Stats stats = stats_;
  stats.starts = starts_;
  return stats;
}

}  // namespace kekd
