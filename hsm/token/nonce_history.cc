#include "hsm/token/nonce_history.h"

#include <algorithm>

namespace kekd {

absl::Status NonceHistory::Note(absl::string_view sealed, KeyMechanism mechanism) {
  const std::string nonce(sealed.substr(0, GcmNonceBytes(mechanism)));
  MutexLock lock(&mu_);
  if (nonce == first_ || std::find(last_.begin(), last_.end(), nonce) != last_.end()) {
    return absl::InternalError("the token repeats its initialisation vector");
  }
  if (first_.empty()) first_ = nonce;
  last_[next_] = nonce;
  next_ = (next_ + 1) % kKept;
  return absl::OkStatus();
}

}  // namespace kekd
