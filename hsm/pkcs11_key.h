// A key on a PKCS#11 token, open for use.
#ifndef KEKD_HSM_PKCS11_KEY_H_
#define KEKD_HSM_PKCS11_KEY_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/mutex.h"
#include "hsm/token_client.h"
#include "keystore/key_backend.h"

namespace kekd {

// When the token must have answered, so that the caller can tell its client in time what came of
// it.
absl::Time BeforeDeadline(absl::Time deadline);

// A new worker looks the key up again, by name: somebody may have put another key there, under
// which everything would be lost with it. So the key remembers something that it has decrypted, its
// canary, and an Encrypt by a worker that has not decrypted it yet counts only after that.
class Pkcs11Key final : public BackendKey {
 public:
  Pkcs11Key(std::shared_ptr<TokenClient> token, KeyReference reference)
      : token_(std::move(token)), reference_(std::move(reference)) {}

  Algorithm algorithm() const override { return Algorithm::kAes256Gcm; }
  bool MayBlock() const override { return true; }
  absl::StatusOr<std::string> Encrypt(const SecretBytes& plaintext, ByteView associated_data,
                                      absl::Time deadline) const override;
  absl::StatusOr<SecretBytes> Decrypt(ByteView sealed, ByteView associated_data,
                                      absl::Time deadline) const override;

 private:
  absl::StatusOr<std::string> EncryptOnce(const SecretBytes& plaintext, ByteView associated_data,
                                          absl::Time deadline) const;
  absl::StatusOr<SecretBytes> DecryptOnce(ByteView sealed, ByteView associated_data,
                                          absl::Time deadline) const;
  // `worker`: which it was before it was decrypted.
  void Remember(ByteView sealed, ByteView associated_data, uint64_t worker) const;
  // Whether the worker that there is now finds the key that there was before.
  absl::Status Prove(absl::Time deadline) const;
  size_t Overhead() const;

  const std::shared_ptr<TokenClient> token_;
  const KeyReference reference_;
  mutable Mutex mu_;
  mutable std::string sealed_ ABSL_GUARDED_BY(mu_);
  mutable std::string associated_data_ ABSL_GUARDED_BY(mu_);
  mutable std::atomic<bool> remembers_ = false;
  mutable std::atomic<uint64_t> proven_ = 0;  // TokenClient::starts() of the worker; 0: none
};

}  // namespace kekd

#endif  // KEKD_HSM_PKCS11_KEY_H_
