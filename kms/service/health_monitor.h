// The background check that keeps Status true.
#ifndef KEKD_KMS_SERVICE_HEALTH_MONITOR_H_
#define KEKD_KMS_SERVICE_HEALTH_MONITOR_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "keystore/keyring_writer.h"
#include "kms/service/keyring_health.h"

namespace kekd {

// HealthMonitor decrypts the canary of every version that may still decrypt, every 30 s give or
// take a fifth, and reports to a KeyringHealth:
//
//   a version does not decrypt                  healthz is a text (the API server goes on writing)
//   the primary does not decrypt twice running  Status answers an error (the API server stops)
//   the record on the disk is another or gone   a warning for operators
//
// One failure of the primary is not enough for an error, because an API server that starts
// meanwhile could then read nothing at all. Between these rounds there are quick checks: of a
// version that failed, every second, so that it is told soon when its device is back; and of one
// that a call has just failed on. They change healthz, and take an error back, but never count as
// one of the two failures. Thread-safe.
class HealthMonitor final {
 public:
  static constexpr absl::Duration kInterval = absl::Seconds(30);
  static constexpr absl::Duration kCheckTimeout = absl::Seconds(3);
  static constexpr int kFailuresUntilError = 2;
  static constexpr absl::Duration kQuickInterval = absl::Milliseconds(800);
  static constexpr absl::Duration kLeastQuickInterval = absl::Milliseconds(500);  // with Nudge
  static constexpr absl::Duration kQuickTimeout = absl::Seconds(1);
  // For the proofs of all keys in a round together.
  static constexpr absl::Duration kProofTimeout = absl::Milliseconds(1500);
  // Canaries that are asked of devices at once.
  static constexpr size_t kChecksAtOnce = 8;

  // All outlive the monitor. Does a first round before it returns, without a thread and without the
  // proofs, which the thread begins with. The thread calls `also` when it starts and after each
  // round: for what may take long and that no round should wait for.
  HealthMonitor(KeyringWriter& writer, KeyringHealth& health, const Clock& clock,
                std::function<void()> also = nullptr);
  ~HealthMonitor();  // stops the thread
  HealthMonitor(const HealthMonitor&) = delete;
  HealthMonitor& operator=(const HealthMonitor&) = delete;

  // Starts the thread. Once.
  void Start();
  // One round of checks, now; after the report of it, what stands by for a key is asked to prove
  // itself (BackendKey::ProveEverywhere), which changes no report and takes no longer than
  // kProofTimeout.
  void Check();
  // One quick check, now: of the versions that failed when they were checked last, and of those
  // that Nudge has named since.
  void QuickCheck();
  // A call has failed on this version: its next quick check is due, but no sooner than
  // kLeastQuickInterval after the one before. Returns at once.
  void Nudge(uint32_t version);

 private:
  using SteadyTime = std::chrono::steady_clock::time_point;
  // What is known of a version's key.
  struct KeyHealth {
    absl::Status status;
    int failures = 0;  // rounds in a row
  };
  enum class Kind { kRound, kQuick };

  void Run();
  void CheckRound();
  void ProveStandbys();
  // Waits for what is due next; false if the monitor stops.
  bool AwaitNext(SteadyTime next_round, Kind& kind);
  // Checks these versions, each with a deadline of its own where it may wait.
  void CheckKeys(const OpenKeyring& keyring, const std::vector<const OpenKeyring::Entry*>& entries,
                 absl::Duration timeout, Kind kind) ABSL_EXCLUSIVE_LOCKS_REQUIRED(check_mu_);
  // The report on what is known of the keys now.
  HealthReport ReportOn(const OpenKeyring& keyring) ABSL_EXCLUSIVE_LOCKS_REQUIRED(check_mu_);

  KeyringWriter& writer_;
  KeyringHealth& health_;
  const Clock& clock_;
  const std::function<void()> also_;

  Mutex check_mu_;  // one check at a time; taken before the writer's own lock
  std::map<uint32_t, KeyHealth> keys_ ABSL_GUARDED_BY(check_mu_);  // by version

  Mutex mu_;
  CondVar changed_;
  bool stop_ ABSL_GUARDED_BY(mu_) = false;
  bool any_fails_ ABSL_GUARDED_BY(mu_) = false;
  std::set<uint32_t> nudged_ ABSL_GUARDED_BY(mu_);
  SteadyTime checked_at_ ABSL_GUARDED_BY(mu_);  // the end of the newest check
  std::thread thread_;
};

}  // namespace kekd

#endif  // KEKD_KMS_SERVICE_HEALTH_MONITOR_H_
