#include "hsm/pkcs11/key_objects.h"

#include <algorithm>
#include <array>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "base/bytes.h"
#include "base/hex.h"
#include "base/status_macros.h"
#include "hsm/pkcs11/attributes.h"
#include "hsm/pkcs11/cryptoki_status.h"
#include "hsm/pkcs11/rsa_oaep.h"

namespace kekd {
namespace {

constexpr size_t kMaxNumberBytes = 1024;  // of CKA_MODULUS and CKA_PUBLIC_EXPONENT
constexpr CK_KEY_TYPE kCkkSha256Hmac = kMacKeyTypes[1];
constexpr absl::string_view kMacSuffix = "-mac";
constexpr unsigned char kUsualExponent[] = {1, 0, 1};
constexpr char kRsaType[] = "RSA-";
constexpr char kMacType[] = "HMAC";
constexpr char kGenericType[] = "generic secret";
constexpr size_t kLeastMacBits = 256;
constexpr size_t kMaxTextBytes = 1024;  // of CKA_LABEL and CKA_ID

// Ends the search that is active in a session.
class FindObjectsScope final {
 public:
  FindObjectsScope(const Module& module, CK_SESSION_HANDLE session)
      : module_(module), session_(session) {}
  FindObjectsScope(const FindObjectsScope&) = delete;
  FindObjectsScope& operator=(const FindObjectsScope&) = delete;
  ~FindObjectsScope() { module_->C_FindObjectsFinal(session_); }

 private:
  const Module& module_;
  const CK_SESSION_HANDLE session_;
};

std::string TypeName(CK_ULONG type, CK_ULONG bytes) {
  const bool sized = bytes != CK_UNAVAILABLE_INFORMATION;
  if (type == CKK_AES) return sized ? absl::StrCat("AES-", 8 * bytes) : "AES";
  const std::string size = sized ? absl::StrCat("-", 8 * bytes) : "";
  if (type == CKK_GENERIC_SECRET) return absl::StrCat(kGenericType, size);
  if (type == kCkkSha256Hmac) return absl::StrCat(kMacType, size);
  if (type == CKK_DES3) return "DES3";
  if (type == CKK_RSA) return "RSA";
  if (type == CKK_EC) return "EC";
  return absl::StrCat("type 0x", absl::Hex(type));
}

bool IsRsaKey(const KeyDescription& key) { return absl::StartsWith(key.type, "RSA"); }

bool IsMacType(const KeyDescription& key) {
  return absl::StartsWith(key.type, kMacType) || absl::StartsWith(key.type, kGenericType);
}

// Of an HMAC key; nothing if the token does not tell.
std::optional<size_t> MacBits(const KeyDescription& key) {
  size_t bits = 0;
  const size_t at = key.type.rfind('-');
  if (at == std::string::npos || !absl::SimpleAtoi(key.type.substr(at + 1), &bits)) {
    return std::nullopt;
  }
  return bits;
}

// What it is for; for one that is for nothing of ours, what it is nearest to.
KeyKind KindOf(const KeyDescription& key) {
  if (IsRsaKey(key)) return KeyKind::kRsa;
  const bool wraps = (key.wrap || key.unwrap) && !key.encrypt && !key.decrypt;
  return wraps ? KeyKind::kWrapping : KeyKind::kCipher;
}

// What both kinds of keys must be.
std::vector<std::string> CommonProblems(const KeyDescription& key, KeyKind kind) {
  std::vector<std::string> problems;
  if (!key.token) problems.push_back("it is no token object (CKA_TOKEN)");
  if (kind == KeyKind::kRsa) {
    size_t bits = 0;
    if (!IsRsaKey(key)) {
      problems.push_back(absl::StrCat("it is no RSA key: ", key.type));
    } else if (absl::SimpleAtoi(absl::StripPrefix(key.type, kRsaType), &bits) &&
               (bits < kMinRsaBits || bits > kMaxRsaBits)) {
      problems.push_back(
          absl::StrCat("it has ", bits, " bits: ", kMinRsaBits, " to ", kMaxRsaBits, " are used"));
    }
    if (!key.decrypt) problems.push_back("it may not decrypt (CKA_DECRYPT)");
    return problems;
  }
  if (key.type != "AES-256") {
    problems.push_back(absl::StrCat("it is no AES-256 key: ", key.type));
  }
  if (kind == KeyKind::kWrapping) {
    if (!key.wrap || !key.unwrap) {
      problems.push_back("it may not wrap and unwrap (CKA_WRAP, CKA_UNWRAP)");
    }
    if (key.encrypt || key.decrypt) {
      problems.push_back("it may encrypt or decrypt (CKA_ENCRYPT, CKA_DECRYPT)");
    }
    return problems;
  }
  if (!key.encrypt || !key.decrypt) {
    problems.push_back("it may not encrypt and decrypt (CKA_ENCRYPT, CKA_DECRYPT)");
  }
  if (key.wrap || key.unwrap) {
    problems.push_back("it may wrap or unwrap other keys (CKA_WRAP, CKA_UNWRAP)");
  }
  return problems;
}

std::vector<std::string> MacProblems(const KeyDescription& key) {
  std::vector<std::string> problems;
  if (!IsMacType(key)) problems.push_back(absl::StrCat("it is no HMAC key: ", key.type));
  if (const std::optional<size_t> bits = MacBits(key);
      bits.value_or(kLeastMacBits) < kLeastMacBits) {
    problems.push_back(
        absl::StrCat("it has ", *bits, " bits; an HMAC key has ", kLeastMacBits, " or more"));
  }
  if (!key.token) problems.push_back("it is no token object (CKA_TOKEN)");
  if (!key.sign) problems.push_back("it may not sign (CKA_SIGN)");
  if (key.encrypt || key.decrypt || key.wrap || key.unwrap) {
    problems.push_back("it may do more than sign (CKA_ENCRYPT, CKA_DECRYPT, CKA_WRAP, CKA_UNWRAP)");
  }
  return problems;
}

void AddSecrecyProblems(const KeyDescription& key, std::vector<std::string>& problems) {
  if (key.extractable) problems.push_back("it can leave the token (CKA_EXTRACTABLE)");
  if (!key.sensitive) problems.push_back("it can be read out (CKA_SENSITIVE is false)");
}

absl::Status Refuse(const KeyDescription& key, const std::vector<std::string>& problems) {
  if (problems.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "the key ", DescribeSelector(key.selector), " is refused: ", absl::StrJoin(problems, "; ")));
}

}  // namespace

std::string DescribeSelector(const KeySelector& selector) {
  std::string text = absl::StrCat("'", selector.label, "'");
  if (!selector.id.empty()) {
    absl::StrAppend(&text, " (id ", HexEncode(AsBytes(selector.id)), ")");
  }
  return text;
}

absl::StatusOr<std::vector<CK_OBJECT_HANDLE>> FindKeyObjects(const Module& module,
                                                             CK_SESSION_HANDLE session,
                                                             CK_OBJECT_CLASS object_class,
                                                             std::optional<CK_KEY_TYPE> type,
                                                             const KeySelector& wanted) {
  std::vector<CK_ATTRIBUTE> query = {NumberAttribute(CKA_CLASS, object_class),
                                     FlagAttribute(CKA_TOKEN, true)};
  if (type.has_value()) query.push_back(NumberAttribute(CKA_KEY_TYPE, *type));
  if (!wanted.label.empty()) query.push_back(TextAttribute(CKA_LABEL, wanted.label));
  if (!wanted.id.empty()) query.push_back(TextAttribute(CKA_ID, wanted.id));
  KEKD_RETURN_IF_ERROR(
      CheckRv(module->C_FindObjectsInit(session, query.data(), query.size()), "C_FindObjectsInit"));
  const FindObjectsScope scope(module, session);
  std::vector<CK_OBJECT_HANDLE> found;
  for (;;) {
    std::array<CK_OBJECT_HANDLE, 64> some = {};
    CK_ULONG count = 0;
    KEKD_RETURN_IF_ERROR(
        CheckRv(module->C_FindObjects(session, some.data(), some.size(), &count), "C_FindObjects"));
    if (count == 0) return found;
    found.insert(found.end(), some.begin(), some.begin() + std::min<size_t>(count, some.size()));
  }
}

absl::StatusOr<std::vector<CK_OBJECT_HANDLE>> FindAllKeys(const Module& module,
                                                          CK_SESSION_HANDLE session,
                                                          const KeySelector& wanted) {
  KEKD_ASSIGN_OR_RETURN(std::vector<CK_OBJECT_HANDLE> found,
                        FindKeyObjects(module, session, CKO_SECRET_KEY, std::nullopt, wanted));
  KEKD_ASSIGN_OR_RETURN(const std::vector<CK_OBJECT_HANDLE> pairs,
                        FindKeyObjects(module, session, CKO_PRIVATE_KEY, std::nullopt, wanted));
  found.insert(found.end(), pairs.begin(), pairs.end());
  return found;
}

std::vector<KeySelector> MacNames(const KeySelector& key) {
  std::vector<KeySelector> names;
  for (const std::string& id : {absl::StrCat(key.id, kMacSuffix), key.id}) {
    names.push_back({.label = absl::StrCat(key.label, kMacSuffix), .id = id});
    if (!key.label.empty()) names.push_back({.label = key.label, .id = id});
  }
  return names;
}

absl::StatusOr<CK_OBJECT_HANDLE> FindMacKey(const Module& module, CK_SESSION_HANDLE session,
                                            const KeySelector& key) {
  if (key.id.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the key ", DescribeSelector(key), " has no CKA_ID by which its HMAC key could be told"));
  }
  const std::vector<KeySelector> names = MacNames(key);
  std::vector<CK_OBJECT_HANDLE> found;
  for (const CK_KEY_TYPE type : kMacKeyTypes) {
    for (const KeySelector& name : names) {
      KEKD_ASSIGN_OR_RETURN(const std::vector<CK_OBJECT_HANDLE> some,
                            FindKeyObjects(module, session, CKO_SECRET_KEY, type, name));
      found.insert(found.end(), some.begin(), some.end());
    }
  }
  if (found.size() == 1) return found.front();
  const std::string wanted = DescribeSelector(names.front());
  if (found.empty()) {
    return absl::NotFoundError(absl::StrCat("the token has no HMAC key ", wanted));
  }
  return absl::FailedPreconditionError(
      absl::StrCat("the token has ", found.size(), " HMAC keys ", wanted, "; there may be one"));
}

absl::StatusOr<SealingKey> FindKey(const Module& module, CK_SESSION_HANDLE session,
                                   const KeyReference& key) {
  const KeyKind kind = kekd::KindOf(key.mechanism);
  const bool rsa = kind == KeyKind::kRsa;
  KEKD_ASSIGN_OR_RETURN(const std::vector<CK_OBJECT_HANDLE> found,
                        FindKeyObjects(module, session, rsa ? CKO_PRIVATE_KEY : CKO_SECRET_KEY,
                                       rsa ? CKK_RSA : CKK_AES, key.key));
  if (found.empty()) {
    return absl::NotFoundError(absl::StrCat("the token has no ", rsa ? "private" : "secret",
                                            " key ", DescribeSelector(key.key)));
  }
  if (found.size() > 1) {
    return absl::FailedPreconditionError(
        absl::StrCat("the token has ", found.size(), rsa ? " private" : " secret", " keys ",
                     DescribeSelector(key.key), "; they must differ in label or id"));
  }
  SealingKey sealing = {
      .mechanism = key.mechanism, .key = found.front(), .mac_key = 0, .public_key = key.public_key};
  if (kind == KeyKind::kCipherAndMac) {
    KEKD_ASSIGN_OR_RETURN(sealing.mac_key, FindMacKey(module, session, key.key));
  }
  if (rsa) {
    const absl::StatusOr<std::string> is = ReadPublicKey(module, session, sealing.key);
    // What does not tell is told from others by its canary alone.
    if (!is.ok() && !absl::IsUnimplemented(is.status())) return is.status();
    if (is.ok() && *is != key.public_key) {
      return absl::FailedPreconditionError(absl::StrCat(
          "the token has another key of this name than before: ", DescribeSelector(key.key)));
    }
  }
  return sealing;
}

absl::StatusOr<std::string> ReadPublicKey(const Module& module, CK_SESSION_HANDLE session,
                                          CK_OBJECT_HANDLE private_key) {
  const auto read = [&](CK_OBJECT_HANDLE object,
                        CK_ATTRIBUTE_TYPE type) -> absl::StatusOr<std::string> {
    std::string value(kMaxNumberBytes, '\0');
    CK_ATTRIBUTE attribute = {type, value.data(), value.size()};
    const CK_RV rv = module->C_GetAttributeValue(session, object, &attribute, 1);
    if (rv == CKR_ATTRIBUTE_TYPE_INVALID || rv == CKR_ATTRIBUTE_SENSITIVE) return std::string();
    KEKD_RETURN_IF_ERROR(CheckRv(rv, "C_GetAttributeValue"));
    value.resize(attribute.ulValueLen < kMaxNumberBytes ? attribute.ulValueLen : 0);
    return value;
  };
  KEKD_ASSIGN_OR_RETURN(std::string modulus, read(private_key, CKA_MODULUS));
  KEKD_ASSIGN_OR_RETURN(std::string exponent, read(private_key, CKA_PUBLIC_EXPONENT));
  KEKD_ASSIGN_OR_RETURN(const std::string id, read(private_key, CKA_ID));
  if ((modulus.empty() || exponent.empty()) && !id.empty()) {
    KEKD_ASSIGN_OR_RETURN(const std::vector<CK_OBJECT_HANDLE> public_keys,
                          FindKeyObjects(module, session, CKO_PUBLIC_KEY, CKK_RSA, {.id = id}));
    if (public_keys.size() == 1) {
      if (modulus.empty()) {
        KEKD_ASSIGN_OR_RETURN(modulus, read(public_keys.front(), CKA_MODULUS));
      }
      KEKD_ASSIGN_OR_RETURN(exponent, read(public_keys.front(), CKA_PUBLIC_EXPONENT));
    }
  }
  if (modulus.empty()) {
    return absl::UnimplementedError("the token does not tell the RSA key's modulus");
  }
  // The round trip tells if it is another.
  const ByteView known = exponent.empty() ? ByteView(kUsualExponent) : AsBytes(exponent);
  return EncodePublicKey(AsBytes(modulus), known);
}

absl::StatusOr<KeyDescription> DescribeKey(const Module& module, CK_SESSION_HANDLE session,
                                           CK_OBJECT_HANDLE key) {
  struct BoolField {
    CK_ATTRIBUTE_TYPE type;
    bool KeyDescription::*field;
    bool otherwise;
  };
  static constexpr BoolField kFields[] = {
      {CKA_TOKEN, &KeyDescription::token, false},
      {CKA_PRIVATE, &KeyDescription::is_private, false},
      {CKA_SENSITIVE, &KeyDescription::sensitive, false},
      {CKA_ALWAYS_SENSITIVE, &KeyDescription::always_sensitive, false},
      {CKA_EXTRACTABLE, &KeyDescription::extractable, true},
      {CKA_NEVER_EXTRACTABLE, &KeyDescription::never_extractable, false},
      {CKA_MODIFIABLE, &KeyDescription::modifiable, true},
      {CKA_LOCAL, &KeyDescription::local, false},
      {CKA_ENCRYPT, &KeyDescription::encrypt, false},
      {CKA_DECRYPT, &KeyDescription::decrypt, false},
      {CKA_WRAP, &KeyDescription::wrap, false},
      {CKA_UNWRAP, &KeyDescription::unwrap, false},
      {CKA_SIGN, &KeyDescription::sign, false},
      {CKA_VERIFY, &KeyDescription::verify, false},
  };
  constexpr size_t kCount = std::size(kFields);
  std::array<CK_BBOOL, kCount> flags = {};
  std::vector<CK_ATTRIBUTE> query;
  for (size_t i = 0; i < kCount; ++i) {
    // A module that says it has told and has not: then the same as if it had said so.
    flags[i] = kFields[i].otherwise ? CK_TRUE : CK_FALSE;
    query.push_back({kFields[i].type, &flags[i], sizeof(CK_BBOOL)});
  }
  CK_ULONG type = 0;
  CK_ULONG bytes = 0;
  std::string label(kMaxTextBytes, '\0');
  std::string id(kMaxTextBytes, '\0');
  query.push_back(NumberAttribute(CKA_KEY_TYPE, type));
  query.push_back(NumberAttribute(CKA_VALUE_LEN, bytes));
  query.push_back({CKA_LABEL, label.data(), label.size()});
  query.push_back({CKA_ID, id.data(), id.size()});

  // What a token does not tell has the length -1 then; the rest is there all the same (section
  // 5.7 of the standard, C_GetAttributeValue).
  const CK_RV rv = module->C_GetAttributeValue(session, key, query.data(), query.size());
  if (rv != CKR_ATTRIBUTE_TYPE_INVALID && rv != CKR_ATTRIBUTE_SENSITIVE &&
      rv != CKR_BUFFER_TOO_SMALL) {
    KEKD_RETURN_IF_ERROR(CheckRv(rv, "C_GetAttributeValue"));
  }
  const auto told = [&](size_t i, size_t size) { return query[i].ulValueLen == size; };
  KeyDescription description;
  for (size_t i = 0; i < kCount; ++i) {
    description.*kFields[i].field =
        told(i, sizeof(CK_BBOOL)) ? flags[i] != CK_FALSE : kFields[i].otherwise;
  }
  if (!told(kCount, sizeof(type))) type = CK_UNAVAILABLE_INFORMATION;
  if (!told(kCount + 1, sizeof(bytes))) bytes = CK_UNAVAILABLE_INFORMATION;
  description.type = TypeName(type, bytes);
  const auto text = [&](size_t i, std::string& value) {
    value.resize(query[i].ulValueLen < kMaxTextBytes ? query[i].ulValueLen : 0);
    return std::move(value);
  };
  description.selector.label = text(kCount + 2, label);
  description.selector.id = text(kCount + 3, id);
  if (type == CKK_RSA) {
    std::string modulus(kMaxNumberBytes, '\0');
    CK_ATTRIBUTE attribute = {CKA_MODULUS, modulus.data(), modulus.size()};
    if (module->C_GetAttributeValue(session, key, &attribute, 1) == CKR_OK &&
        attribute.ulValueLen < kMaxNumberBytes) {
      modulus.resize(attribute.ulValueLen);
      modulus.erase(0, modulus.find_first_not_of('\0'));
      description.type = absl::StrCat(kRsaType, 8 * modulus.size());
    }
  }
  std::vector<std::string> problems = CommonProblems(description, KindOf(description));
  AddSecrecyProblems(description, problems);
  description.problem = absl::StrJoin(problems, "; ");
  return description;
}

void MatchMacKeys(std::vector<KeyDescription>& keys) {
  for (KeyDescription& mac : keys) {
    if (!IsMacType(mac) || mac.selector.id.empty()) continue;
    for (const KeyDescription& key : keys) {
      if (key.type != "AES-256" || !key.encrypt || key.selector.id.empty()) continue;
      const std::vector<KeySelector> names = MacNames(key.selector);
      if (std::find(names.begin(), names.end(), mac.selector) == names.end()) continue;
      mac.belongs_to = key.selector.label;
      std::vector<std::string> problems = MacProblems(mac);
      AddSecrecyProblems(mac, problems);
      mac.problem = absl::StrJoin(problems, "; ");
    }
  }
}

absl::Status CheckNewKey(const KeyDescription& made, KeyKind kind, const NewKey& asked) {
  std::vector<std::string> problems = CommonProblems(made, kind);
  AddSecrecyProblems(made, problems);
  if (!made.is_private) problems.push_back("it can be used without a login (CKA_PRIVATE is false)");
  if (made.selector.id != asked.selector.id || made.selector.label != asked.selector.label) {
    problems.push_back("the token gave it another label or id");
  }
  return Refuse(made, problems);
}

absl::Status CheckNewMacKey(const KeyDescription& made, const NewKey& asked) {
  std::vector<std::string> problems = MacProblems(made);
  if (MacBits(made).value_or(kLeastMacBits) > kLeastMacBits) {
    problems.push_back(absl::StrCat("it is no key of ", kLeastMacBits, " bits: ", made.type));
  }
  AddSecrecyProblems(made, problems);
  if (!made.is_private) problems.push_back("it can be used without a login (CKA_PRIVATE is false)");
  if (!(made.selector == MacNames(asked.selector).front())) {
    problems.push_back("the token gave it another label or id");
  }
  return Refuse(made, problems);
}

absl::StatusOr<KeyKind> CheckAdoptedKey(const KeyDescription& key, const NewKey& asked) {
  const KeyKind kind = KindOf(key);
  std::vector<std::string> problems = CommonProblems(key, kind);
  if (!asked.allow_extractable) AddSecrecyProblems(key, problems);
  KEKD_RETURN_IF_ERROR(Refuse(key, problems));
  return kind;
}

absl::Status CheckAdoptedMacKey(const KeyDescription& key, const NewKey& asked) {
  std::vector<std::string> problems = MacProblems(key);
  if (!asked.allow_extractable) AddSecrecyProblems(key, problems);
  return Refuse(key, problems);
}

}  // namespace kekd
