#include "hsm/pkcs11/mechanism.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "hsm/pkcs11/cbc_hmac.h"
#include "hsm/pkcs11/cryptoki_status.h"
#include "hsm/pkcs11/gcm.h"
#include "hsm/pkcs11/key_wrap.h"
#include "hsm/pkcs11/message_gcm.h"
#include "hsm/pkcs11/rsa_oaep.h"
#include "hsm/token/nonce_history.h"

namespace kekd {
namespace {

constexpr absl::string_view kTrialData = "kekd/round-trip/1";
constexpr int kRefusals = 2;

absl::Status MustNotOpen(const Module& module, SessionPool::Lease& lease, const SealingKey& key,
                         const std::string& sealed, absl::string_view associated_data,
                         absl::string_view what) {
  // Twice: the first refusal may be a bad moment, and not of the data.
  for (int i = 0; i < kRefusals; ++i) {
    const absl::StatusOr<SecretBytes> opened =
        Open(module, lease.session(), key, AsBytes(sealed), AsBytes(associated_data));
    if (opened.ok()) {
      return absl::FailedPreconditionError(
          absl::StrCat("the token opens it with ", what, " altered"));
    }
    // An error of another kind has said nothing about the data.
    const std::optional<CkRv> rv = CkRvOf(opened.status());
    if (!rv.has_value() || !IsAmbiguousOnDecrypt(*rv)) return opened.status();
    KEKD_RETURN_IF_ERROR(lease.Renew());
  }
  return absl::OkStatus();
}

// One byte of each part of what was sealed.
std::vector<size_t> PartsOf(const SealingKey& key, size_t size) {
  if (key.mechanism == KeyMechanism::kAesCbcHmac) return {0, kCbcIvBytes, size - 1};
  return {size - 1};
}

}  // namespace

KeyKind KindOf(KeyMechanism mechanism) {
  if (BindsAssociatedData(mechanism)) return KeyKind::kCipher;
  if (IsRsa(mechanism)) return KeyKind::kRsa;
  return mechanism == KeyMechanism::kAesCbcHmac ? KeyKind::kCipherAndMac : KeyKind::kWrapping;
}

absl::StatusOr<std::string> Seal(const Module& module, CK_SESSION_HANDLE session,
                                 const SealingKey& key, const RandomSource& random,
                                 const SecretBytes& plaintext, ByteView associated_data) {
  if (!BindsAssociatedData(key.mechanism) &&
      (plaintext.size() != kOneTimeKeyBytes || !associated_data.empty())) {
    return absl::InvalidArgumentError(absl::StrCat(ToString(key.mechanism),
                                                   " takes a one-time key of ", kOneTimeKeyBytes,
                                                   " bytes, and no associated data"));
  }
  if (key.mechanism == KeyMechanism::kGcmMessage) {
    return MessageGcmSeal(module, session, key.key, plaintext, associated_data);
  }
  switch (KindOf(key.mechanism)) {
    case KeyKind::kCipher:
      return GcmSeal(module, session, key.key, key.mechanism, random, plaintext, associated_data);
    case KeyKind::kWrapping:
      return WrapOneTimeKey(module, session, key.key, key.mechanism, plaintext);
    case KeyKind::kCipherAndMac:
      return CbcHmacSeal(module, session, key.key, key.mac_key, random, plaintext);
    case KeyKind::kRsa:
      return OaepSeal(key.public_key, key.mechanism, plaintext);
  }
  return absl::InternalError("no such mechanism");
}

absl::StatusOr<SecretBytes> Open(const Module& module, CK_SESSION_HANDLE session,
                                 const SealingKey& key, ByteView sealed, ByteView associated_data) {
  if (!BindsAssociatedData(key.mechanism) && !associated_data.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(ToString(key.mechanism), " takes no associated data"));
  }
  if (key.mechanism == KeyMechanism::kGcmMessage) {
    return MessageGcmOpen(module, session, key.key, sealed, associated_data);
  }
  switch (KindOf(key.mechanism)) {
    case KeyKind::kCipher:
      return GcmOpen(module, session, key.key, key.mechanism, sealed, associated_data);
    case KeyKind::kWrapping:
      return UnwrapOneTimeKey(module, session, key.key, key.mechanism, sealed);
    case KeyKind::kCipherAndMac:
      return CbcHmacOpen(module, session, key.key, key.mac_key, sealed);
    case KeyKind::kRsa:
      return OaepOpen(module, session, key.key, key.mechanism, sealed);
  }
  return absl::InternalError("no such mechanism");
}

absl::Status TryRoundTrip(const Module& module, SessionPool::Lease& lease, const SealingKey& key,
                          const RandomSource& random) {
  SecretBytes plaintext(kOneTimeKeyBytes);
  KEKD_RETURN_IF_ERROR(random.Fill(plaintext.RevealMutable(SecretAccessToken())));
  const bool binds = BindsAssociatedData(key.mechanism);
  const absl::string_view data = binds ? kTrialData : absl::string_view();
  const auto seal = [&] {
    return Seal(module, lease.session(), key, random, plaintext, AsBytes(data));
  };
  KEKD_ASSIGN_OR_RETURN(const std::string sealed, seal());
  if (binds) {
    // A token may begin anew with each session.
    KEKD_RETURN_IF_ERROR(lease.Renew());
    KEKD_ASSIGN_OR_RETURN(const std::string again, seal());
    const size_t nonce_size = GcmNonceBytes(key.mechanism);
    if (sealed.compare(0, nonce_size, again, 0, nonce_size) == 0) {
      // Its keys may be no better: none is made on it, for no mechanism.
      return absl::InternalError("the token's AES-GCM uses an initialisation vector twice");
    }
  }
  for (const size_t at : PartsOf(key, sealed.size())) {
    std::string altered = sealed;
    altered[at] = static_cast<char>(altered[at] ^ 1);
    KEKD_RETURN_IF_ERROR(MustNotOpen(module, lease, key, altered, data, absl::StrCat("byte ", at)));
  }
  if (binds) {
    KEKD_RETURN_IF_ERROR(
        MustNotOpen(module, lease, key, sealed, "kekd/round-trip/2", "the associated data"));
  }
  KEKD_ASSIGN_OR_RETURN(const SecretBytes opened,
                        Open(module, lease.session(), key, AsBytes(sealed), AsBytes(data)));
  if (!SecretBytes::ConstantTimeEquals(opened, plaintext)) {
    return absl::FailedPreconditionError("the token opens what it sealed to something else");
  }
  return absl::OkStatus();
}

}  // namespace kekd
