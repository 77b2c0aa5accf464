// The ring key: what authenticates a keyring's record and wraps its software KEKs.
#ifndef KEKD_KEYSTORE_RING_KEY_H_
#define KEKD_KEYSTORE_RING_KEY_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/bytes.h"
#include "base/mutex.h"
#include "base/random_source.h"
#include "base/secret_bytes.h"
#include "base/uuid.h"
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
  // HMAC-SHA-256 of what a node proves (node_proof.h).
  absl::StatusOr<Sha256Digest> NodeProofMac(ByteView bytes) const;

  // The wrap of a software KEK for its key version.
  absl::StatusOr<Wrap> WrapKek(const SecretBytes& kek, const KeySpec& spec) const;
  // DataLoss if the wrap is damaged or of another key version.
  absl::StatusOr<SecretBytes> UnwrapKek(const Wrap& wrap, const KeySpec& spec) const;

  // The ring key before this one, for the record. A wrap of it is nonce, ciphertext and tag.
  absl::StatusOr<std::string> WrapFormer(const RingKey& former) const;
  // DataLoss if the wrap was made by another ring key.
  absl::StatusOr<std::shared_ptr<const RingKey>> UnwrapFormer(absl::string_view wrapped) const;

  // Of the ring that it is the key of.
  const Uuid& ring_uuid() const { return ring_uuid_; }
  // The raw key, to be wrapped.
  const SecretBytes& secret() const { return secret_; }

 private:
  RingKey(SecretBytes secret, const Uuid& ring_uuid, const RandomSource& random,
          SecretBytes record_mac_key, SecretBytes high_water_mac_key,
          std::unique_ptr<const Aead> kek_wrap);
  absl::StatusOr<std::unique_ptr<const Aead>> FormerWrap() const;

  const SecretBytes secret_;
  const Uuid ring_uuid_;
  const RandomSource& random_;
  const SecretBytes record_mac_key_;
  const SecretBytes high_water_mac_key_;
  const std::unique_ptr<const Aead> kek_wrap_;
};

// The ring key of a keyring as it is now: removing a wrap makes a new one. Thread-safe.
class CurrentRingKey final {
 public:
  explicit CurrentRingKey(std::shared_ptr<const RingKey> ring_key)
      : ring_key_(std::move(ring_key)) {}

  std::shared_ptr<const RingKey> Get() const {
    MutexLock lock(&mu_);
    return ring_key_;
  }
  void Set(std::shared_ptr<const RingKey> ring_key) {
    MutexLock lock(&mu_);
    ring_key_.swap(ring_key);
  }

 private:
  mutable Mutex mu_;
  std::shared_ptr<const RingKey> ring_key_ ABSL_GUARDED_BY(mu_);
};

}  // namespace kekd

#endif  // KEKD_KEYSTORE_RING_KEY_H_
