// What a token says of its keys.
#ifndef KEKD_HSM_PKCS11_KEY_CLAIMS_H_
#define KEKD_HSM_PKCS11_KEY_CLAIMS_H_

#include "absl/status/statusor.h"
#include "hsm/pkcs11/cryptoki.h"
#include "hsm/pkcs11/module.h"
#include "hsm/token/worker_message.h"

namespace kekd {

// What the token says of a key where it says something: what it leaves out, refuses to tell or
// claims to have told without having written it is not told. An error of the session or the device
// is an error.
absl::StatusOr<KeyClaims> ReadClaims(const Module& module, CK_SESSION_HANDLE session,
                                     CK_OBJECT_HANDLE key);

}  // namespace kekd

#endif  // KEKD_HSM_PKCS11_KEY_CLAIMS_H_
