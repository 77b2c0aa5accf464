#include "hsm/pkcs11/key_objects.h"

#include <array>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/bytes.h"
#include "base/hex.h"
#include "base/status_macros.h"
#include "hsm/pkcs11/cryptoki_status.h"

namespace kekd {
namespace {

constexpr CK_ULONG kKeyBytes = 32;
constexpr size_t kMaxTextBytes = 1024;  // of CKA_LABEL and CKA_ID
CK_BBOOL kTrue = CK_TRUE;
CK_BBOOL kFalse = CK_FALSE;

CK_ATTRIBUTE Text(CK_ATTRIBUTE_TYPE type, const std::string& text) {
  return {type, const_cast<char*>(text.data()), text.size()};
}
CK_ATTRIBUTE Flag(CK_ATTRIBUTE_TYPE type, bool value) {
  return {type, value ? &kTrue : &kFalse, sizeof(CK_BBOOL)};
}
CK_ATTRIBUTE Number(CK_ATTRIBUTE_TYPE type, CK_ULONG& value) {
  return {type, &value, sizeof(value)};
}

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
  if (type == CKK_GENERIC_SECRET) return "generic secret";
  if (type == CKK_DES3) return "DES3";
  return absl::StrCat("type 0x", absl::Hex(type));
}

// What both kinds of keys must be.
std::vector<std::string> CommonProblems(const KeyDescription& key) {
  std::vector<std::string> problems;
  if (key.type != "AES-256") problems.push_back(absl::StrCat("it is no AES-256 key: ", key.type));
  if (!key.token) problems.push_back("it is no token object (CKA_TOKEN)");
  if (!key.encrypt || !key.decrypt) {
    problems.push_back("it may not encrypt and decrypt (CKA_ENCRYPT, CKA_DECRYPT)");
  }
  if (key.wrap || key.unwrap) {
    problems.push_back("it may wrap or unwrap other keys (CKA_WRAP, CKA_UNWRAP)");
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

absl::StatusOr<std::vector<CK_OBJECT_HANDLE>> FindSecretKeys(const Module& module,
                                                             CK_SESSION_HANDLE session,
                                                             const KeySelector& wanted) {
  CK_ULONG secret_key = CKO_SECRET_KEY;
  std::vector<CK_ATTRIBUTE> query = {Number(CKA_CLASS, secret_key), Flag(CKA_TOKEN, true)};
  if (!wanted.label.empty()) query.push_back(Text(CKA_LABEL, wanted.label));
  if (!wanted.id.empty()) query.push_back(Text(CKA_ID, wanted.id));
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

absl::StatusOr<CK_OBJECT_HANDLE> FindSecretKey(const Module& module, CK_SESSION_HANDLE session,
                                               const KeySelector& wanted) {
  KEKD_ASSIGN_OR_RETURN(const std::vector<CK_OBJECT_HANDLE> found,
                        FindSecretKeys(module, session, wanted));
  if (found.size() == 1) return found.front();
  if (found.empty()) {
    return absl::NotFoundError(
        absl::StrCat("the token has no secret key ", DescribeSelector(wanted)));
  }
  return absl::FailedPreconditionError(absl::StrCat("the token has ", found.size(), " secret keys ",
                                                    DescribeSelector(wanted),
                                                    "; they must differ in label or id"));
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
  query.push_back(Number(CKA_KEY_TYPE, type));
  query.push_back(Number(CKA_VALUE_LEN, bytes));
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
  std::vector<std::string> problems = CommonProblems(description);
  AddSecrecyProblems(description, problems);
  description.problem = absl::StrJoin(problems, "; ");
  return description;
}

absl::StatusOr<CK_OBJECT_HANDLE> GenerateAesKey(const Module& module, CK_SESSION_HANDLE session,
                                                const NewKey& key) {
  CK_ULONG secret_key = CKO_SECRET_KEY;
  CK_ULONG aes = CKK_AES;
  CK_ULONG bytes = kKeyBytes;
  const std::vector<CK_ATTRIBUTE> needed = {
      Number(CKA_CLASS, secret_key), Number(CKA_KEY_TYPE, aes),
      Number(CKA_VALUE_LEN, bytes),  Text(CKA_LABEL, key.selector.label),
      Text(CKA_ID, key.selector.id), Flag(CKA_TOKEN, true),
      Flag(CKA_PRIVATE, true),       Flag(CKA_SENSITIVE, true),
      Flag(CKA_EXTRACTABLE, false),  Flag(CKA_ENCRYPT, true),
      Flag(CKA_DECRYPT, true),
  };
  // What a module may not know of, the least known last. The defaults of those that are left out
  // show when the key is read back.
  const std::vector<CK_ATTRIBUTE> wanted = {
      Flag(CKA_WRAP, false),
      Flag(CKA_UNWRAP, false),
      Flag(CKA_SIGN, false),
      Flag(CKA_VERIFY, false),
      Flag(CKA_DERIVE, false),
      Flag(CKA_MODIFIABLE, key.modifiable),
      Flag(CKA_COPYABLE, key.modifiable),
  };
  CK_MECHANISM mechanism = {CKM_AES_KEY_GEN, nullptr, 0};
  for (size_t left_out = 0;; ++left_out) {
    std::vector<CK_ATTRIBUTE> attributes = needed;
    attributes.insert(attributes.end(), wanted.begin(),
                      wanted.end() - static_cast<ptrdiff_t>(left_out));
    CK_OBJECT_HANDLE made = 0;
    const CK_RV rv =
        module->C_GenerateKey(session, &mechanism, attributes.data(), attributes.size(), &made);
    if (rv == CKR_OK) return made;
    const bool unknown =
        rv == CKR_ATTRIBUTE_TYPE_INVALID || rv == CKR_ATTRIBUTE_VALUE_INVALID ||
        rv == CKR_TEMPLATE_INCONSISTENT ||
        // NSS 3.87 of a token key with CKA_COPYABLE, which its database can't keep.
        (rv == CKR_GENERAL_ERROR && left_out == 0);
    if (!unknown || left_out == wanted.size()) return CkRvError(rv, "C_GenerateKey");
  }
}

absl::Status CheckNewKey(const KeyDescription& made, const NewKey& asked) {
  std::vector<std::string> problems = CommonProblems(made);
  AddSecrecyProblems(made, problems);
  if (!made.is_private) problems.push_back("it can be used without a login (CKA_PRIVATE is false)");
  if (made.selector.id != asked.selector.id || made.selector.label != asked.selector.label) {
    problems.push_back("the token gave it another label or id");
  }
  return Refuse(made, problems);
}

absl::Status CheckAdoptedKey(const KeyDescription& key, const NewKey& asked) {
  std::vector<std::string> problems = CommonProblems(key);
  if (!asked.allow_extractable) AddSecrecyProblems(key, problems);
  return Refuse(key, problems);
}

}  // namespace kekd
