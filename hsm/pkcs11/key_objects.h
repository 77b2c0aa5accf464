// Secret keys on a token: found, described, made.
#ifndef KEKD_HSM_PKCS11_KEY_OBJECTS_H_
#define KEKD_HSM_PKCS11_KEY_OBJECTS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "hsm/pkcs11/cryptoki.h"
#include "hsm/pkcs11/module.h"
#include "hsm/token/worker_message.h"

namespace kekd {

// All secret keys on the token that `wanted` describes (C_FindObjects). Costs as much as there are
// keys on the token: not for the way of an Encrypt.
absl::StatusOr<std::vector<CK_OBJECT_HANDLE>> FindSecretKeys(const Module& module,
                                                             CK_SESSION_HANDLE session,
                                                             const KeySelector& wanted);
// The one of them. NotFound if there is none, FailedPrecondition if there are several: two keys
// that can't be told apart are none.
absl::StatusOr<CK_OBJECT_HANDLE> FindSecretKey(const Module& module, CK_SESSION_HANDLE session,
                                               const KeySelector& wanted);
// "'label' (id 0a1b…)", for messages.
std::string DescribeSelector(const KeySelector& selector);

// Its attributes as the token tells them. What it does not tell counts as what is worse.
absl::StatusOr<KeyDescription> DescribeKey(const Module& module, CK_SESSION_HANDLE session,
                                           CK_OBJECT_HANDLE key);

// Makes an AES-256 key on the token (CKM_AES_KEY_GEN): sensitive, not extractable, for C_Encrypt
// and C_Decrypt and nothing else. Whether it became that has to be read back. `session` may write.
absl::StatusOr<CK_OBJECT_HANDLE> GenerateAesKey(const Module& module, CK_SESSION_HANDLE session,
                                                const NewKey& key);
// FailedPrecondition if a new key is not what was asked for.
absl::Status CheckNewKey(const KeyDescription& made, const NewKey& asked);
// FailedPrecondition if kekd would not use a key that somebody else has made.
absl::Status CheckAdoptedKey(const KeyDescription& key, const NewKey& asked);

}  // namespace kekd

#endif  // KEKD_HSM_PKCS11_KEY_OBJECTS_H_
