// The background check that keeps Status true.
#ifndef KEKD_KMS_SERVICE_HEALTH_MONITOR_H_
#define KEKD_KMS_SERVICE_HEALTH_MONITOR_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
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
// meanwhile could then read nothing at all. Thread-safe.
class HealthMonitor final {
 public:
  static constexpr absl::Duration kInterval = absl::Seconds(30);
  static constexpr absl::Duration kCheckTimeout = absl::Seconds(3);
  static constexpr int kFailuresUntilError = 2;

  // All outlive the monitor. Does a first round before it returns, without a thread. The thread
  // calls `also` when it starts and after each round: for what may take long and that no round
  // should wait for.
  HealthMonitor(KeyringWriter& writer, KeyringHealth& health, const Clock& clock,
                std::function<void()> also = nullptr);
  ~HealthMonitor();  // stops the thread
  HealthMonitor(const HealthMonitor&) = delete;
  HealthMonitor& operator=(const HealthMonitor&) = delete;

  // Starts the thread. Once.
  void Start();
  // One round of checks, now.
  void Check();

 private:
  void Run();

  KeyringWriter& writer_;
  KeyringHealth& health_;
  const Clock& clock_;
  const std::function<void()> also_;

  Mutex check_mu_;  // one round at a time; taken before the writer's own lock
  std::map<uint32_t, int> failures_ ABSL_GUARDED_BY(check_mu_);  // in a row, by version

  Mutex mu_;
  CondVar stopped_;
  bool stop_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace kekd

#endif  // KEKD_KMS_SERVICE_HEALTH_MONITOR_H_
