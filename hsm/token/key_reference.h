// What the keyring's record says of a key on a token.
#ifndef KEKD_HSM_TOKEN_KEY_REFERENCE_H_
#define KEKD_HSM_TOKEN_KEY_REFERENCE_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "hsm/token/token_uri.h"

namespace kekd {

// How a key on a token seals and opens. Found out by a round trip when the key is made or adopted,
// never assumed by vendor. AES-GCM differs in who makes the initialisation vector (NIST
// SP 800-38D, section 8.2). In the order in which they are preferred; numbers are never reused.
enum class KeyMechanism : uint8_t {
  kGcmCallerIv = 1,  // 12 bytes of ours
  kGcmTokenIv = 2,  // the token makes it and writes it into the parameter's 12 bytes (AWS CloudHSM)
  // The token makes 16 bytes and appends them after the tag (Luna in FIPS mode).
  kGcmTokenIvAppended = 3,
  // The token makes 12 bytes in C_EncryptMessage (PKCS#11 3.0, section 5.9).
  kGcmMessage = 4,
  kAesKwp = 5,  // CKM_AES_KEY_WRAP_KWP: RFC 5649
  kAesKw = 6,   // CKM_AES_KEY_WRAP: RFC 3394
  kAesKwPad =
      7,  // CKM_AES_KEY_WRAP_PAD: RFC 5649 or RFC 3394 after PKCS#7 padding, as the token has it
  // CKM_AES_CBC under a random IV, then CKM_SHA256_HMAC over IV and ciphertext with a second key.
  kAesCbcHmac = 8,
  kRsaOaepSha256 = 9,  // RFC 8017, section 7.1: SHA-256 and MGF1 with it, no label
  kRsaOaepSha1 = 10,
};
inline constexpr auto kLastKeyMechanism = static_cast<uint8_t>(KeyMechanism::kRsaOaepSha1);

// Whether it seals data of any size together with its associated data, which AES-GCM does. The
// others take kOneTimeKeyBytes bytes, a one-time key, and nothing with them.
constexpr bool BindsAssociatedData(KeyMechanism mechanism) {
  return mechanism <= KeyMechanism::kGcmMessage;
}
constexpr bool IsRsa(KeyMechanism mechanism) { return mechanism >= KeyMechanism::kRsaOaepSha256; }
inline constexpr size_t kOneTimeKeyBytes = 32;
// For people: "AES-GCM with kekd's IV", "AES-KWP", "RSA-OAEP with SHA-256", …
absl::string_view ToString(KeyMechanism mechanism);

// KeyReference is KeyMaterial::key_reference of a key on a token: an RFC 7512 URI of the key and of
// the token that it was made on, with how it is used and why as vendor attributes:
//
//   pkcs11:token=prod;serial=0a1b;object=kekd-prod-3;id=%01%02…?x-kekd-iv=caller
//   …?x-kekd-iv=token&x-kekd-iv-reason=CKR_MECHANISM_PARAM_INVALID&x-kekd-for=…
//   …?x-kekd-wrap=aes-kw&x-kekd-wrap-reason=AES-GCM%3A%20CKR_MECHANISM_INVALID…&x-kekd-for=…
//   …?x-kekd-wrap=rsa-oaep-sha256&x-kekd-wrap-reason=…&x-kekd-public-key=MIIB…&x-kekd-origin=…&x-kekd-for=…
//
// The model and the serial are written down; opening a key asks for the label of the token and for
// CKA_ID and CKA_LABEL of the key, not for the serial: a clone of the token is as good, and the
// canary tells if it is not.
struct KeyReference {
  TokenSelector token;
  KeySelector key;
  KeyMechanism mechanism = KeyMechanism::kGcmCallerIv;
  std::string mechanism_reason;  // what ruled out those before it; empty for the first
  // Of an RSA key, and only of one: its SubjectPublicKeyInfo (RFC 5280), DER. In the text as
  // base64url without padding.
  std::string public_key;
  // Of an RSA key, and only of one: random bytes that kekd had it encrypt, which are mixed into
  // every one-time key (one_time_key.h): who knows the public key alone makes no ciphertext of it.
  // Written as the public key is. For kekd alone, not sent to the worker.
  std::string origin;
  // Which version of which ring it is the key of: "<cluster id>/<ring UUID>/<version>", or
  // "…/ring-key" of one that wraps the ring key. For kekd alone, not sent to the worker.
  std::string made_for;

  // DataLoss if it is none that ToString has made. Needs the library hsm_uri.
  static absl::StatusOr<KeyReference> Parse(absl::string_view text);
  std::string ToString() const;

  friend bool operator==(const KeyReference& a, const KeyReference& b) {
    return a.token == b.token && a.key == b.key && a.mechanism == b.mechanism &&
           a.mechanism_reason == b.mechanism_reason && a.public_key == b.public_key &&
           a.origin == b.origin && a.made_for == b.made_for;
  }
};

}  // namespace kekd

#endif  // KEKD_HSM_TOKEN_KEY_REFERENCE_H_
