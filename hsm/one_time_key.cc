#include "hsm/one_time_key.h"

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "keystore/ciphertext.h"
#include "keystore/digest.h"

namespace kekd {
namespace {

constexpr absl::string_view kDataKey = "kekd/one-time-key/1";

}  // namespace

absl::StatusOr<std::unique_ptr<const Aead>> OneTimeKey::DataKey(SecretBytes one_time_key) const {
  if (!origin_.empty()) {
    KEKD_ASSIGN_OR_RETURN(one_time_key,
                          HkdfSha256(one_time_key, origin_.Reveal(SecretAccessToken()), kDataKey));
  }
  return CreateAead(Algorithm::kAes256Gcm, std::move(one_time_key), random_);
}

absl::StatusOr<std::string> OneTimeKey::Encrypt(const SecretBytes& plaintext,
                                                ByteView associated_data,
                                                absl::Time deadline) const {
  SecretBytes one_time_key(kAes256KeyBytes);
  KEKD_RETURN_IF_ERROR(random_.Fill(one_time_key.RevealMutable(SecretAccessToken())));
  KEKD_ASSIGN_OR_RETURN(const std::string wrapped,
                        wrapping_->Encrypt(one_time_key, ByteView(), deadline));
  if (wrapped.empty() || wrapped.size() > Ciphertext::kMaxWrappedKeyBytes) {
    return absl::InternalError(absl::StrCat("a wrapped key of ", wrapped.size(), " bytes"));
  }
  std::string sealed = WrappedKeyCiphertext::Header(wrapped);
  const size_t around =
      Ciphertext::kHeaderBytes + sealed.size() + NonceSize(algorithm()) + kAeadTagBytes;
  if (around + plaintext.size() > Ciphertext::kMaxBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a plaintext of ", plaintext.size(), " bytes is too large: under this key, which wraps to ",
        wrapped.size(), " bytes, it may have ", Ciphertext::kMaxBytes - around));
  }
  KEKD_ASSIGN_OR_RETURN(const std::unique_ptr<const Aead> aead, DataKey(std::move(one_time_key)));
  KEKD_ASSIGN_OR_RETURN(const std::string data, aead->Encrypt(plaintext, associated_data));
  return absl::StrCat(sealed, data);
}

absl::StatusOr<SecretBytes> OneTimeKey::Unwrap(ByteView wrapped, absl::Time deadline) const {
  KEKD_ASSIGN_OR_RETURN(SecretBytes one_time_key,
                        wrapping_->Decrypt(wrapped, ByteView(), deadline));
  if (one_time_key.size() != kAes256KeyBytes) {
    return absl::InternalError("a one-time key of another size came out");
  }
  return one_time_key;
}

absl::StatusOr<SecretBytes> OneTimeKey::Open(const SecretBytes& one_time_key, ByteView sealed,
                                             ByteView associated_data) const {
  KEKD_ASSIGN_OR_RETURN(const std::unique_ptr<const Aead> aead, DataKey(one_time_key.Clone()));
  return aead->Decrypt(sealed, associated_data);
}

absl::StatusOr<SecretBytes> OneTimeKey::Decrypt(ByteView sealed, ByteView associated_data,
                                                absl::Time deadline) const {
  KEKD_ASSIGN_OR_RETURN(const WrappedKeyCiphertext parts, WrappedKeyCiphertext::Parse(sealed));
  KEKD_ASSIGN_OR_RETURN(const SecretBytes one_time_key, Unwrap(parts.wrapped_key, deadline));
  absl::StatusOr<SecretBytes> opened = Open(one_time_key, parts.sealed, associated_data);
  if (!absl::IsInvalidArgument(opened.status())) return opened;
  // Either the data is not what was sealed, or the device has unwrapped to something else, which
  // most mechanisms don't notice and which it may not do twice.
  const absl::StatusOr<SecretBytes> again = Unwrap(parts.wrapped_key, deadline);
  if (!again.ok() && !absl::IsInvalidArgument(again.status())) return again.status();
  if (again.ok()) {
    if (SecretBytes::ConstantTimeEquals(one_time_key, *again)) return opened;
    opened = Open(*again, parts.sealed, associated_data);
    if (!absl::IsInvalidArgument(opened.status())) return opened;
  }
  return absl::UnavailableError("the device unwraps the same key to something else each time");
}

}  // namespace kekd
