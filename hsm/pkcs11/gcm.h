// AES-GCM on a token (CKM_AES_GCM).
#ifndef KEKD_HSM_PKCS11_GCM_H_
#define KEKD_HSM_PKCS11_GCM_H_

#include <array>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/bytes.h"
#include "base/mutex.h"
#include "base/random_source.h"
#include "base/secret_bytes.h"
#include "hsm/pkcs11/cryptoki.h"
#include "hsm/pkcs11/module.h"
#include "hsm/token/key_reference.h"

namespace kekd {

inline constexpr size_t kGcmTagBytes = 16;
inline constexpr size_t kMaxGcmPlaintextBytes = 4096;
// Of the nonce at the front of what GcmSeal makes: 12, or 16 for kTokenAppended.
size_t GcmNonceBytes(KeyMechanism mechanism);

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

// NonceHistory knows the nonces that were last made with one key: a token that makes them itself
// and begins anew somewhere (after a restart, from a clone, with a broken generator) gives the key
// away with the first one that it uses twice. Thread-safe.
class NonceHistory final {
 public:
  static constexpr size_t kKept = 64;

  // Notes the nonce of what GcmSeal made. Internal if it is the first one that was noted or one of
  // the last kKept: what was sealed must not leave this process then.
  absl::Status Note(absl::string_view sealed, KeyMechanism mechanism);

 private:
  Mutex mu_;
  std::string first_ ABSL_GUARDED_BY(mu_);
  std::array<std::string, kKept> last_ ABSL_GUARDED_BY(mu_);
  size_t next_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace kekd

#endif  // KEKD_HSM_PKCS11_GCM_H_
