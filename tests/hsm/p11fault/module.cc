// The functions of CK_FUNCTION_LIST (PKCS#11 2.40). Those that only pass on are templates here;
// what does more is in slots.cc and ciphers.cc.
#include "tests/hsm/p11fault/module.h"

#include <mutex>
#include <utility>

namespace kekd::p11fault {
namespace {

// A function of the real module whose first argument is a session.
template <Function kFunction, auto kMember, typename Signature>
struct PassedOn;

template <Function kFunction, auto kMember, typename... Arguments>
struct PassedOn<kFunction, kMember, CK_RV (*)(CK_SESSION_HANDLE, Arguments...)> {
  static CK_RV Call(CK_SESSION_HANDLE session, Arguments... arguments) {
    Shim& shim = Shim::Get();
    return shim.OnSession(kFunction, session, [&](const Orders&, const Session& found) {
      shim.Reached(kFunction);
      return (shim.real().*kMember)(found.real, arguments...);
    });
  }
};

// The same, with an object second.
template <Function kFunction, auto kMember, typename Signature>
struct WithObject;

template <Function kFunction, auto kMember, typename... Arguments>
struct WithObject<kFunction, kMember,
                  CK_RV (*)(CK_SESSION_HANDLE, CK_OBJECT_HANDLE, Arguments...)> {
  static CK_RV Call(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, Arguments... arguments) {
    Shim& shim = Shim::Get();
    return shim.OnSession(kFunction, session,
                          [&](const Orders& orders, const Session& found) -> CK_RV {
                            const auto real = shim.handles.RealObject(object, orders.renumber);
                            if (!real.has_value()) return CKR_OBJECT_HANDLE_INVALID;
                            shim.Reached(kFunction);
                            return (shim.real().*kMember)(found.real, *real, arguments...);
                          });
  }
};

template <auto kMember>
using SignatureOf = std::remove_reference_t<decltype(std::declval<CK_FUNCTION_LIST&>().*kMember)>;

CK_RV GetFunctionList(CK_FUNCTION_LIST** list);

CK_RV Initialize(void* arguments) {
  Shim& shim = Shim::Get();
  return shim.Run(Function::kInitialize, [&](const Orders&) {
    shim.Reached(Function::kInitialize);
    const CK_RV rv = shim.real().C_Initialize(arguments);
    if (rv == CKR_OK) shim.Initialised(true);
    return rv;
  });
}

CK_RV Finalize(void* reserved) {
  Shim& shim = Shim::Get();
  return shim.Run(Function::kFinalize, [&](const Orders&) {
    shim.Reached(Function::kFinalize);
    const CK_RV rv = shim.real().C_Finalize(reserved);
    if (rv == CKR_OK) shim.Initialised(false);
    return rv;
  });
}

CK_RV GetInfo(CK_INFO* info) {
  Shim& shim = Shim::Get();
  return shim.Run(Function::kGetInfo, [&](const Orders&) {
    shim.Reached(Function::kGetInfo);
    return shim.real().C_GetInfo(info);
  });
}

#define PASSED_ON(name)                                                \
  .C_##name = PassedOn<Function::k##name, &CK_FUNCTION_LIST::C_##name, \
                       SignatureOf<&CK_FUNCTION_LIST::C_##name>>::Call
#define WITH_OBJECT(name)                                                \
  .C_##name = WithObject<Function::k##name, &CK_FUNCTION_LIST::C_##name, \
                         SignatureOf<&CK_FUNCTION_LIST::C_##name>>::Call

CK_FUNCTION_LIST functions = {
    .version = {2, 40},
    .C_Initialize = Initialize,
    .C_Finalize = Finalize,
    .C_GetInfo = GetInfo,
    .C_GetFunctionList = GetFunctionList,
    .C_GetSlotList = GetSlotList,
    .C_GetSlotInfo = GetSlotInfo,
    .C_GetTokenInfo = GetTokenInfo,
    .C_GetMechanismList = GetMechanismList,
    .C_GetMechanismInfo = GetMechanismInfo,
    .C_InitToken = InitToken,
    PASSED_ON(InitPIN),
    PASSED_ON(SetPIN),
    .C_OpenSession = OpenSession,
    .C_CloseSession = CloseSession,
    .C_CloseAllSessions = CloseAllSessions,
    .C_GetSessionInfo = GetSessionInfo,
    PASSED_ON(GetOperationState),
    .C_SetOperationState = SetOperationState,
    .C_Login = Login,
    PASSED_ON(Logout),
    .C_CreateObject = CreateObject,
    .C_CopyObject = CopyObject,
    WITH_OBJECT(DestroyObject),
    WITH_OBJECT(GetObjectSize),
    WITH_OBJECT(GetAttributeValue),
    WITH_OBJECT(SetAttributeValue),
    PASSED_ON(FindObjectsInit),
    .C_FindObjects = FindObjects,
    PASSED_ON(FindObjectsFinal),
    .C_EncryptInit = EncryptInit,
    .C_Encrypt = Encrypt,
    .C_EncryptUpdate = EncryptUpdate,
    .C_EncryptFinal = EncryptFinal,
    .C_DecryptInit = DecryptInit,
    PASSED_ON(Decrypt),
    PASSED_ON(DecryptUpdate),
    PASSED_ON(DecryptFinal),
    .C_DigestInit = DigestInit,
    PASSED_ON(Digest),
    PASSED_ON(DigestUpdate),
    WITH_OBJECT(DigestKey),
    PASSED_ON(DigestFinal),
    .C_SignInit = SignInit,
    PASSED_ON(Sign),
    PASSED_ON(SignUpdate),
    PASSED_ON(SignFinal),
    .C_SignRecoverInit = SignRecoverInit,
    PASSED_ON(SignRecover),
    .C_VerifyInit = VerifyInit,
    PASSED_ON(Verify),
    PASSED_ON(VerifyUpdate),
    PASSED_ON(VerifyFinal),
    .C_VerifyRecoverInit = VerifyRecoverInit,
    PASSED_ON(VerifyRecover),
    PASSED_ON(DigestEncryptUpdate),
    PASSED_ON(DecryptDigestUpdate),
    PASSED_ON(SignEncryptUpdate),
    PASSED_ON(DecryptVerifyUpdate),
    .C_GenerateKey = GenerateKey,
    .C_GenerateKeyPair = GenerateKeyPair,
    .C_WrapKey = WrapKey,
    .C_UnwrapKey = UnwrapKey,
    .C_DeriveKey = DeriveKey,
    PASSED_ON(SeedRandom),
    PASSED_ON(GenerateRandom),
    PASSED_ON(GetFunctionStatus),
    PASSED_ON(CancelFunction),
    .C_WaitForSlotEvent = WaitForSlotEvent,
};

CK_RV GetFunctionList(CK_FUNCTION_LIST** list) {
  if (list == nullptr) return CKR_ARGUMENTS_BAD;
  Shim& shim = Shim::Get();
  if (!shim.Start()) return CKR_GENERAL_ERROR;
  return shim.Run(Function::kGetFunctionList, [&](const Orders&) {
    *list = &functions;
    return CKR_OK;
  });
}

}  // namespace
}  // namespace kekd::p11fault

extern "C" __attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST** list) {
  return kekd::p11fault::GetFunctionList(list);
}
