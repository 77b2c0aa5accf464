#include "hsm/key_attestation.h"

#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace kekd {
namespace {

// The worst last.
enum class Secrecy {
  kNeverLeft,
  kNotSaid,  // of the past
  kOriginNotSaid,
  kCouldLeave,
  kImported,
};
struct Verdict {
  Secrecy secrecy;
  std::string text;
};

Verdict Judge(const KeyClaims& claims) {
  // NSS keeps no CKA_LOCAL. By the standard what was imported was never CKA_NEVER_EXTRACTABLE.
  if (claims.local == false && claims.never_extractable == true) {
    return {Secrecy::kOriginNotSaid,
            "the token contradicts itself (not CKA_LOCAL, but CKA_NEVER_EXTRACTABLE): where the "
            "key was made can't be proved"};
  }
  if (claims.local == false) {
    // Whoever has made it may have kept it; C_UnwrapKey and C_CreateObject tell nothing of that.
    return {Secrecy::kImported,
            absl::StrCat("imported, says the token",
                         claims.extractable == true ? ", and it can leave the token" : "",
                         ": who has made it and where else it is can't be proved")};
  }
  if (claims.extractable == true) {
    return {Secrecy::kCouldLeave, "it can leave the token, says the token (CKA_EXTRACTABLE)"};
  }
  if (claims.sensitive == false) {
    return {Secrecy::kCouldLeave, "it can be read out, says the token (CKA_SENSITIVE is false)"};
  }
  if (!claims.local.has_value()) {
    return {Secrecy::kOriginNotSaid,
            "the token does not say where the key was made: that it never left the token can't be "
            "proved"};
  }
  if (claims.never_extractable == false || claims.always_sensitive == false) {
    return {Secrecy::kCouldLeave,
            "made in the token, says the token, and it could leave it at some time"};
  }
  if (claims.never_extractable == true) {
    return {Secrecy::kNeverLeft, "made in the token and never left it, says the token"};
  }
  return {Secrecy::kNotSaid,
          "made in the token, says the token; whether it could ever leave it, it does not say"};
}

std::string Says(const std::optional<bool>& claim) {
  if (!claim.has_value()) return "";
  return *claim ? "yes" : "no";
}

}  // namespace

std::vector<KeyAttestation::Statement> StatementsOf(const KeyClaims& claims) {
  std::string generated_by;
  if (claims.generated_by.has_value()) {
    generated_by = claims.generated_by->empty() ? "none" : *claims.generated_by;
  }
  return {
      {"CKA_LOCAL", "made in the token", Says(claims.local)},
      {"CKA_KEY_GEN_MECHANISM", "by which mechanism", generated_by},
      {"CKA_SENSITIVE", "can't be read out", Says(claims.sensitive)},
      {"CKA_ALWAYS_SENSITIVE", "never could", Says(claims.always_sensitive)},
      {"CKA_EXTRACTABLE", "can leave the token wrapped", Says(claims.extractable)},
      {"CKA_NEVER_EXTRACTABLE", "never could", Says(claims.never_extractable)},
      {"CKA_MODIFIABLE", "its attributes can be changed", Says(claims.modifiable)},
      {"CKA_ALLOWED_MECHANISMS", "may be used for these only",
       absl::StrJoin(claims.allowed_mechanisms, ", ")},
      {"size", "in bits", claims.bits.has_value() ? absl::StrCat(*claims.bits) : ""},
  };
}

std::string VerdictOn(const KeyClaims& claims) { return Judge(claims).text; }

KeyAttestation AttestationOf(const absl::StatusOr<std::vector<KeyDescription>>& objects) {
  KeyAttestation said;
  said.status = objects.status();
  if (!objects.ok()) return said;
  std::optional<Secrecy> worst;
  for (const KeyDescription& key : *objects) {
    said.objects.push_back(
        {key.type, key.selector.label, key.selector.id, StatementsOf(key.claims)});
    Verdict verdict = Judge(key.claims);
    if (worst.has_value() && verdict.secrecy <= *worst) continue;
    // The key itself is the first; only of what goes with it is it to be said which is meant.
    said.verdict = worst.has_value() ? absl::StrCat("of its ", key.type, " key: ", verdict.text)
                                     : std::move(verdict.text);
    worst = verdict.secrecy;
  }
  return said;
}

}  // namespace kekd
