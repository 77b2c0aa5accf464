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
#include "keystore/key_backend.h"

namespace kekd {

// OneTimeKey is a key that encrypts each plaintext under 32 new random bytes with AES-256-GCM, to
// which the associated data is bound, and has another key wrap those:
// Algorithm::kAes256GcmWrappedKey (docs/formats.md). A one-time key that was put in the place of
// another opens nothing: its tag does not fit. Under an RSA key whoever knows its public half can
// make a ciphertext, though none of what kekd has encrypted: docs/threat-model.md.
class OneTimeKey final : public BackendKey {
 public:
  // `wrapping` takes 32 bytes without associated data, and makes 1 to
  // Ciphertext::kMaxWrappedKeyBytes bytes of them. `random` outlives the key.
  OneTimeKey(std::shared_ptr<const BackendKey> wrapping, const RandomSource& random)
      : wrapping_(std::move(wrapping)), random_(random) {}

  Algorithm algorithm() const override { return Algorithm::kAes256GcmWrappedKey; }
  bool MayBlock() const override { return wrapping_->MayBlock(); }
  // InvalidArgument if the plaintext is too large for a ciphertext of Ciphertext::kMaxBytes.
  absl::StatusOr<std::string> Encrypt(const SecretBytes& plaintext, ByteView associated_data,
                                      absl::Time deadline) const override;
  absl::StatusOr<SecretBytes> Decrypt(ByteView sealed, ByteView associated_data,
                                      absl::Time deadline) const override;
  absl::Status ProveEverywhere(absl::Time deadline) const override {
    return wrapping_->ProveEverywhere(deadline);
  }

 private:
  const std::shared_ptr<const BackendKey> wrapping_;
  const RandomSource& random_;
};

}  // namespace kekd

#endif  // KEKD_HSM_ONE_TIME_KEY_H_
