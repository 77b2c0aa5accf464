// Random bytes, as a seam for tests.
#ifndef KEKD_BASE_RANDOM_SOURCE_H_
#define KEKD_BASE_RANDOM_SOURCE_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/types/span.h"

namespace kekd {

// Fills buffers with bytes that nobody can predict. Thread-safe.
class RandomSource {
 public:
  virtual ~RandomSource() = default;
  // Fills `out` wholly, or fails with Internal and leaves nothing usable in it.
  virtual absl::Status Fill(absl::Span<uint8_t> out) const = 0;

  // libcrypto's private DRBG (SP 800-90A, seeded by the kernel); lives for ever.
  static const RandomSource& System();
};

}  // namespace kekd

#endif  // KEKD_BASE_RANDOM_SOURCE_H_
