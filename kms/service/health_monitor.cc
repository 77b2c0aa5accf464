#include "kms/service/health_monitor.h"

#include <chrono>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "keystore/canary.h"

namespace kekd {
namespace {

// For people and the API server's readyz: what, not why (the log has that).
std::string Problem(const KeyVersion& version, bool primary) {
  return absl::StrCat(primary ? "the primary, " : "", "key version ", version.number, " (backend ",
                      version.backend, "), does not decrypt");
}

}  // namespace

HealthMonitor::HealthMonitor(KeyringWriter& writer, KeyringHealth& health, const Clock& clock,
                             std::function<void()> also)
    : writer_(writer), health_(health), clock_(clock), also_(std::move(also)) {
  Check();
}

HealthMonitor::~HealthMonitor() {
  {
    MutexLock lock(&mu_);
    stop_ = true;
  }
  stopped_.NotifyAll();
  if (thread_.joinable()) thread_.join();
}

void HealthMonitor::Start() {
  thread_ = std::thread([this] { Run(); });
}

void HealthMonitor::Run() {
  // Jitter, so that the daemons of a control plane don't ask a shared token all at once.
  std::minstd_rand generator(std::random_device{}());
  std::uniform_real_distribution<double> factor(0.8, 1.2);
  while (true) {
    if (also_ != nullptr) also_();
    {
      // Not by the wall clock, which may be set back for hours.
      const auto next = std::chrono::steady_clock::now() +
                        absl::ToChronoNanoseconds(kInterval * factor(generator));
      MutexLock lock(&mu_);
      while (!stop_ && std::chrono::steady_clock::now() < next) {
        stopped_.WaitFor(&mu_, absl::FromChrono(next - std::chrono::steady_clock::now()));
      }
      if (stop_) return;
    }
    Check();
  }
}

void HealthMonitor::Check() {
  MutexLock lock(&check_mu_);
  const absl::Time deadline = absl::Now() + kCheckTimeout;
  writer_.Reopen(deadline);
  const std::shared_ptr<const OpenKeyring> keyring = writer_.current()->Get();
  const std::shared_ptr<const HealthReport> before = health_.Get();

  HealthReport report;
  report.check_time = clock_.Now();
  report.valid_until = std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(4 * kInterval);
  if (const OpenKeyring::Entry* primary = keyring->Primary()) {
    report.primary_version = primary->version->number;
  }
  std::string problems;
  for (const OpenKeyring::Entry& entry : keyring->entries()) {
    const KeyVersion& version = *entry.version;
    if (!CanDecrypt(version.state)) continue;
    const absl::Status status = entry.key == nullptr ? entry.status
                                                     : CheckCanary(keyring->keyring().identity(),
                                                                   version, *entry.key, deadline);
    int& failures = failures_[version.number];
    if (status.ok()) {
      if (failures != 0) LogInfo("key works again", {{"key_id", version.key_id.text()}});
      failures = 0;
      continue;
    }
    ++failures;
    LogError(
        "canary check failed",
        {{"key_id", version.key_id.text()}, {"failures", failures}, {"error", status.ToString()}});
    const bool primary = &entry == keyring->Primary();
    absl::StrAppend(&problems, problems.empty() ? "" : "; ", Problem(version, primary));
    if (primary && failures >= kFailuresUntilError) {
      report.may_encrypt = absl::UnavailableError(
          absl::StrCat("kekd must not encrypt: ", Problem(version, primary)));
    }
  }
  if (!problems.empty()) report.healthz = absl::StrCat("degraded: ", problems);

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

}  // namespace kekd
