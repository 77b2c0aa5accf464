// Keys on a token: found, described, checked.
#ifndef KEKD_HSM_PKCS11_KEY_OBJECTS_H_
#define KEKD_HSM_PKCS11_KEY_OBJECTS_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "hsm/pkcs11/cryptoki.h"
#include "hsm/pkcs11/mechanism.h"
#include "hsm/pkcs11/module.h"
#include "hsm/token/worker_message.h"

namespace kekd {

// The names that the HMAC key of a key may have, the one that it is made with first: label and id
// each with "-mac" after it. The ids differ because tokens take a second secret key of one CKA_ID
// for the first (NSS), or refuse it (AWS CloudHSM); a key that others made may have the same.
std::vector<KeySelector> MacNames(const KeySelector& key);
// The types that it may have: CKK_GENERIC_SECRET, CKK_SHA256_HMAC.
inline constexpr CK_KEY_TYPE kMacKeyTypes[] = {CKK_GENERIC_SECRET, 0x2b};

// All objects on the token of one class and, if it is given, one type of keys that `wanted`
// describes (C_FindObjects). Costs as much as there are keys on the token: not for the way of an
// Encrypt.
absl::StatusOr<std::vector<CK_OBJECT_HANDLE>> FindKeyObjects(const Module& module,
                                                             CK_SESSION_HANDLE session,
                                                             CK_OBJECT_CLASS object_class,
                                                             std::optional<CK_KEY_TYPE> type,
                                                             const KeySelector& wanted);
// All secret and private keys.
absl::StatusOr<std::vector<CK_OBJECT_HANDLE>> FindAllKeys(const Module& module,
                                                          CK_SESSION_HANDLE session,
                                                          const KeySelector& wanted);
// The handles of the one key that `key` names, of the kind that its mechanism needs. NotFound if
// there is none, FailedPrecondition if there are several (two keys that can't be told apart are
// none) or if it is an RSA key with another public half than the reference's.
absl::StatusOr<SealingKey> FindKey(const Module& module, CK_SESSION_HANDLE session,
                                   const KeyReference& key);
// The HMAC key that goes with an AES key: the only one with one of its MacNames. Errors as FindKey;
// FailedPrecondition too if the AES key has no CKA_ID.
absl::StatusOr<CK_OBJECT_HANDLE> FindMacKey(const Module& module, CK_SESSION_HANDLE session,
                                            const KeySelector& key);
// SubjectPublicKeyInfo of an RSA key, from its private key, and what that does not tell from the
// public key of the same CKA_ID. Unimplemented if the token tells no modulus.
absl::StatusOr<std::string> ReadPublicKey(const Module& module, CK_SESSION_HANDLE session,
                                          CK_OBJECT_HANDLE private_key);
// "'label' (id 0a1b…)", for messages.
std::string DescribeSelector(const KeySelector& selector);

// Its attributes as the token tells them. What it does not tell counts as what is worse.
absl::StatusOr<KeyDescription> DescribeKey(const Module& module, CK_SESSION_HANDLE session,
                                           CK_OBJECT_HANDLE key);
// For a list: an HMAC key that goes with a key of the list says with which, and is fine then.
void MatchMacKeys(std::vector<KeyDescription>& keys);

// What a key of the token is made for, as its type and its usage say. FailedPrecondition with all
// that is wrong with it if kekd would not use it.
absl::StatusOr<KeyKind> CheckAdoptedKey(const KeyDescription& key, const NewKey& asked);
absl::Status CheckAdoptedMacKey(const KeyDescription& key, const NewKey& asked);
// FailedPrecondition if a new key is not what was asked for.
absl::Status CheckNewKey(const KeyDescription& made, KeyKind kind, const NewKey& asked);
absl::Status CheckNewMacKey(const KeyDescription& made, const NewKey& asked);

}  // namespace kekd

#endif  // KEKD_HSM_PKCS11_KEY_OBJECTS_H_
