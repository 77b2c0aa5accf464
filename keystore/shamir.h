// Shamir's secret sharing.
#ifndef KEKD_KEYSTORE_SHAMIR_H_
#define KEKD_KEYSTORE_SHAMIR_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/random_source.h"
#include "base/secret_bytes.h"

namespace kekd {

// A. Shamir, "How to share a secret" (1979), over GF(2^8) with the polynomial x^8+x^4+x^3+x+1
// (0x11b, the field of AES), byte by byte: of n shares any k give the secret, k-1 tell nothing of
// it. A share says nothing of whether it is whole or of which secret: that is for what is around it
// (backup_share.h).
struct ShamirShare {
  uint8_t index = 0;  // where the polynomials were evaluated: 1 to n
  SecretBytes value;  // as long as the secret
};

inline constexpr uint32_t kMinShareThreshold = 2;
inline constexpr uint32_t kMaxShares = 16;

// InvalidArgument unless 2 <= threshold <= total <= 16.
absl::Status CheckShareNumbers(uint32_t threshold, uint32_t total);

// `total` shares with the indices 1 to `total`, of which any `threshold` give the secret. Takes the
// same time whatever the secret is.
absl::StatusOr<std::vector<ShamirShare>> SplitSecret(const SecretBytes& secret, uint32_t threshold,
                                                     uint32_t total, const RandomSource& random);

// The secret that these shares give. They must be as many as the threshold was (with less, or with
// one that was altered, another secret comes out); InvalidArgument if two have the same index, one
// has index 0, or they are not of one length.
absl::StatusOr<SecretBytes> CombineShares(absl::Span<const ShamirShare> shares);

}  // namespace kekd

#endif  // KEKD_KEYSTORE_SHAMIR_H_
