// Whether what should open a keyring still does.
#ifndef KEKD_KMS_DAEMON_UNLOCK_CHECK_H_
#define KEKD_KMS_DAEMON_UNLOCK_CHECK_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "base/file_system.h"
#include "base/mutex.h"
#include "keystore/keyring.h"
#include "kms/config/config.h"

namespace kekd {

// UnlockCheck tries every element of a keyring's unlock list, and not only the first that opens it:
// that a cold start survives the loss of all but one is true only as long as the others work. A
// passphrase that is to be typed is not asked for. Thread-safe.
class UnlockCheck final {
 public:
  // A passphrase costs half a second of a CPU, so nothing is tried at each round of the health
  // check; but a file that is gone should be known before the next cold start.
  static constexpr absl::Duration kInterval = absl::Hours(1);

  UnlockCheck(FileSystem& fs, std::string state_directory)
      : fs_(fs), state_directory_(std::move(state_directory)) {}

  enum class When {
    kNow,
    kIfDue,  // after kInterval, or if the list or the ring's wraps are others than the last time
  };
  // Logs a warning for each element that does not open the ring and did at the last check. A token
  // may take its time: kTokenPatience.
  void Check(const KeyringConfig& config, const Keyring& keyring, When when);
  // The next check is due. Waits for none that is under way.
  void MakeDue();

  // Of the last check: each names the element, the reason and what to do.
  std::vector<std::string> Warnings() const;

 private:
  bool TakeDue();

  FileSystem& fs_;
  const std::string state_directory_;
  Mutex check_mu_;  // one check at a time; taken before mu_
  // What the last check was of.
  std::vector<UnlockConfig> unlock_ ABSL_GUARDED_BY(check_mu_);
  uint32_t ring_key_number_ ABSL_GUARDED_BY(check_mu_) = 0;
  uint32_t next_wrap_number_ ABSL_GUARDED_BY(check_mu_) = 0;
  absl::Time checked_ ABSL_GUARDED_BY(check_mu_) = absl::InfinitePast();

  mutable Mutex mu_;
  bool due_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<std::string> warnings_ ABSL_GUARDED_BY(mu_);
};

}  // namespace kekd

#endif  // KEKD_KMS_DAEMON_UNLOCK_CHECK_H_
