// A key on a PKCS#11 token, open for use.
#ifndef KEKD_HSM_PKCS11_KEY_H_
#define KEKD_HSM_PKCS11_KEY_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/mutex.h"
#include "hsm/token/nonce_history.h"
#include "hsm/token_group.h"
#include "keystore/key_backend.h"

namespace kekd {

// When the token must have answered, so that the caller can tell its client in time what came of
// it.
absl::Time BeforeDeadline(absl::Time deadline);

// What a key that seals in this way makes of data, by itself or as the wrapping one of a
// OneTimeKey.
constexpr Algorithm AlgorithmOf(KeyMechanism mechanism) {
  return BindsAssociatedData(mechanism) ? Algorithm::kAes256Gcm : Algorithm::kAes256GcmWrappedKey;
}

// A new worker looks the key up again, by name: somebody may have put another key there, under
// which everything would be lost with it. So the key remembers something that it has decrypted, its
// canary, and an Encrypt by a worker that has not decrypted it yet counts only after that.
//
// It seals as its reference's mechanism does: where that binds no associated data there may be
// none, and the plaintext is a one-time key (OneTimeKey).
//
// The same makes several tokens one: each must decrypt what is remembered before its Encrypt counts
// and before it is believed that a ciphertext is not authentic. One that holds another key under
// the name, or none, is not used for this key until it has proved itself (ProveEverywhere), or has
// a new worker, which must. As long as nothing is remembered only the first token encrypts, since
// it is where keys are made, and a ciphertext is refused only if every token refuses it. Where the
// tokens make the initialisation vectors, none of them may make one that another has made.
class Pkcs11Key final : public BackendKey {
 public:
  // `name`: of the key, for people: "key version 3".
  Pkcs11Key(std::shared_ptr<TokenGroup> tokens, KeyReference reference, std::string name);
  ~Pkcs11Key() override;

  // Looks for the key; NotFound if no token has it. After that nothing is looked up again while the
  // worker lives.
  absl::Status Find(absl::Time deadline) const;

  Algorithm algorithm() const override { return AlgorithmOf(reference_.mechanism); }
  bool MayBlock() const override { return true; }
  absl::StatusOr<std::string> Encrypt(const SecretBytes& plaintext, ByteView associated_data,
                                      absl::Time deadline) const override;
  absl::StatusOr<SecretBytes> Decrypt(ByteView sealed, ByteView associated_data,
                                      absl::Time deadline) const override;
  absl::Status ProveEverywhere(absl::Time deadline) const override;

 private:
  // What is known of the key on a token, by the worker that it is true of (TokenClient::starts();
  // 0: none).
  struct Place {
    std::atomic<uint64_t> proven = 0;    // it has decrypted what is remembered
    std::atomic<uint64_t> excluded = 0;  // it is not to be used
  };

  bool single() const { return tokens_->size() == 1; }
  TokenClient& token(size_t index) const { return tokens_->token(index); }
  bool IsExcluded(size_t index) const;
  // TokenGroup::Run; who says that the key is not there is excluded.
  absl::Status OnTokens(absl::Time deadline,
                        absl::FunctionRef<TokenGroup::Answer(size_t, absl::Time)> ask) const;
  absl::StatusOr<std::string> EncryptOn(size_t index, const SecretBytes& plaintext,
                                        ByteView associated_data, absl::Time deadline) const;
  absl::StatusOr<std::string> EncryptOnce(size_t index, const SecretBytes& plaintext,
                                          ByteView associated_data, absl::Time deadline) const;
  absl::StatusOr<SecretBytes> DecryptOnce(size_t index, ByteView sealed, ByteView associated_data,
                                          absl::Time deadline) const;
  // `worker`: which it was before it was decrypted.
  void Remember(size_t index, ByteView sealed, ByteView associated_data, uint64_t worker) const;
  // Whether the worker that there is now finds the key that there was before. FailedPrecondition if
  // it finds another; then it is excluded.
  absl::Status Prove(size_t index, absl::Time deadline) const;
  void Exclude(size_t index, uint64_t worker, TokenGroup::KeyStanding standing,
               absl::string_view why) const;
  void NoteAbsence(size_t index, uint64_t worker, const TokenGroup::Answer& answer) const;
  std::string AnotherKey() const;
  // Whether the mechanism can make so many bytes of a plaintext of so many.
  bool Fits(size_t sealed, size_t plaintext) const;

  const std::shared_ptr<TokenGroup> tokens_;
  const KeyReference reference_;
  const std::string name_;
  mutable Mutex mu_;
  mutable std::string sealed_ ABSL_GUARDED_BY(mu_);
  mutable std::string associated_data_ ABSL_GUARDED_BY(mu_);
  mutable std::atomic<bool> remembers_ = false;
  mutable NonceHistory nonces_;  // of all tokens together
  mutable std::array<Place, TokenGroup::kMostTokens> places_;
};

}  // namespace kekd

#endif  // KEKD_HSM_PKCS11_KEY_H_
