// AES-GCM on a token (CKM_AES_GCM).
#ifndef KEKD_HSM_PKCS11_GCM_H_
#define KEKD_HSM_PKCS11_GCM_H_

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

inline constexpr size_t kGcmTagBytes = 16;
inline constexpr size_t kMaxGcmPlaintextBytes = 4096;
// Of the nonce at the front of what GcmSeal makes: 12, or 16 for kTokenAppended.
size_t GcmNonceBytes(GcmIv iv);

// nonce || ciphertext || tag, whoever makes the initialisation vector. One of ours is random bytes
// of `random`, combined with the token's own (C_GenerateRandom) if it has any. The plaintext has 1
// to kMaxGcmPlaintextBytes bytes and the associated data is not empty (SoftHSM 2.6.1 crashes
// without any): InvalidArgument. After an error an operation may be left active in the session.
absl::StatusOr<std::string> GcmSeal(const Module& module, CK_SESSION_HANDLE session,
                                    CK_OBJECT_HANDLE key, GcmIv iv, const RandomSource& random,
                                    const SecretBytes& plaintext, ByteView associated_data);
absl::StatusOr<SecretBytes> GcmOpen(const Module& module, CK_SESSION_HANDLE session,
                                    CK_OBJECT_HANDLE key, GcmIv iv, ByteView sealed,
                                    ByteView associated_data);

struct FoundIv {
  GcmIv iv = GcmIv::kCaller;
  std::string reason;  // see KeyReference::iv_reason
};
// Finds out how the token does AES-GCM with this key: the first way in which what was sealed opens
// again, does not open with other associated data or another tag, and has a nonce of its own each
// time. The error of the first way if there is none. Renews the lease as it needs.
absl::StatusOr<FoundIv> FindGcmIv(const Module& module, SessionPool::Lease& lease,
                                  CK_OBJECT_HANDLE key, const RandomSource& random);

}  // namespace kekd

#endif  // KEKD_HSM_PKCS11_GCM_H_
