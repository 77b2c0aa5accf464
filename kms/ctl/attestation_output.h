// What a token says of a key, for people and for scripts. Included by .cc files only, as
// json_parts.h.
#ifndef KEKD_KMS_CTL_ATTESTATION_OUTPUT_H_
#define KEKD_KMS_CTL_ATTESTATION_OUTPUT_H_

#include <string>
#include <vector>

#include "keystore/key_backend.h"
#include "kms/ctl/json_parts.h"

namespace kekd {

// "yes", "no", what it is, or "the token does not say".
std::string SaysOrNot(const KeyAttestation::Statement& statement);
// "CKA_LOCAL yes, CKA_SENSITIVE yes, …": all of them in one line.
std::string StatementsLine(const std::vector<KeyAttestation::Statement>& statements);
// By the names of the statements: true, false, a number, a text, or null where the token does not
// say.
Json StatementsObject(const std::vector<KeyAttestation::Statement>& statements);
Json AttestationObject(const KeyAttestation& attestation);

}  // namespace kekd

#endif  // KEKD_KMS_CTL_ATTESTATION_OUTPUT_H_
