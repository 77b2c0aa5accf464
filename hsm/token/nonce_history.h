// The initialisation vectors of AES-GCM that a token makes.
#ifndef KEKD_HSM_TOKEN_NONCE_HISTORY_H_
#define KEKD_HSM_TOKEN_NONCE_HISTORY_H_

#include <array>
#include <cstddef>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/mutex.h"
#include "hsm/token/key_reference.h"

namespace kekd {

// Of the nonce at the front of what is sealed by AES-GCM.
constexpr size_t GcmNonceBytes(KeyMechanism mechanism) {
  return mechanism == KeyMechanism::kGcmTokenIvAppended ? 16 : 12;
}

// Whether it is AES-GCM with a nonce of the token's.
constexpr bool TokenMakesNonce(KeyMechanism mechanism) {
  return BindsAssociatedData(mechanism) && mechanism != KeyMechanism::kGcmCallerIv;
}

// NonceHistory knows the nonces that were last made with one key: a token that makes them itself
// and begins anew somewhere (after a restart, from a clone, with a broken generator) gives the key
// away with the first one that it uses twice. Thread-safe.
class NonceHistory final {
 public:
  static constexpr size_t kKept = 64;

  // Notes the nonce at the front of what was sealed. Internal if it is the first one that was noted
  // or one of the last kKept: what was sealed must not leave this process then.
  absl::Status Note(absl::string_view sealed, KeyMechanism mechanism);

 private:
  Mutex mu_;
  std::string first_ ABSL_GUARDED_BY(mu_);
  std::array<std::string, kKept> last_ ABSL_GUARDED_BY(mu_);
  size_t next_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace kekd

#endif  // KEKD_HSM_TOKEN_NONCE_HISTORY_H_
