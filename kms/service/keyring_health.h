// Whether a keyring's keys work, as the background check found it.
#ifndef KEKD_KMS_SERVICE_KEYRING_HEALTH_H_
#define KEKD_KMS_SERVICE_KEYRING_HEALTH_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/mutex.h"

namespace kekd {

// What one round of checks found.
struct HealthReport {
  // Not OK: new data must not be encrypted under the primary, and Status answers this error. An API
  // server stops writing only then (it does not when `healthz` is a mere text).
  absl::Status may_encrypt;
  // The primary that may_encrypt speaks of; 0 for whichever it is. A new primary has just proved
  // itself, so an older report says nothing of it.
  uint32_t primary_version = 0;
  // "ok", or which version does not decrypt; shown by the API server's readyz.
  std::string healthz = "ok";
  // For operators only: the API server is served well.
  std::vector<std::string> warnings;
  absl::Time check_time = absl::InfinitePast();
  // After that the report is too old to be believed: the check itself hangs.
  std::chrono::steady_clock::time_point valid_until = std::chrono::steady_clock::time_point::max();
};

// The newest report. Thread-safe.
class KeyringHealth final {
 public:
  std::shared_ptr<const HealthReport> Get() const {
    MutexLock lock(&mu_);
    return report_;
  }
  void Set(HealthReport report) {
    auto next = std::make_shared<const HealthReport>(std::move(report));
    MutexLock lock(&mu_);
    report_.swap(next);
  }

 private:
  mutable Mutex mu_;
  std::shared_ptr<const HealthReport> report_ ABSL_GUARDED_BY(mu_) =
      std::make_shared<const HealthReport>();
};

}  // namespace kekd

#endif  // KEKD_KMS_SERVICE_KEYRING_HEALTH_H_
