// Key wrap on a token: NIST SP 800-38F.
#ifndef KEKD_HSM_PKCS11_KEY_WRAP_H_
#define KEKD_HSM_PKCS11_KEY_WRAP_H_

#include <string>

#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/secret_bytes.h"
#include "hsm/pkcs11/cryptoki.h"
#include "hsm/pkcs11/module.h"
#include "hsm/token/key_reference.h"

namespace kekd {

// C_WrapKey takes objects, not bytes: the one-time key is one in the session while it is wrapped,
// and while it is read after C_UnwrapKey. Neither outlives the call; if one can't be destroyed that
// is an error, and whoever gets one closes the session, which ends it too. 40 bytes, or 48 where a
// token pads before it wraps.
absl::StatusOr<std::string> WrapOneTimeKey(const Module& module, CK_SESSION_HANDLE session,
                                           CK_OBJECT_HANDLE key, KeyMechanism mechanism,
                                           const SecretBytes& one_time_key);
absl::StatusOr<SecretBytes> UnwrapOneTimeKey(const Module& module, CK_SESSION_HANDLE session,
                                             CK_OBJECT_HANDLE key, KeyMechanism mechanism,
                                             ByteView wrapped);

}  // namespace kekd

#endif  // KEKD_HSM_PKCS11_KEY_WRAP_H_
