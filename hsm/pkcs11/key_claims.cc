#include "hsm/pkcs11/key_claims.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <limits>

#include "base/status_macros.h"
#include "hsm/pkcs11/attributes.h"
#include "hsm/pkcs11/cryptoki_status.h"
#include "hsm/pkcs11/mechanism_name.h"

namespace kekd {
namespace {

struct FlagClaim {
  CK_ATTRIBUTE_TYPE type;
  std::optional<bool> KeyClaims::*claim;
};
constexpr FlagClaim kFlags[] = {
    {CKA_LOCAL, &KeyClaims::local},
    {CKA_SENSITIVE, &KeyClaims::sensitive},
    {CKA_ALWAYS_SENSITIVE, &KeyClaims::always_sensitive},
    {CKA_EXTRACTABLE, &KeyClaims::extractable},
    {CKA_NEVER_EXTRACTABLE, &KeyClaims::never_extractable},
    {CKA_MODIFIABLE, &KeyClaims::modifiable},
};
constexpr size_t kFlagCount = std::size(kFlags);
// What no module writes.
constexpr CK_BBOOL kUnwrittenFlag = 0x5a;
constexpr CK_ULONG kUnwrittenNumber = 0x5a5a5a5a;
constexpr size_t kMostAllowed = 256;
constexpr size_t kMaxModulusBytes = 2048;

// With these all other attributes were told (section 5.7 of the standard, C_GetAttributeValue).
bool IsOfOneAttribute(CK_RV rv) {
  return rv == CKR_ATTRIBUTE_TYPE_INVALID || rv == CKR_ATTRIBUTE_SENSITIVE ||
         rv == CKR_BUFFER_TOO_SMALL;
}

// Asks for one attribute. Nothing if the token does not tell it, whatever it answers instead,
// unless the session, the login or the device is what has failed.
absl::StatusOr<std::optional<size_t>> ReadOne(const Module& module, CK_SESSION_HANDLE session,
                                              CK_OBJECT_HANDLE key, CK_ATTRIBUTE attribute) {
  const CK_ULONG room = attribute.ulValueLen;
  const CK_RV rv = module->C_GetAttributeValue(session, key, &attribute, 1);
  const RecoveryAction action = ActionFor(rv);
  const bool not_told = IsOfOneAttribute(rv) || action == RecoveryAction::kRejectRequest ||
                        action == RecoveryAction::kUnsupported || rv == CKR_GENERAL_ERROR ||
                        rv == CKR_FUNCTION_FAILED;
  if (not_told) return std::nullopt;
  KEKD_RETURN_IF_ERROR(CheckRv(rv, "C_GetAttributeValue"));
  if (attribute.ulValueLen > room) return std::nullopt;
  return attribute.ulValueLen;
}

// Of an RSA key; nothing if the token does not tell its modulus.
absl::StatusOr<std::optional<uint32_t>> ModulusBits(const Module& module, CK_SESSION_HANDLE session,
                                                    CK_OBJECT_HANDLE key) {
  std::string modulus(kMaxModulusBytes, '\0');
  KEKD_ASSIGN_OR_RETURN(
      const std::optional<size_t> size,
      ReadOne(module, session, key, {CKA_MODULUS, modulus.data(), modulus.size()}));
  modulus.resize(size.value_or(0));
  modulus.erase(0, std::min(modulus.find_first_not_of('\0'), modulus.size()));
  if (modulus.empty()) return std::nullopt;
  return static_cast<uint32_t>(8 * modulus.size());
}

}  // namespace

absl::StatusOr<KeyClaims> ReadClaims(const Module& module, CK_SESSION_HANDLE session,
                                     CK_OBJECT_HANDLE key) {
  std::array<CK_BBOOL, kFlagCount> flags = {};
  flags.fill(kUnwrittenFlag);
  std::vector<CK_ATTRIBUTE> query;
  for (size_t i = 0; i < kFlagCount; ++i) {
    query.push_back({kFlags[i].type, &flags[i], sizeof(CK_BBOOL)});
  }
  CK_ULONG generated_by = kUnwrittenNumber;
  CK_ULONG bytes = kUnwrittenNumber;
  CK_ULONG type = kUnwrittenNumber;
  query.push_back(NumberAttribute(CKA_KEY_GEN_MECHANISM, generated_by));
  query.push_back(NumberAttribute(CKA_VALUE_LEN, bytes));
  query.push_back(NumberAttribute(CKA_KEY_TYPE, type));
  const CK_RV rv = module->C_GetAttributeValue(session, key, query.data(), query.size());
  if (!IsOfOneAttribute(rv)) KEKD_RETURN_IF_ERROR(CheckRv(rv, "C_GetAttributeValue"));

  KeyClaims claims;
  for (size_t i = 0; i < kFlagCount; ++i) {
    if (query[i].ulValueLen != sizeof(CK_BBOOL) || flags[i] == kUnwrittenFlag) continue;
    claims.*kFlags[i].claim = flags[i] != CK_FALSE;
  }
  const auto told = [&](size_t i, CK_ULONG value) {
    return query[i].ulValueLen == sizeof(CK_ULONG) && value != kUnwrittenNumber;
  };
  if (told(kFlagCount, generated_by)) {
    claims.generated_by =
        generated_by == CK_UNAVAILABLE_INFORMATION ? "" : MechanismName(generated_by);
  }
  constexpr CK_ULONG kMostBytes = std::numeric_limits<uint32_t>::max() / 8;
  if (told(kFlagCount + 1, bytes) && bytes <= kMostBytes) {
    claims.bits = static_cast<uint32_t>(8 * bytes);
  }
  if (type == CKK_RSA) {
    KEKD_ASSIGN_OR_RETURN(claims.bits, ModulusBits(module, session, key));
  }
  // By itself: few modules know it, and an array may confuse those that don't.
  std::vector<CK_MECHANISM_TYPE> allowed(kMostAllowed);
  KEKD_ASSIGN_OR_RETURN(
      const std::optional<size_t> size,
      ReadOne(module, session, key,
              {CKA_ALLOWED_MECHANISMS, allowed.data(), allowed.size() * sizeof(allowed[0])}));
  // None at all is what modules say that keep no such list; the standard has it mean "any".
  if (size.value_or(0) >= sizeof(allowed[0])) {
    allowed.resize(*size / sizeof(allowed[0]));
    for (const CK_MECHANISM_TYPE each : allowed) {
      claims.allowed_mechanisms.push_back(MechanismName(each));
    }
  }
  return claims;
}

}  // namespace kekd
