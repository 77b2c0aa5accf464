// What a token says of a key, in words.
#ifndef KEKD_HSM_KEY_ATTESTATION_H_
#define KEKD_HSM_KEY_ATTESTATION_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "hsm/token/worker_message.h"
#include "keystore/key_backend.h"

namespace kekd {

// What the token says of one object; each of the statements that there are, also of those that it
// does not make.
std::vector<KeyAttestation::Statement> StatementsOf(const KeyClaims& claims);

// What follows from it for the secrecy of the key, and no more than the token says: "made in the
// token and never left it, says the token".
std::string VerdictOn(const KeyClaims& claims);

// Of a key that is one object or two (TokenClient::Attest), but for the place; the verdict is that
// on the object of which the least can be said.
KeyAttestation AttestationOf(const absl::StatusOr<std::vector<KeyDescription>>& objects);

}  // namespace kekd

#endif  // KEKD_HSM_KEY_ATTESTATION_H_
