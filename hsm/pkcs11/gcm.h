// AES-GCM on a token (CKM_AES_GCM).
#ifndef KEKD_HSM_PKCS11_GCM_H_
#define KEKD_HSM_PKCS11_GCM_H_

#include <string>

#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/random_source.h"
#include "base/secret_bytes.h"
#include "hsm/pkcs11/cryptoki.h"
#include "hsm/pkcs11/module.h"
#include "hsm/token/key_reference.h"

namespace kekd {

inline constexpr size_t kGcmTagBytes = 16;
inline constexpr size_t kMaxGcmPlaintextBytes = 4096;

// nonce || ciphertext || tag, whoever makes the initialisation vector. One of ours is random bytes
// of `random`. The plaintext has 1 to kMaxGcmPlaintextBytes bytes and the associated data is not
// empty (SoftHSM 2.6.1 crashes without any): InvalidArgument. After an error an operation may be
// left active in the session.
absl::StatusOr<std::string> GcmSeal(const Module& module, CK_SESSION_HANDLE session,
                                    CK_OBJECT_HANDLE key, KeyMechanism mechanism,
                                    const RandomSource& random, const SecretBytes& plaintext,
                                    ByteView associated_data);
absl::StatusOr<SecretBytes> GcmOpen(const Module& module, CK_SESSION_HANDLE session,
                                    CK_OBJECT_HANDLE key, KeyMechanism mechanism, ByteView sealed,
                                    ByteView associated_data);

}  // namespace kekd

#endif  // KEKD_HSM_PKCS11_GCM_H_
