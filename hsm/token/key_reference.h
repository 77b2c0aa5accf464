// What the keyring's record says of a key on a token.
#ifndef KEKD_HSM_TOKEN_KEY_REFERENCE_H_
#define KEKD_HSM_TOKEN_KEY_REFERENCE_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "hsm/token/token_uri.h"

namespace kekd {

// How a key on a token seals and opens. Found out by a round trip when the key is made or adopted,
// never assumed by vendor. AES-GCM differs in who makes the initialisation vector (NIST
// SP 800-38D, section 8.2).
enum class KeyMechanism : uint8_t {
  kGcmCallerIv = 1,  // 12 bytes of ours
  kGcmTokenIv = 2,  // the token makes it and writes it into the parameter's 12 bytes (AWS CloudHSM)
  // The token makes 16 bytes and appends them after the tag (Luna in FIPS mode).
  kGcmTokenIvAppended = 3,
};

// KeyReference is KeyMaterial::key_reference of a key on a token: an RFC 7512 URI of the key and of
// the token that it was made on, with how it is used and why as vendor attributes:
//
//   pkcs11:token=prod;serial=0a1b;object=kekd-prod-3;id=%01%02…?x-kekd-iv=caller
//   …?x-kekd-iv=token&x-kekd-iv-reason=CKR_MECHANISM_PARAM_INVALID&x-kekd-for=…
//
// The model and the serial are written down; opening a key asks for the label of the token and for
// CKA_ID and CKA_LABEL of the key, not for the serial: a clone of the token is as good, and the
// canary tells if it is not.
struct KeyReference {
  TokenSelector token;
  KeySelector key;
  KeyMechanism mechanism = KeyMechanism::kGcmCallerIv;
  std::string mechanism_reason;  // what ruled out those before it; empty for the first
  // Which version of which ring it is the key of: "<cluster id>/<ring UUID>/<version>". For kekd
  // alone, not sent to the worker.
  std::string made_for;

  // DataLoss if it is none that ToString has made. Needs the library hsm_uri.
  static absl::StatusOr<KeyReference> Parse(absl::string_view text);
  std::string ToString() const;

  friend bool operator==(const KeyReference& a, const KeyReference& b) {
    return a.token == b.token && a.key == b.key && a.mechanism == b.mechanism &&
           a.mechanism_reason == b.mechanism_reason && a.made_for == b.made_for;
  }
};

}  // namespace kekd

#endif  // KEKD_HSM_TOKEN_KEY_REFERENCE_H_
