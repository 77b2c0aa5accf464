// AES-CBC and HMAC on a token: encrypt, then MAC.
#ifndef KEKD_HSM_PKCS11_CBC_HMAC_H_
#define KEKD_HSM_PKCS11_CBC_HMAC_H_

#include <string>

#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/random_source.h"
#include "base/secret_bytes.h"
#include "hsm/pkcs11/cryptoki.h"
#include "hsm/pkcs11/module.h"

namespace kekd {

inline constexpr size_t kCbcIvBytes = 16;

// IV || ciphertext || HMAC-SHA-256 over both: 96 bytes. The IV is random bytes of `random`; CBC is
// without padding (CKM_AES_CBC), of a one-time key and 16 fixed bytes. The MAC is compared here, in
// constant time, before anything is decrypted: what does not fit is an error with
// CKR_SIGNATURE_INVALID. The two keys have nothing to do with each other, so the MAC proves nothing
// of the AES key; that the fixed bytes come out does. If not: CKR_ENCRYPTED_DATA_INVALID.
absl::StatusOr<std::string> CbcHmacSeal(const Module& module, CK_SESSION_HANDLE session,
                                        CK_OBJECT_HANDLE key, CK_OBJECT_HANDLE mac_key,
                                        const RandomSource& random, const SecretBytes& plaintext);
absl::StatusOr<SecretBytes> CbcHmacOpen(const Module& module, CK_SESSION_HANDLE session,
                                        CK_OBJECT_HANDLE key, CK_OBJECT_HANDLE mac_key,
                                        ByteView sealed);

}  // namespace kekd

#endif  // KEKD_HSM_PKCS11_CBC_HMAC_H_
