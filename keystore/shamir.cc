#include "keystore/shamir.h"

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace kekd {
namespace {

// The product in GF(2^8) modulo 0x11b: no table and no branch that depends on a byte, since a cache
// remembers which entries were read.
uint8_t Multiply(uint8_t a, uint8_t b) {
  uint32_t product = 0;
  uint32_t shifted = a;
  for (uint32_t bit = 0; bit < 8; ++bit) {
    product ^= (0u - ((b >> bit) & 1u)) & shifted;
    shifted = (shifted << 1) ^ ((0u - (shifted >> 7)) & 0x11bu);
  }
  return static_cast<uint8_t>(product);
}

// 1/a = a^254, as a^255 is 1. 0 for 0.
uint8_t Invert(uint8_t a) {
  uint8_t power = a;
  uint8_t inverse = 1;
  for (int i = 1; i < 8; ++i) {  // 254 = 2 + 4 + … + 128
    power = Multiply(power, power);
    inverse = Multiply(inverse, power);
  }
  return inverse;
}

// The coefficient of share `i` at x = 0 (Lagrange): the product of x_j / (x_j - x_i) over the other
// j, where minus is XOR.
uint8_t CoefficientAtZero(absl::Span<const ShamirShare> shares, size_t i) {
  uint8_t numerator = 1;
  uint8_t denominator = 1;
  for (size_t j = 0; j < shares.size(); ++j) {
    if (j == i) continue;
    numerator = Multiply(numerator, shares[j].index);
    denominator = Multiply(denominator, static_cast<uint8_t>(shares[j].index ^ shares[i].index));
  }
  return Multiply(numerator, Invert(denominator));
}

absl::Status CheckShares(absl::Span<const ShamirShare> shares) {
  if (shares.empty()) return absl::InvalidArgumentError("there is no share");
  for (size_t i = 0; i < shares.size(); ++i) {
    if (shares[i].index == 0) return absl::InvalidArgumentError("a share has index 0");
    if (shares[i].value.size() != shares[0].value.size()) {
      return absl::InvalidArgumentError("the shares are not of one length");
    }
    for (size_t j = 0; j < i; ++j) {
      if (shares[i].index == shares[j].index) {
        return absl::InvalidArgumentError(
            absl::StrCat("share ", uint32_t{shares[i].index}, " was given twice"));
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckShareNumbers(uint32_t threshold, uint32_t total) {
  if (threshold >= kMinShareThreshold && threshold <= total && total <= kMaxShares) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      threshold, " of ", total, " shares can't be made: at least ", kMinShareThreshold,
      " must be needed, no more than there are, and there are ", kMaxShares, " at most"));
}

absl::StatusOr<std::vector<ShamirShare>> SplitSecret(const SecretBytes& secret, uint32_t threshold,
                                                     uint32_t total, const RandomSource& random) {
  KEKD_RETURN_IF_ERROR(CheckShareNumbers(threshold, total));
  const size_t size = secret.size();
  // Of each byte's polynomial the coefficients of x^1 to x^(k-1), one row of `size` bytes each. All
  // values are equally likely, also zero: or a share would tell what the secret is not.
  SecretBytes coefficients(size * (threshold - 1));
  KEKD_RETURN_IF_ERROR(random.Fill(coefficients.RevealMutable(SecretAccessToken())));
  const ByteView rows = coefficients.Reveal(SecretAccessToken());
  const ByteView constants = secret.Reveal(SecretAccessToken());
  std::vector<ShamirShare> shares(total);
  for (uint32_t n = 0; n < total; ++n) {
    ShamirShare& share = shares[n];
    share.index = static_cast<uint8_t>(n + 1);
    share.value = SecretBytes(size);
    const absl::Span<uint8_t> out = share.value.RevealMutable(SecretAccessToken());
    for (size_t i = 0; i < size; ++i) {
      uint8_t y = 0;  // Horner, from the highest power down
      for (size_t power = threshold - 1; power >= 1; --power) {
        y = Multiply(static_cast<uint8_t>(y ^ rows[(power - 1) * size + i]), share.index);
      }
      out[i] = static_cast<uint8_t>(y ^ constants[i]);
    }
  }
  return shares;
}

absl::StatusOr<SecretBytes> CombineShares(absl::Span<const ShamirShare> shares) {
  KEKD_RETURN_IF_ERROR(CheckShares(shares));
  SecretBytes secret(shares[0].value.size());
  const absl::Span<uint8_t> out = secret.RevealMutable(SecretAccessToken());
  for (size_t i = 0; i < shares.size(); ++i) {
    const uint8_t coefficient = CoefficientAtZero(shares, i);
    const ByteView value = shares[i].value.Reveal(SecretAccessToken());
    for (size_t at = 0; at < out.size(); ++at) {
      out[at] = static_cast<uint8_t>(out[at] ^ Multiply(value[at], coefficient));
    }
  }
  return secret;
}

}  // namespace kekd
