#include "hsm/pkcs11_key.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/hex.h"
#include "base/status_macros.h"
#include "keystore/aead.h"

namespace kekd {
namespace {

// What AES-GCM adds where the token makes the IV in its own way (key_reference.h).
constexpr size_t kAppendedIvBytes = 16;
// How often a worker that is replaced under an Encrypt is followed.
constexpr int kEncryptRounds = 3;

}  // namespace

absl::Time BeforeDeadline(absl::Time deadline) {
  const absl::Duration left = deadline - absl::Now();
  return deadline - std::clamp(left / 10, absl::ZeroDuration(), absl::Milliseconds(50));
}

absl::StatusOr<std::string> Pkcs11Key::Encrypt(const SecretBytes& plaintext,
                                               ByteView associated_data,
                                               absl::Time deadline) const {
  const absl::Time earlier = BeforeDeadline(deadline);
  for (int round = 0; round < kEncryptRounds; ++round) {
    const uint64_t worker = token_->starts();
    KEKD_ASSIGN_OR_RETURN(std::string sealed, EncryptOnce(plaintext, associated_data, earlier));
    if (token_->starts() == worker) {
      if (worker == proven_ || !remembers_) return sealed;
      KEKD_RETURN_IF_ERROR(Prove(earlier));
      // Proven after it has encrypted: nothing can be looked up between the two.
      if (worker == proven_) return sealed;
    }
  }
  return absl::UnavailableError("the HSM worker was replaced again and again under an encrypt");
}

absl::StatusOr<SecretBytes> Pkcs11Key::Decrypt(ByteView sealed, ByteView associated_data,
                                               absl::Time deadline) const {
  const uint64_t worker = token_->starts();
  KEKD_ASSIGN_OR_RETURN(SecretBytes plaintext,
                        DecryptOnce(sealed, associated_data, BeforeDeadline(deadline)));
  if (!remembers_) Remember(sealed, associated_data, worker);
  return plaintext;
}

absl::StatusOr<std::string> Pkcs11Key::EncryptOnce(const SecretBytes& plaintext,
                                                   ByteView associated_data,
                                                   absl::Time deadline) const {
  KEKD_ASSIGN_OR_RETURN(std::string sealed,
                        token_->Encrypt(reference_, plaintext, associated_data, deadline));
  if (sealed.size() != Overhead() + plaintext.size()) {
    return absl::InternalError(absl::StrCat("the HSM worker made ", sealed.size(),
                                            " bytes of a plaintext of ", plaintext.size()));
  }
  return sealed;
}

absl::StatusOr<SecretBytes> Pkcs11Key::DecryptOnce(ByteView sealed, ByteView associated_data,
                                                   absl::Time deadline) const {
  if (sealed.size() < Overhead()) {
    return absl::InvalidArgumentError("the ciphertext is too short to be one");
  }
  KEKD_ASSIGN_OR_RETURN(SecretBytes plaintext,
                        token_->Decrypt(reference_, sealed, associated_data, deadline));
  if (sealed.size() != Overhead() + plaintext.size()) {
    return absl::InternalError(absl::StrCat("the HSM worker made ", plaintext.size(),
                                            " bytes of a ciphertext of ", sealed.size()));
  }
  return plaintext;
}

void Pkcs11Key::Remember(ByteView sealed, ByteView associated_data, uint64_t worker) const {
  MutexLock lock(&mu_);
  if (remembers_) return;
  sealed_ = std::string(AsText(sealed));
  associated_data_ = std::string(AsText(associated_data));
  if (token_->starts() == worker) proven_ = worker;
  remembers_ = true;
}

absl::Status Pkcs11Key::Prove(absl::Time deadline) const {
  std::string sealed, associated_data;
  {
    MutexLock lock(&mu_);
    sealed = sealed_;
    associated_data = associated_data_;
  }
  const uint64_t worker = token_->starts();
  const absl::Status opened =
      DecryptOnce(AsBytes(sealed), AsBytes(associated_data), deadline).status();
  if (absl::IsInvalidArgument(opened)) {
    return absl::FailedPreconditionError(
        absl::StrCat("the token has another key of this name than before (label \"",
                     reference_.key.label, "\", id ", HexEncode(AsBytes(reference_.key.id)), ")"));
  }
  KEKD_RETURN_IF_ERROR(opened);
  if (token_->starts() == worker) proven_ = worker;
  return absl::OkStatus();
}

size_t Pkcs11Key::Overhead() const {
  const size_t iv = reference_.mechanism == KeyMechanism::kGcmTokenIvAppended
                        ? kAppendedIvBytes
                        : NonceSize(Algorithm::kAes256Gcm);
  return iv + kAeadTagBytes;
}

}  // namespace kekd
