// AES-GCM by the message functions of PKCS#11 3.0, which let the token make the nonce.
#ifndef KEKD_HSM_PKCS11_MESSAGE_GCM_H_
#define KEKD_HSM_PKCS11_MESSAGE_GCM_H_

#include <string>

#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/secret_bytes.h"
#include "hsm/pkcs11/cryptoki.h"
#include "hsm/pkcs11/module.h"

namespace kekd {

// As GcmSeal and GcmOpen (gcm.h), with a nonce of 12 bytes of the token's (CKG_GENERATE_RANDOM).
// FailedPrecondition with CKR_FUNCTION_NOT_SUPPORTED if the module has no such functions.
absl::StatusOr<std::string> MessageGcmSeal(const Module& module, CK_SESSION_HANDLE session,
                                           CK_OBJECT_HANDLE key, const SecretBytes& plaintext,
                                           ByteView associated_data);
absl::StatusOr<SecretBytes> MessageGcmOpen(const Module& module, CK_SESSION_HANDLE session,
                                           CK_OBJECT_HANDLE key, ByteView sealed,
                                           ByteView associated_data);

}  // namespace kekd

#endif  // KEKD_HSM_PKCS11_MESSAGE_GCM_H_
