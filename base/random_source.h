// Random bytes, as a seam for tests.
#ifndef KEKD_BASE_RANDOM_SOURCE_H_
#define KEKD_BASE_RANDOM_SOURCE_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/span.h"

namespace kekd {

// Fills buffers with bytes that nobody can predict. Thread-safe.
class RandomSource {
 public:
  // Two copies of one virtual machine that was saved and resumed twice draw the same nonces for as
  // long as this at most. The kernel's generator is seeded anew there (vmgenid), libcrypto's is not.
  static constexpr absl::Duration kNonceAge = absl::Milliseconds(10);

  virtual ~RandomSource() = default;
  // Fills `out` wholly, or fails with Internal and leaves nothing usable in it.
  virtual absl::Status Fill(absl::Span<uint8_t> out) const = 0;
  // The same for bytes that are to be unique and unpredictable and are no secret once used: a
  // source may have drawn them up to kNonceAge before.
  virtual absl::Status FillNonce(absl::Span<uint8_t> out) const { return Fill(out); }

  // libcrypto's private DRBG (SP 800-90A, seeded by the kernel), for nonces the kernel's own
  // (getrandom(2)); lives for ever.
  static const RandomSource& System();
};

}  // namespace kekd

#endif  // KEKD_BASE_RANDOM_SOURCE_H_
