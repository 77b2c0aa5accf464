// What a key on a token does for us, whatever its mechanism.
#ifndef KEKD_HSM_PKCS11_MECHANISM_H_
#define KEKD_HSM_PKCS11_MECHANISM_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/random_source.h"
#include "base/secret_bytes.h"
#include "hsm/pkcs11/cryptoki.h"
#include "hsm/pkcs11/module.h"
#include "hsm/pkcs11/session_pool.h"
#include "hsm/token/key_reference.h"

namespace kekd {

// The objects that mechanisms need. An AES key that encrypts is not the one that wraps: who may do
// both could wrap one key and decrypt it.
enum class KeyKind : uint8_t {
  kCipher,        // AES-256: CKA_ENCRYPT, CKA_DECRYPT
  kWrapping,      // AES-256: CKA_WRAP, CKA_UNWRAP
  kCipherAndMac,  // AES-256 as kCipher, and a secret for HMAC: CKA_SIGN
  kRsa,           // a private key: CKA_DECRYPT
};
KeyKind KindOf(KeyMechanism mechanism);

// A key as its mechanism uses it. The handles are good for as long as the token's login.
struct SealingKey {
  KeyMechanism mechanism = KeyMechanism::kGcmCallerIv;
  CK_OBJECT_HANDLE key = 0;      // 0: none
  CK_OBJECT_HANDLE mac_key = 0;  // of kCipherAndMac
  std::string public_key;        // of kRsa: see KeyReference
};

// What the mechanism makes of it: nonce || ciphertext || tag, or the wrapped one-time key. What
// there is may be sealed is as BindsAssociatedData says; InvalidArgument without a CK_RV otherwise.
// After an error an operation or an object may be left in the session: it is closed then.
absl::StatusOr<std::string> Seal(const Module& module, CK_SESSION_HANDLE session,
                                 const SealingKey& key, const RandomSource& random,
                                 const SecretBytes& plaintext, ByteView associated_data);
// An error that carries a CK_RV does not say yet whether it is the data or the token
// (IsAmbiguousOnDecrypt); InvalidArgument without one is about the data.
absl::StatusOr<SecretBytes> Open(const Module& module, CK_SESSION_HANDLE session,
                                 const SealingKey& key, ByteView sealed, ByteView associated_data);

// Whether the mechanism works with the key: what was sealed opens again, does not open with any
// part of it altered nor with other associated data, and a token's nonces do not repeat.
// FailedPrecondition without a CK_RV if it does something else; Internal if nonces repeat: whatever
// else the token can do, it has no generator to make keys with. Renews the lease as it needs.
absl::Status TryRoundTrip(const Module& module, SessionPool::Lease& lease, const SealingKey& key,
                          const RandomSource& random);

}  // namespace kekd

#endif  // KEKD_HSM_PKCS11_MECHANISM_H_
