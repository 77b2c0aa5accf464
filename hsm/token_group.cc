#include "hsm/token_group.h"

#include <algorithm>
#include <array>
#include <set>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/at_once.h"
#include "base/log.h"
#include "base/monotonic.h"
#include "hsm/token/token_uri.h"

namespace kekd {
namespace {

// A call that had no time to speak of says nothing of the token.
constexpr absl::Duration kLeastEvidence = absl::Milliseconds(50);
constexpr int kEvidenceTimes = 4;

enum class NameStyle { kLabel, kUri, kUriWithModule };

std::string NameOf(const WorkerConfig& config, NameStyle style) {
  if (style == NameStyle::kLabel) return config.token.label;
  TokenUri uri;
  uri.token = config.token;
  if (style == NameStyle::kUriWithModule) uri.module_path = config.module_path;
  return uri.ToString();
}

// The shortest style that tells them all apart.
std::vector<std::string> NamesOf(const std::vector<std::shared_ptr<TokenClient>>& tokens) {
  std::vector<std::string> names;
  for (const NameStyle style : {NameStyle::kLabel, NameStyle::kUri, NameStyle::kUriWithModule}) {
    names.clear();
    for (const auto& token : tokens) names.push_back(NameOf(token->options().config, style));
    const std::set<std::string> distinct(names.begin(), names.end());
    if (distinct.size() == names.size() && distinct.count("") == 0) break;
  }
  return names;
}

// Of several errors the one whose code says most of what to do: what may pass by itself first, for
// as long as it has not, nothing else is certain.
absl::Status Gravest(const std::vector<absl::Status>& errors, const std::string& all) {
  for (const absl::StatusCode code :
       {absl::StatusCode::kUnavailable, absl::StatusCode::kDeadlineExceeded,
        absl::StatusCode::kInternal, absl::StatusCode::kFailedPrecondition,
        absl::StatusCode::kNotFound}) {
    for (const absl::Status& error : errors) {
      if (error.code() == code) return absl::Status(code, all);
    }
  }
  return absl::Status(errors.front().code(), all);
}

absl::Status ProbeOne(TokenClient& client, const std::optional<KeyReference>& key) {
  const absl::Time deadline = absl::Now() + TokenGroup::kProbeTimeout;
  if (key.has_value()) {
    absl::Status probed = client.Probe(*key, deadline);
    // What is wrong with a key is not what makes a token be down.
    if (TokenGroup::Judge(probed).worth != TokenGroup::Worth::kNotHere) return probed;
  }
  return client.Probe(deadline);
}

KeyPlace::State StateOf(TokenGroup::KeyStanding standing) {
  switch (standing) {
    case TokenGroup::KeyStanding::kMissing:
      return KeyPlace::State::kLacksKey;
    case TokenGroup::KeyStanding::kAnother:
      return KeyPlace::State::kOtherKey;
    case TokenGroup::KeyStanding::kGood:
    case TokenGroup::KeyStanding::kUnfit:
      break;
  }
  return KeyPlace::State::kUnfit;
}

}  // namespace

TokenGroup::TokenGroup(std::vector<std::shared_ptr<TokenClient>> tokens) {
  const std::vector<std::string> names = NamesOf(tokens);
  for (size_t i = 0; i < tokens.size(); ++i) {
    auto member = std::make_unique<Member>();
    member->client = std::move(tokens[i]);
    member->name = names[i];
    members_.push_back(std::move(member));
    MutexLock lock(&mu_);
    records_[i].since = absl::Now();
  }
}

TokenGroup::~TokenGroup() {
  std::thread prober;
  {
    MutexLock lock(&mu_);
    ending_ = true;
    prober = std::move(prober_);
  }
  changed_.NotifyAll();
  if (prober.joinable()) prober.join();
}

TokenGroup::Answer TokenGroup::Judge(absl::Status status) {
  Worth worth = Worth::kFailed;
  if (status.ok() || absl::IsInvalidArgument(status)) {
    worth = Worth::kAnswer;
  } else if (absl::IsNotFound(status) || absl::IsFailedPrecondition(status)) {
    worth = Worth::kNotHere;
  }
  return {std::move(status), worth};
}

absl::Duration TokenGroup::ShareOf(const Member& member, absl::Duration left) const {
  const absl::Duration usual = absl::Nanoseconds(member.usual_ns.load(std::memory_order_relaxed));
  const absl::Duration patience = usual == absl::ZeroDuration()
                                      ? kFirstPatience
                                      : std::max(kLeastPatience, kUsualTimes * usual);
  return std::min(left / 2, patience);
}

absl::Status TokenGroup::Run(const KeyReference& key, absl::Time deadline,
                             absl::FunctionRef<bool(size_t)> avoided,
                             absl::FunctionRef<Answer(size_t, absl::Time)> ask) {
  if (size() == 1) return ask(0, deadline).status;
  struct Turn {
    size_t index;
    int rank;  // 0: works, 1: is down, 2: has not the key
  };
  std::array<Turn, kMostTokens> turns = {};
  for (size_t i = 0; i < size(); ++i) {
    turns[i] = {i, avoided(i) ? 2 : members_[i]->down.load(std::memory_order_relaxed) ? 1 : 0};
  }
  const auto end = turns.begin() + static_cast<ptrdiff_t>(size());
  std::stable_sort(turns.begin(), end,
                   [](const Turn& a, const Turn& b) { return a.rank < b.rank; });
  std::vector<absl::Status> errors;
  std::string all;
  for (size_t n = 0; n < size(); ++n) {
    Member& member = *members_[turns[n].index];
    const absl::Time begun = absl::Now();
    absl::Time until = deadline;
    if (n + 1 < size()) {
      const absl::Duration left = deadline - begun;
      // The last that works is left only when there is hardly time for anything else: those after
      // it are not expected to do better.
      const bool others_work = turns[n + 1].rank == 0;
      until = begun + (others_work || turns[n].rank != 0 ? ShareOf(member, left) : left / 4 * 3);
    }
    Answer answer = ask(turns[n].index, until);
    Note(turns[n].index, key, answer, absl::Now() - begun);
    if (answer.worth == Worth::kAnswer) return answer.status;
    absl::StrAppend(&all, all.empty() ? "" : "; ", "token ", member.name, ": ",
                    answer.status.message());
    errors.push_back(std::move(answer.status));
    if (absl::Now() >= deadline) break;
  }
  return Gravest(errors, all);
}

void TokenGroup::Note(size_t index, const KeyReference& key, const Answer& answer,
                      absl::Duration took) {
  Member& member = *members_[index];
  if (answer.worth == Worth::kAnswer) return MarkAnswered(index, took);
  if (answer.worth == Worth::kNotHere) {
    if (member.heard.load(std::memory_order_relaxed)) return;
    MutexLock lock(&mu_);
    return MarkHeardLocked(index);
  }
  const absl::Duration usual = absl::Nanoseconds(member.usual_ns.load(std::memory_order_relaxed));
  if (absl::IsDeadlineExceeded(answer.status) &&
      took < std::max(kLeastEvidence, kEvidenceTimes * usual)) {
    return;
  }
  MarkDown(index, key, answer.status);
}

void TokenGroup::MarkAnswered(size_t index, absl::Duration took) {
  Member& member = *members_[index];
  // Several at once may lose one of their values: it is a mean all the same.
  const int64_t before = member.usual_ns.load(std::memory_order_relaxed);
  const int64_t now = std::max<int64_t>(1, absl::ToInt64Nanoseconds(took));
  member.usual_ns.store(before == 0 ? now : std::max<int64_t>(1, before + (now - before) / 8),
                        std::memory_order_relaxed);
  if (member.heard.load(std::memory_order_relaxed) &&
      !member.down.load(std::memory_order_relaxed)) {
    return;
  }
  MutexLock lock(&mu_);
  MarkHeardLocked(index);
  if (member.down) MarkUpLocked(index);
}

void TokenGroup::MarkHeardLocked(size_t index) {
  if (members_[index]->heard) return;
  members_[index]->heard = true;
  records_[index].since = absl::Now();
}

void TokenGroup::MarkUpLocked(size_t index) {
  Member& member = *members_[index];
  member.down = false;
  records_[index].since = absl::Now();
  records_[index].up_since = MonotonicNow();
  changed_.NotifyAll();
  if (const std::optional<uint64_t> suppressed = member.up_log.Admit()) {
    LogInfo("token works again", {{"token", member.name}, {"not_logged_before", *suppressed}});
  }
}

void TokenGroup::MarkDown(size_t index, const KeyReference& key, const absl::Status& status) {
  Member& member = *members_[index];
  MutexLock lock(&mu_);
  Record& record = records_[index];
  record.last_error = std::string(status.message());
  record.failed_key = key;
  const absl::Time now = MonotonicNow();
  record.failed_at = now;
  member.heard = true;
  if (!member.down) {
    member.down = true;
    record.since = absl::Now();
    record.pause = now - record.up_since < kSettleTime
                       ? std::min(2 * record.pause, kLongestProbeInterval)
                       : kProbeInterval;
    record.next_probe = now + record.pause;
    if (const std::optional<uint64_t> suppressed = member.down_log.Admit()) {
      LogWarning("token does not work; calls go to another one",
                 {{"token", member.name},
                  {"error", status.message()},
                  {"not_logged_before", *suppressed}});
    }
  }
  EnsureProberLocked();
}

void TokenGroup::EnsureProberLocked() {
  if (probing_ || ending_) return;
  // It has nothing left to do that takes a lock.
  if (prober_.joinable()) prober_.join();
  try {
    prober_ = std::thread([this] { RunProber(); });
    probing_ = true;
  } catch (const std::system_error& error) {
    // The next failure tries again; meanwhile the token is asked when no other answers.
    LogWarning("no thread to look after a token that is down", {{"error", error.what()}});
  }
}

void TokenGroup::RunProber() {
  struct Due {
    size_t index;
    std::optional<KeyReference> key;
    absl::Status status;
  };
  MutexLock lock(&mu_);
  while (!ending_) {
    const absl::Time now = MonotonicNow();
    absl::Time next = absl::InfiniteFuture();
    std::vector<Due> due;
    for (size_t i = 0; i < size(); ++i) {
      if (!members_[i]->down) continue;
      next = std::min(next, records_[i].next_probe);
      if (records_[i].next_probe <= now) due.push_back({i, records_[i].failed_key, {}});
    }
    if (next == absl::InfiniteFuture()) break;
    if (due.empty()) {
      changed_.WaitFor(&mu_, next - now);
      continue;
    }
    mu_.Unlock();
    ForEachAtOnce(due.size(), kMostTokens, [&](size_t i) {
      due[i].status = ProbeOne(*members_[due[i].index]->client, due[i].key);
    });
    mu_.Lock();
    for (const Due& each : due) {
      if (!members_[each.index]->down) continue;  // a call has found so
      if (each.status.ok()) {
        MarkUpLocked(each.index);
        continue;
      }
      records_[each.index].last_error = std::string(each.status.message());
      records_[each.index].failed_at = MonotonicNow();
      records_[each.index].next_probe = records_[each.index].failed_at + records_[each.index].pause;
    }
  }
  probing_ = false;
}

absl::Status TokenGroup::RecentFailure(size_t index) const {
  if (!members_[index]->down.load(std::memory_order_relaxed)) return absl::OkStatus();
  MutexLock lock(&mu_);
  const Record& record = records_[index];
  if (!members_[index]->down || MonotonicNow() - record.failed_at > kRecent) {
    return absl::OkStatus();
  }
  return absl::UnavailableError(absl::StrCat("it is down: ", record.last_error));
}

void TokenGroup::SetKeyStanding(size_t index, const void* owner, KeyStanding standing,
                                const std::string& problem) {
  MutexLock lock(&mu_);
  std::map<const void*, KeyProblem>& problems = records_[index].key_problems;
  const auto found = problems.find(owner);
  if (standing == KeyStanding::kGood) {
    if (found == problems.end()) return;
    LogInfo("token is used for a key again",
            {{"token", name(index)}, {"problem_was", found->second.text}});
    problems.erase(found);
    return;
  }
  if (found != problems.end() && found->second.text == problem) return;
  problems[owner] = {standing, problem, absl::Now()};
  // A key that no token has is opened again and again.
  if (const std::optional<uint64_t> suppressed = members_[index]->key_log.Admit()) {
    LogWarning("token is not used for a key",
               {{"token", name(index)}, {"problem", problem}, {"not_logged_before", *suppressed}});
  }
}

void TokenGroup::ForgetOwner(const void* owner) {
  MutexLock lock(&mu_);
  for (size_t i = 0; i < size(); ++i) records_[i].key_problems.erase(owner);
}

std::vector<KeyPlace> TokenGroup::Places() const {
  std::vector<KeyPlace> places;
  if (size() == 1) return places;
  MutexLock lock(&mu_);
  for (size_t i = 0; i < size(); ++i) {
    const Record& record = records_[i];
    KeyPlace& place = places.emplace_back();
    place.name = name(i);
    place.since = record.since;
    place.last_error = record.last_error;
    if (members_[i]->down) {
      place.state = KeyPlace::State::kDown;
      place.problem = record.last_error;
      continue;
    }
    if (!members_[i]->heard) place.state = KeyPlace::State::kNotAsked;
    // The gravest of what is wrong with its keys gives the state; all of it is told.
    for (const auto& [owner, problem] : record.key_problems) {
      const KeyPlace::State state = StateOf(problem.standing);
      if (place.problem.empty() || state > place.state) {
        place.state = state;
        place.since = problem.since;
      }
      absl::StrAppend(&place.problem, place.problem.empty() ? "" : "; ", problem.text);
    }
  }
  return places;
}

}  // namespace kekd
