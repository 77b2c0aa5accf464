#include "base/random_source.h"

#include <errno.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <limits>

#include "absl/time/time.h"
#include "base/openssl.h"
#include "base/posix_error.h"

namespace kekd {
namespace {

// One system call for some nonces: it costs as much as they do. A thread's own, so without a lock.
class NonceBatch final {
 public:
  absl::Status Take(absl::Span<uint8_t> out) {
    if (out.size() > kMaxNonceBytes) {
      return absl::InvalidArgumentError("a nonce of so many bytes is none");
    }
    const auto now = std::chrono::steady_clock::now();
    if (out.size() > left_ || now > fresh_until_) {
      // Up to 256 bytes come whole or not at all (random(7)), and bytes once taken never again.
      left_ = 0;
      ssize_t drawn;
      do {
        drawn = getrandom(bytes_.data(), bytes_.size(), 0);
      } while (drawn < 0 && errno == EINTR);
      if (drawn != static_cast<ssize_t>(bytes_.size())) return PosixError(errno, "getrandom");
      left_ = bytes_.size();
      fresh_until_ = now + absl::ToChronoNanoseconds(RandomSource::kNonceAge);
    }
    std::copy_n(bytes_.begin() + (bytes_.size() - left_), out.size(), out.begin());
    left_ -= out.size();
    return absl::OkStatus();
  }

  void Forget() { left_ = 0; }

 private:
  static constexpr size_t kMaxNonceBytes = 64;

  std::array<uint8_t, 240> bytes_;  // ten nonces of XAES-256-GCM
  size_t left_ = 0;
  std::chrono::steady_clock::time_point fresh_until_;
};

thread_local NonceBatch thread_nonces;

class LibcryptoRandomSource final : public RandomSource {
 public:
  absl::Status Fill(absl::Span<uint8_t> out) const override {
    if (out.size() > static_cast<size_t>(std::numeric_limits<int>::max())) {
      return absl::InvalidArgumentError("too many random bytes asked for at once");
    }
    if (RAND_priv_bytes(out.data(), static_cast<int>(out.size())) != 1) {
      return OpenSslError("RAND_priv_bytes");
    }
    return absl::OkStatus();
  }

  absl::Status FillNonce(absl::Span<uint8_t> out) const override { return thread_nonces.Take(out); }
};

}  // namespace

const RandomSource& RandomSource::System() {
  static const auto* const source = [] {
    // A child of fork(2) must not use what its parent has drawn. (One of clone(2) alone does not
    // come by here; kekd and kekctl make none.)
    if (pthread_atfork(nullptr, nullptr, [] { thread_nonces.Forget(); }) != 0) abort();
    return new LibcryptoRandomSource;
  }();
  return *source;
}

}  // namespace kekd
