// Time that nobody sets.
#ifndef KEKD_HSM_PKCS11_MONOTONIC_H_
#define KEKD_HSM_PKCS11_MONOTONIC_H_

#include <chrono>

#include "absl/time/time.h"

namespace kekd {

// For deadlines and pauses in this process only: the time since the machine came up, as if that had
// been in 1970. A clock that is set back must not keep a token from being recovered.
inline absl::Time MonotonicNow() {
  return absl::UnixEpoch() + absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch());
}

}  // namespace kekd

#endif  // KEKD_HSM_PKCS11_MONOTONIC_H_
