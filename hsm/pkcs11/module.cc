#include "hsm/pkcs11/module.h"

#include <dlfcn.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "hsm/pkcs11/cryptoki_status.h"

namespace kekd {
namespace {

// CK_C_INITIALIZE_ARGS as NSS has it, with one pointer more: pReserved is what it calls
// LibraryParameters, and the field after that must be null.
struct InitializeArguments {
  CK_C_INITIALIZE_ARGS standard = {};
  void* nss_reserved = nullptr;
};

// The name of the first function that we call and the module does not have.
const char* MissingFunction(const CK_FUNCTION_LIST& f) {
#define KEKD_CHECK_FUNCTION(name) \
  if (f.name == nullptr) return #name
  KEKD_CHECK_FUNCTION(C_Initialize);
  KEKD_CHECK_FUNCTION(C_Finalize);
  KEKD_CHECK_FUNCTION(C_GetInfo);
  KEKD_CHECK_FUNCTION(C_GetSlotList);
  KEKD_CHECK_FUNCTION(C_GetTokenInfo);
  KEKD_CHECK_FUNCTION(C_GetMechanismList);
  KEKD_CHECK_FUNCTION(C_OpenSession);
  KEKD_CHECK_FUNCTION(C_CloseSession);
  KEKD_CHECK_FUNCTION(C_CloseAllSessions);
  KEKD_CHECK_FUNCTION(C_GetSessionInfo);
  KEKD_CHECK_FUNCTION(C_Login);
  KEKD_CHECK_FUNCTION(C_CopyObject);
  KEKD_CHECK_FUNCTION(C_DestroyObject);
  KEKD_CHECK_FUNCTION(C_GetAttributeValue);
  KEKD_CHECK_FUNCTION(C_FindObjectsInit);
  KEKD_CHECK_FUNCTION(C_FindObjects);
  KEKD_CHECK_FUNCTION(C_FindObjectsFinal);
  KEKD_CHECK_FUNCTION(C_EncryptInit);
  KEKD_CHECK_FUNCTION(C_Encrypt);
  KEKD_CHECK_FUNCTION(C_DecryptInit);
  KEKD_CHECK_FUNCTION(C_Decrypt);
  KEKD_CHECK_FUNCTION(C_GenerateKey);
#undef KEKD_CHECK_FUNCTION
  return nullptr;
}

template <typename... Arguments>
void StandIn(CK_RV (*&function)(Arguments...)) {
  if (function == nullptr)
    function = [](Arguments...) -> CK_RV { return CKR_FUNCTION_NOT_SUPPORTED; };
}

// The table with what only some mechanisms call and the module does not have: a token that has
// AES-GCM needs none of it.
CK_FUNCTION_LIST WithStandIns(CK_FUNCTION_LIST f) {
  StandIn(f.C_GenerateKeyPair);
  StandIn(f.C_CreateObject);
  StandIn(f.C_WrapKey);
  StandIn(f.C_UnwrapKey);
  StandIn(f.C_SignInit);
  StandIn(f.C_Sign);
  return f;
}

// What is used of PKCS#11 3.0, by the standard's own way of asking (section 5.4.4); null if there
// is no such interface or it lacks a function.
const FunctionList3* FindMessageFunctions(void* library) {
  const auto get = reinterpret_cast<GetInterfaceFunction>(dlsym(library, "C_GetInterface"));
  if (get == nullptr) return nullptr;
  CK_VERSION version = {3, 0};
  CryptokiInterface* found = nullptr;
  const auto* const name = reinterpret_cast<const unsigned char*>("PKCS 11");
  if (get(name, &version, &found, 0) != CKR_OK || found == nullptr || found->functions == nullptr) {
    return nullptr;
  }
  const auto* const functions = static_cast<const FunctionList3*>(found->functions);
  // A module that does not look at what it is asked for gives what it has.
  if (functions->functions.version.major != 3) return nullptr;
  const bool whole =
      functions->C_MessageEncryptInit != nullptr && functions->C_EncryptMessage != nullptr &&
      functions->C_MessageEncryptFinal != nullptr && functions->C_MessageDecryptInit != nullptr &&
      functions->C_DecryptMessage != nullptr && functions->C_MessageDecryptFinal != nullptr;
  return whole ? functions : nullptr;
}

bool Matches(const TokenSelector& wanted, const TokenSelector& token) {
  const auto fits = [](const std::string& want, const std::string& have) {
    return want.empty() || want == have;
  };
  return fits(wanted.label, token.label) && fits(wanted.manufacturer, token.manufacturer) &&
         fits(wanted.model, token.model) && fits(wanted.serial, token.serial);
}

std::string Describe(const TokenSelector& token) {
  std::vector<std::string> parts;
  const auto add = [&](absl::string_view name, const std::string& value) {
    if (!value.empty()) parts.push_back(absl::StrCat(name, " '", value, "'"));
  };
  add("label", token.label);
  add("serial", token.serial);
  add("manufacturer", token.manufacturer);
  add("model", token.model);
  return parts.empty() ? "any" : absl::StrJoin(parts, ", ");
}

std::string Describe(const std::vector<TokenInfo>& tokens) {
  return absl::StrJoin(tokens, "; ", [](std::string* out, const TokenInfo& token) {
    absl::StrAppend(out, Describe(token.token));
  });
}

}  // namespace

std::string PaddedText(const unsigned char* field, size_t size) {
  std::string text(reinterpret_cast<const char*>(field), size);
  // The standard pads with blanks and forbids a null byte; some modules end with one all the same.
  text.resize(std::min(text.size(), text.find('\0')));
  const size_t end = text.find_last_not_of(' ');
  text.resize(end == std::string::npos ? 0 : end + 1);
  return text;
}

std::string VersionText(const CK_VERSION& version) {
  return absl::StrFormat("%d.%02d", version.major, version.minor);
}

absl::StatusOr<std::unique_ptr<Module>> Module::Load(const std::string& path,
                                                     std::string init_arguments) {
  // Its symbols stay its own; what it lacks shows now and not at some call.
  void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* const why = dlerror();
    return absl::FailedPreconditionError(
        absl::StrCat("the PKCS#11 module can't be loaded: ", why != nullptr ? why : path));
  }
  const auto get = reinterpret_cast<CK_C_GetFunctionList>(dlsym(library, "C_GetFunctionList"));
  if (get == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " is no PKCS#11 module: it has no C_GetFunctionList"));
  }
  CK_FUNCTION_LIST* functions = nullptr;
  KEKD_RETURN_IF_ERROR(CheckRv(get(&functions), "C_GetFunctionList", path));
  if (functions == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat("C_GetFunctionList of ", path, " gave no functions"));
  }
  if (const char* const missing = MissingFunction(*functions)) {
    return absl::FailedPreconditionError(
        absl::StrCat("the PKCS#11 module ", path, " has no ", missing));
  }
  return std::unique_ptr<Module>(new Module(WithStandIns(*functions), FindMessageFunctions(library),
                                            std::move(init_arguments)));
}

absl::Status Module::Initialise() {
  InitializeArguments arguments;
  arguments.standard.flags = CKF_OS_LOCKING_OK;
  if (!init_arguments_.empty()) arguments.standard.pReserved = init_arguments_.data();
  const CK_RV rv = functions_.C_Initialize(&arguments);
  if (rv == CKR_CRYPTOKI_ALREADY_INITIALIZED) return absl::OkStatus();
  return CheckRv(rv, "C_Initialize",
                 rv == CKR_ARGUMENTS_BAD && init_arguments_.empty()
                     ? "the module may need init arguments (NSS does)"
                     : "");
}

absl::Status Module::Finalise() {
  const CK_RV rv = functions_.C_Finalize(nullptr);
  if (rv == CKR_CRYPTOKI_NOT_INITIALIZED) return absl::OkStatus();
  return CheckRv(rv, "C_Finalize");
}

absl::StatusOr<TokenInfo> Module::ReadTokenInfo(CK_SLOT_ID slot) const {
  TokenInfo token;
  token.slot = slot;
  KEKD_RETURN_IF_ERROR(CheckRv(functions_.C_GetTokenInfo(slot, &token.info), "C_GetTokenInfo"));
  const CK_TOKEN_INFO& info = token.info;
  token.token.label = PaddedText(info.label, sizeof(info.label));
  token.token.manufacturer = PaddedText(info.manufacturerID, sizeof(info.manufacturerID));
  token.token.model = PaddedText(info.model, sizeof(info.model));
  token.token.serial = PaddedText(info.serialNumber, sizeof(info.serialNumber));
  return token;
}

absl::StatusOr<std::vector<TokenInfo>> Module::Tokens(absl::Status& unread) const {
  std::vector<CK_SLOT_ID> slots;
  CK_RV rv = CKR_BUFFER_TOO_SMALL;
  // A token may come between the two calls; not for ever.
  for (int i = 0; i < 5 && rv == CKR_BUFFER_TOO_SMALL; ++i) {
    CK_ULONG count = 0;
    KEKD_RETURN_IF_ERROR(
        CheckRv(functions_.C_GetSlotList(CK_TRUE, nullptr, &count), "C_GetSlotList"));
    slots.resize(count);
    if (count == 0) return std::vector<TokenInfo>();
    rv = functions_.C_GetSlotList(CK_TRUE, slots.data(), &count);
    if (count < slots.size()) slots.resize(count);
  }
  KEKD_RETURN_IF_ERROR(CheckRv(rv, "C_GetSlotList"));
  std::vector<TokenInfo> tokens;
  for (const CK_SLOT_ID slot : slots) {
    absl::StatusOr<TokenInfo> token = ReadTokenInfo(slot);
    if (token.ok()) {
      tokens.push_back(*std::move(token));
    } else {
      unread = token.status();
    }
  }
  return tokens;
}

std::string Module::Description() const {
  CK_INFO info = {};
  if (functions_.C_GetInfo(&info) != CKR_OK) return "";
  return absl::StrCat(PaddedText(info.libraryDescription, sizeof(info.libraryDescription)), " ",
                      info.libraryVersion.major, ".", info.libraryVersion.minor);
}

std::string Module::CryptokiVersion() const {
  CK_INFO info = {};
  if (functions_.C_GetInfo(&info) != CKR_OK) return "";
  return VersionText(info.cryptokiVersion);
}

absl::StatusOr<TokenInfo> FindToken(const Module& module, const TokenSelector& wanted) {
  absl::Status unread;
  KEKD_ASSIGN_OR_RETURN(const std::vector<TokenInfo> tokens, module.Tokens(unread));
  std::vector<TokenInfo> found;
  std::vector<TokenInfo> initialised;
  for (const TokenInfo& token : tokens) {
    // SoftHSM always has an empty token more, waiting for C_InitToken.
    if ((token.info.flags & CKF_TOKEN_INITIALIZED) == 0) continue;
    initialised.push_back(token);
    if (Matches(wanted, token.token)) found.push_back(token);
  }
  if (found.size() == 1) return found.front();
  if (found.empty()) {
    return absl::UnavailableError(absl::StrCat(
        "no token with ", Describe(wanted), " is present; ",
        initialised.empty() ? "the module has none" : "there is: ", Describe(initialised),
        unread.ok() ? "" : "; one does not answer: ", unread.message()));
  }
  return absl::FailedPreconditionError(
      absl::StrCat("more than one token fits ", Describe(wanted),
                   "; name the one that is meant by its serial too: ", Describe(found)));
}

}  // namespace kekd
