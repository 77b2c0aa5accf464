// Keys on a PKCS#11 token.
#ifndef KEKD_HSM_PKCS11_KEY_BACKEND_H_
#define KEKD_HSM_PKCS11_KEY_BACKEND_H_

#include <memory>

#include "absl/strings/string_view.h"
#include "base/random_source.h"
#include "hsm/token_client.h"
#include "hsm/token_group.h"
#include "keystore/key_backend.h"

namespace kekd {

inline constexpr absl::string_view kPkcs11Backend = "pkcs11";

// Custody `device`: the key is made on the token, never leaves it, and every operation goes there
// (AES-256-GCM, or a one-time key that the token wraps). New keys are labelled "<label>-<version>",
// one that wraps the ring key "<label>-ring-key", with a random CKA_ID; an empty label stands for
// "kekd-<keyring>". It is a KeyAdopter, which takes a PKCS#11 URI of a key (and of the token, if it
// says which), and a KeyAttester. `random` outlives it.
//
// Of several tokens the first makes and adopts keys. Copying them is the operator's, by the tool of
// the token's maker; so DestroyKey destroys the key where it was made, and no copy.
std::unique_ptr<KeyBackend> CreatePkcs11KeyBackend(std::shared_ptr<TokenGroup> tokens,
                                                   std::string label, const RandomSource& random);
std::unique_ptr<KeyBackend> CreatePkcs11KeyBackend(std::shared_ptr<TokenClient> token,
                                                   std::string label, const RandomSource& random);

}  // namespace kekd

#endif  // KEKD_HSM_PKCS11_KEY_BACKEND_H_
