// RSA-OAEP (RFC 8017, section 7.1): the public key's part here, the private key's on the token.
#ifndef KEKD_HSM_PKCS11_RSA_OAEP_H_
#define KEKD_HSM_PKCS11_RSA_OAEP_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/bytes.h"
#include "base/secret_bytes.h"
#include "hsm/pkcs11/cryptoki.h"
#include "hsm/pkcs11/module.h"
#include "hsm/token/key_reference.h"

namespace kekd {

inline constexpr size_t kMinRsaBits = 2048;
inline constexpr size_t kMaxRsaBits = 4096;

// SubjectPublicKeyInfo, DER, of a modulus and a public exponent, big-endian. FailedPrecondition if
// no such key is used: of another size, or with an exponent that is even, 1, or of more than 256
// bits.
absl::StatusOr<std::string> EncodePublicKey(ByteView modulus, ByteView exponent);

// Encrypts by libcrypto: what needs no secret needs no token, and not every token's C_Encrypt does
// it well. As many bytes as the modulus has. FailedPrecondition if `public_key` is none.
absl::StatusOr<std::string> OaepSeal(absl::string_view public_key, KeyMechanism mechanism,
                                     const SecretBytes& one_time_key);
// Decrypts on the token (CKM_RSA_PKCS_OAEP).
absl::StatusOr<SecretBytes> OaepOpen(const Module& module, CK_SESSION_HANDLE session,
                                     CK_OBJECT_HANDLE key, KeyMechanism mechanism, ByteView sealed);

}  // namespace kekd

#endif  // KEKD_HSM_PKCS11_RSA_OAEP_H_
