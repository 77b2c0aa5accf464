// Keys on a token: made, and destroyed.
#ifndef KEKD_HSM_PKCS11_KEY_MAKING_H_
#define KEKD_HSM_PKCS11_KEY_MAKING_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "hsm/pkcs11/cryptoki.h"
#include "hsm/pkcs11/mechanism.h"
#include "hsm/pkcs11/module.h"
#include "hsm/token/worker_message.h"

namespace kekd {

enum class Lifetime : bool { kSession, kToken };

// Makes the objects of a kind, for what it needs and nothing else: sensitive, not extractable, an
// AES-256 key, with an HMAC key of 32 bytes beside it where there is to be one, or an RSA pair of
// 3072 bits, of 2048 where the token makes no larger one. Whether they became that has to be read
// back. `session` may write if they are to stay. After an error some of them may be there.
absl::StatusOr<SealingKey> MakeKey(const Module& module, CK_SESSION_HANDLE session, KeyKind kind,
                                   const NewKey& key, Lifetime lifetime);

// Destroys every object of a key of this kind, with its name, that is there: those that nothing
// else is found by last. The number of objects there were. FailedPrecondition if a name is that of
// several.
absl::StatusOr<size_t> DestroyKeyObjects(const Module& module, CK_SESSION_HANDLE session,
                                         KeyKind kind, const KeySelector& key);

}  // namespace kekd

#endif  // KEKD_HSM_PKCS11_KEY_MAKING_H_
