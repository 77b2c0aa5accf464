// The ring key: what authenticates a keyring's record and wraps its software KEKs.
#ifndef KEKD_KEYSTORE_RING_KEY_H_
#define KEKD_KEYSTORE_RING_KEY_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/bytes.h"
#include "base/file_system.h"
#include "base/random_source.h"
#include "base/secret_bytes.h"
#include "keystore/aead.h"
#include "keystore/digest.h"
#include "keystore/key_id.h"
#include "keystore/key_version.h"

namespace kekd {

// RingKey is 32 random bytes of one ring, never used on data: HKDF-SHA-256 (RFC 5869) with the ring
// UUID as salt derives one key for each of its purposes (docs/formats.md). Thread-safe.
class RingKey final {
 public:
  static constexpr size_t kBytes = 32;

  // A new one from `random`, which outlives it.
  static absl::StatusOr<std::shared_ptr<const RingKey>> Generate(const Uuid& ring_uuid,
                                                                 const RandomSource& random);
  // `secret` has kBytes bytes. `random` outlives the result.
  static absl::StatusOr<std::shared_ptr<const RingKey>> Create(SecretBytes secret,
                                                               const Uuid& ring_uuid,
                                                               const RandomSource& random);

  // HMAC-SHA-256 of a record's bytes, and of a high-water file's.
  absl::StatusOr<Sha256Digest> RecordMac(ByteView bytes) const;
  absl::StatusOr<Sha256Digest> HighWaterMac(ByteView bytes) const;

  // The wrap of a software KEK for its key version.
  absl::StatusOr<Wrap> WrapKek(const SecretBytes& kek, const KeySpec& spec) const;
  // DataLoss if the wrap is damaged or of another key version.
  absl::StatusOr<SecretBytes> UnwrapKek(const Wrap& wrap, const KeySpec& spec) const;

  // The raw key, to be wrapped.
  const SecretBytes& secret() const { return secret_; }

 private:
  RingKey(SecretBytes secret, SecretBytes record_mac_key, SecretBytes high_water_mac_key,
          std::unique_ptr<const Aead> kek_wrap);

  const SecretBytes secret_;
  const SecretBytes record_mac_key_;
  const SecretBytes high_water_mac_key_;
  const std::unique_ptr<const Aead> kek_wrap_;
};

}  // namespace kekd

#endif  // KEKD_KEYSTORE_RING_KEY_H_
