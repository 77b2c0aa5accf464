// SHA-256, HMAC and HKDF as the keystore uses them.
#ifndef KEKD_KEYSTORE_DIGEST_H_
#define KEKD_KEYSTORE_DIGEST_H_

#include <array>
#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/bytes.h"
#include "base/secret_bytes.h"

namespace kekd {

using Sha256Digest = std::array<uint8_t, 32>;

absl::StatusOr<Sha256Digest> Sha256(ByteView bytes);  // FIPS 180-4

absl::StatusOr<Sha256Digest> HmacSha256(const SecretBytes& key, ByteView bytes);  // FIPS 198-1

// HKDF with SHA-256, extract and expand (RFC 5869), to 32 bytes.
absl::StatusOr<SecretBytes> HkdfSha256(const SecretBytes& key, ByteView salt,
                                       absl::string_view info);

// HKDF-Expand alone with SHA-256, to 32 bytes: `prk` is a key that needs no extraction.
absl::StatusOr<SecretBytes> HkdfExpandSha256(const SecretBytes& prk, ByteView info);

}  // namespace kekd

#endif  // KEKD_KEYSTORE_DIGEST_H_
