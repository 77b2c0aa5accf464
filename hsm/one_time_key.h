// Data under a one-time key, for devices that can wrap a key and no more.
#ifndef KEKD_HSM_ONE_TIME_KEY_H_
#define KEKD_HSM_ONE_TIME_KEY_H_

#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/random_source.h"
#include "base/secret_bytes.h"
#include "keystore/aead.h"
#include "keystore/key_backend.h"

namespace kekd {

// OneTimeKey is a key that encrypts each plaintext under 32 new random bytes with AES-256-GCM, to
// which the associated data is bound, and has another key wrap those:
// Algorithm::kAes256GcmWrappedKey (docs/formats.md). A one-time key that was put in the place of
// another opens nothing: its tag does not fit. Where whoever likes can wrap (an RSA key's public
// half is all it takes) the data's key is HKDF-SHA-256 of the one-time key with the key's origin as
// its salt, which nobody else knows: a ciphertext that opens was made by kekd.
class OneTimeKey final : public BackendKey {
 public:
  // `wrapping` takes 32 bytes without associated data, and makes 1 to
  // Ciphertext::kMaxWrappedKeyBytes bytes of them. `origin`: secret random bytes, the same for
  // ever; empty where only the device can wrap. `random` outlives the key.
  OneTimeKey(std::shared_ptr<const BackendKey> wrapping, SecretBytes origin,
             const RandomSource& random)
      : wrapping_(std::move(wrapping)), origin_(std::move(origin)), random_(random) {}

  Algorithm algorithm() const override { return Algorithm::kAes256GcmWrappedKey; }
  bool MayBlock() const override { return wrapping_->MayBlock(); }
  // InvalidArgument if the plaintext is too large for a ciphertext of Ciphertext::kMaxBytes.
  absl::StatusOr<std::string> Encrypt(const SecretBytes& plaintext, ByteView associated_data,
                                      absl::Time deadline) const override;
  // Believes that the data is not authentic only if `wrapping` unwraps to the same key twice.
  // Unavailable if it does not.
  absl::StatusOr<SecretBytes> Decrypt(ByteView sealed, ByteView associated_data,
                                      absl::Time deadline) const override;
  absl::Status ProveEverywhere(absl::Time deadline) const override {
    return wrapping_->ProveEverywhere(deadline);
  }

 private:
  absl::StatusOr<std::unique_ptr<const Aead>> DataKey(SecretBytes one_time_key) const;
  absl::StatusOr<SecretBytes> Unwrap(ByteView wrapped, absl::Time deadline) const;
  absl::StatusOr<SecretBytes> Open(const SecretBytes& one_time_key, ByteView sealed,
                                   ByteView associated_data) const;

  const std::shared_ptr<const BackendKey> wrapping_;
  const SecretBytes origin_;
  const RandomSource& random_;
};

}  // namespace kekd

#endif  // KEKD_HSM_ONE_TIME_KEY_H_
