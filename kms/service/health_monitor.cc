#include "kms/service/health_monitor.h"

#include <algorithm>
#include <random>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/at_once.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "keystore/canary.h"

namespace kekd {
namespace {

constexpr size_t kMaxReasonBytes = 200;

// The beginning of a text with "(path)" for each absolute path, in one line.
std::string WithoutPaths(absl::string_view text) {
  std::string short_text;
  for (absl::string_view word : absl::StrSplit(text, absl::ByAnyChar(" \n\t"), absl::SkipEmpty())) {
    const size_t path = word.find_first_not_of("'\"(");
    const bool is_path =
        path != absl::string_view::npos && word[path] == '/' && path + 1 < word.size();
    const absl::string_view shown = is_path ? "(path)" : word;
    if (short_text.size() + shown.size() > kMaxReasonBytes) return short_text + " …";
    absl::StrAppend(&short_text, short_text.empty() ? "" : " ", shown);
  }
  return short_text;
}

// For people and the API server's readyz: what, not why (the log has that), unless somebody has to
// act. A backend's message has no secret in it; the paths in it are nobody's business there.
std::string Problem(const KeyVersion& version, bool primary, const absl::Status& status) {
  std::string problem = absl::StrCat(primary ? "the primary, " : "", "key version ", version.number,
                                     " (backend ", version.backend, "), does not decrypt");
  if (absl::IsFailedPrecondition(status)) {
    absl::StrAppend(&problem, ": ", WithoutPaths(status.message()));
  }
  return problem;
}

}  // namespace

HealthMonitor::HealthMonitor(KeyringWriter& writer, KeyringHealth& health, const Clock& clock,
                             std::function<void()> also)
    : writer_(writer), health_(health), clock_(clock), also_(std::move(also)) {
  CheckRound();
}

HealthMonitor::~HealthMonitor() {
  {
    MutexLock lock(&mu_);
    stop_ = true;
  }
  changed_.NotifyAll();
  if (thread_.joinable()) thread_.join();
}

void HealthMonitor::Start() {
  thread_ = std::thread([this] { Run(); });
}

void HealthMonitor::Nudge(uint32_t version) {
  MutexLock lock(&mu_);
  if (nudged_.insert(version).second) changed_.NotifyAll();
}

void HealthMonitor::Run() {
  // Jitter, so that the daemons of a control plane don't ask a shared token all at once.
  std::minstd_rand generator(std::random_device{}());
  std::uniform_real_distribution<double> factor(0.8, 1.2);
  ProveStandbys();  // of the first round
  while (true) {
    if (also_ != nullptr) also_();
    // Not by the wall clock, which may be set back for hours.
    const SteadyTime next =
        std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(kInterval * factor(generator));
    Kind kind = Kind::kQuick;
    while (kind == Kind::kQuick) {
      if (!AwaitNext(next, kind)) return;
      if (kind == Kind::kQuick) QuickCheck();
    }
    Check();
  }
}

bool HealthMonitor::AwaitNext(SteadyTime next_round, Kind& kind) {
  MutexLock lock(&mu_);
  while (!stop_) {
    SteadyTime next = next_round;
    if (any_fails_) next = std::min(next, checked_at_ + absl::ToChronoNanoseconds(kQuickInterval));
    if (!nudged_.empty()) {
      next = std::min(next, checked_at_ + absl::ToChronoNanoseconds(kLeastQuickInterval));
    }
    const SteadyTime now = std::chrono::steady_clock::now();
    if (now >= next) {
      kind = now >= next_round ? Kind::kRound : Kind::kQuick;
      return true;
    }
    changed_.WaitFor(&mu_, absl::FromChrono(next - now));
  }
  return false;
}

void HealthMonitor::Check() {
  CheckRound();
  ProveStandbys();
}

void HealthMonitor::CheckRound() {
  MutexLock lock(&check_mu_);
  writer_.Reopen(absl::Now() + kCheckTimeout);
  const std::shared_ptr<const OpenKeyring> keyring = writer_.current()->Get();
  const std::shared_ptr<const HealthReport> before = health_.Get();
  const absl::Time check_time = clock_.Now();
  std::vector<const OpenKeyring::Entry*> entries;
  for (const OpenKeyring::Entry& entry : keyring->entries()) {
    if (CanDecrypt(entry.version->state)) entries.push_back(&entry);
  }
  CheckKeys(*keyring, entries, kCheckTimeout, Kind::kRound);

  HealthReport report = ReportOn(*keyring);
  report.check_time = check_time;
  // What the keys say counts now, whatever the disk does next.
  report.warnings = before->warnings;
  health_.Set(report);

  report.warnings.clear();
  const absl::Status stored = writer_.CheckStore();
  if (!stored.ok()) {
    report.warnings.push_back(std::string(stored.message()));
    if (before->warnings != report.warnings) {
      LogError("the keyring on the disk is not sound", {{"error", stored.message()}});
    }
  }
  health_.Set(std::move(report));
}

// One that would have to take over must not be found to be gone only then. What came of it is with
// the backend (KeyBackend::Places).
void HealthMonitor::ProveStandbys() {
  const std::shared_ptr<const OpenKeyring> keyring = writer_.current()->Get();
  std::vector<const BackendKey*> keys;
  for (const OpenKeyring::Entry& entry : keyring->entries()) {
    if (!CanDecrypt(entry.version->state) || entry.key == nullptr) continue;
    if (entry.key->MayBlock()) keys.push_back(entry.key.get());
  }
  const absl::Time deadline = absl::Now() + kProofTimeout;
  ForEachAtOnce(keys.size(), kChecksAtOnce,
                [&](size_t i) { keys[i]->ProveEverywhere(deadline).IgnoreError(); });
}

void HealthMonitor::QuickCheck() {
  MutexLock lock(&check_mu_);
  std::set<uint32_t> wanted;
  {
    MutexLock nudged_lock(&mu_);
    wanted.swap(nudged_);
  }
  for (const auto& [number, key] : keys_) {
    if (!key.status.ok()) wanted.insert(number);
  }
  if (wanted.empty()) return;
  writer_.Reopen(absl::Now() + kQuickTimeout);
  const std::shared_ptr<const OpenKeyring> keyring = writer_.current()->Get();
  std::vector<const OpenKeyring::Entry*> entries;
  for (const uint32_t number : wanted) {
    const OpenKeyring::Entry* const entry = keyring->Find(number);
    if (entry != nullptr && CanDecrypt(entry->version->state)) entries.push_back(entry);
  }
  CheckKeys(*keyring, entries, kQuickTimeout, Kind::kQuick);
  const std::shared_ptr<const HealthReport> before = health_.Get();
  HealthReport report = ReportOn(*keyring);
  report.check_time = before->check_time;
  report.warnings = before->warnings;
  health_.Set(std::move(report));
}

void HealthMonitor::CheckKeys(const OpenKeyring& keyring,
                              const std::vector<const OpenKeyring::Entry*>& entries,
                              absl::Duration timeout, Kind kind) {
  std::vector<absl::Status> results(entries.size());
  const auto check = [&](size_t i) {
    const OpenKeyring::Entry& entry = *entries[i];
    results[i] = entry.key == nullptr ? entry.status
                                      : CheckCanary(keyring.keyring().identity(), *entry.version,
                                                    *entry.key, absl::Now() + timeout);
  };
  // Those in memory first, and none of those on devices behind another.
  std::vector<size_t> blocking;
  for (size_t i = 0; i < entries.size(); ++i) {
    if (entries[i]->key != nullptr && entries[i]->key->MayBlock()) {
      blocking.push_back(i);
    } else {
      check(i);
    }
  }
  ForEachAtOnce(blocking.size(), kChecksAtOnce, [&](size_t i) { check(blocking[i]); });

  for (size_t i = 0; i < entries.size(); ++i) {
    const KeyVersion& version = *entries[i]->version;
    KeyHealth& key = keys_[version.number];
    const bool was_ok = key.status.ok();
    key.status = results[i];
    if (key.status.ok()) {
      if (!was_ok) LogInfo("key works again", {{"key_id", version.key_id.text()}});
      key.failures = 0;
      continue;
    }
    if (kind == Kind::kRound) ++key.failures;
    if (kind == Kind::kQuick && !was_ok) continue;  // it has been said
    LogError("canary check failed", {{"key_id", version.key_id.text()},
                                     {"failures", key.failures},
                                     {"error", key.status.ToString()}});
  }
}

HealthReport HealthMonitor::ReportOn(const OpenKeyring& keyring) {
  HealthReport report;
  report.valid_until = std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(4 * kInterval);
  const OpenKeyring::Entry* const primary = keyring.Primary();
  if (primary != nullptr) report.primary_version = primary->version->number;
  std::string problems;
  bool any_fails = false;
  for (const OpenKeyring::Entry& entry : keyring.entries()) {
    const auto found = keys_.find(entry.version->number);
    if (found == keys_.end() || found->second.status.ok()) continue;
    if (!CanDecrypt(entry.version->state)) {
      keys_.erase(found);
      continue;
    }
    any_fails = true;
    const KeyHealth& key = found->second;
    const std::string problem = Problem(*entry.version, &entry == primary, key.status);
    absl::StrAppend(&problems, problems.empty() ? "" : "; ", problem);
    if (&entry == primary && key.failures >= kFailuresUntilError) {
      report.may_encrypt = absl::UnavailableError(absl::StrCat("kekd must not encrypt: ", problem));
    }
  }
  if (!problems.empty()) report.healthz = absl::StrCat("degraded: ", problems);
  MutexLock lock(&mu_);
  any_fails_ = any_fails;
  checked_at_ = std::chrono::steady_clock::now();
  return report;
}

}  // namespace kekd
