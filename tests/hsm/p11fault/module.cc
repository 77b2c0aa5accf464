// The functions of CK_FUNCTION_LIST (PKCS#11 2.40), and what the library exports. Functions that
// only pass on are templates (passed_on.h); what does more is in slots.cc and ciphers.cc.
#include "tests/hsm/p11fault/module.h"

#include "tests/hsm/p11fault/passed_on.h"

namespace kekd::p11fault {
namespace {

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

CK_RV GetAttributeValue(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
                        CK_ATTRIBUTE* attributes, CK_ULONG count) {
  constexpr auto kFunction = Function::kGetAttributeValue;
  Shim& shim = Shim::Get();
  return shim.OnSession(
      kFunction, session, [&](const Orders& orders, const Session& found) -> CK_RV {
        const auto real = shim.handles.RealObject(object, orders.renumber);
        if (!real.has_value()) return CKR_OBJECT_HANDLE_INVALID;
        shim.Reached(kFunction);
        CK_RV rv = shim.real().C_GetAttributeValue(found.real, *real, attributes, count);
        for (CK_ULONG i = 0; i < count; ++i) {
          for (const SaidAttribute& said : orders.attributes) {
            if (said.type != attributes[i].type) continue;
            const bool told = said.value.has_value();
            attributes[i].ulValueLen = told ? sizeof(CK_BBOOL) : CK_UNAVAILABLE_INFORMATION;
            if (told)
              *static_cast<CK_BBOOL*>(attributes[i].pValue) = *said.value ? CK_TRUE : CK_FALSE;
            if (!told) rv = CKR_ATTRIBUTE_TYPE_INVALID;
          }
        }
        return rv;
      });
}

#define PASSED_ON(name) .C_##name = PassedOn<Function::k##name, &CK_FUNCTION_LIST::C_##name>::Call
#define WITH_OBJECT(name) \
  .C_##name = WithObject<Function::k##name, &CK_FUNCTION_LIST::C_##name>::Call
#define INIT_WITH_KEY(name) \
  .C_##name = InitWithKey<Function::k##name, &CK_FUNCTION_LIST::C_##name>::Call

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
    .C_GetAttributeValue = GetAttributeValue,
    WITH_OBJECT(SetAttributeValue),
    PASSED_ON(FindObjectsInit),
    .C_FindObjects = FindObjects,
    PASSED_ON(FindObjectsFinal),
    .C_EncryptInit = EncryptInit,
    .C_Encrypt = Encrypt,
    .C_EncryptUpdate = EncryptUpdate,
    .C_EncryptFinal = EncryptFinal,
    INIT_WITH_KEY(DecryptInit),
    PASSED_ON(Decrypt),
    PASSED_ON(DecryptUpdate),
    PASSED_ON(DecryptFinal),
    .C_DigestInit = DigestInit,
    PASSED_ON(Digest),
    PASSED_ON(DigestUpdate),
    WITH_OBJECT(DigestKey),
    PASSED_ON(DigestFinal),
    INIT_WITH_KEY(SignInit),
    PASSED_ON(Sign),
    PASSED_ON(SignUpdate),
    PASSED_ON(SignFinal),
    INIT_WITH_KEY(SignRecoverInit),
    PASSED_ON(SignRecover),
    INIT_WITH_KEY(VerifyInit),
    PASSED_ON(Verify),
    PASSED_ON(VerifyUpdate),
    PASSED_ON(VerifyFinal),
    INIT_WITH_KEY(VerifyRecoverInit),
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
  return shim.Run(Function::kGetFunctionList, [&](const Orders& orders) {
    static CK_FUNCTION_LIST offered;
    offered = functions;
    for (const Function missing : orders.missing) {
      // The functions lie one after the other, in the order of their numbers.
      (&reinterpret_cast<void*&>(offered.C_Initialize))[static_cast<size_t>(missing)] = nullptr;
    }
    *list = &offered;
    return CKR_OK;
  });
}

}  // namespace

CK_FUNCTION_LIST& List() { return functions; }

}  // namespace kekd::p11fault

#define EXPORTED extern "C" __attribute__((visibility("default")))

EXPORTED CK_RV C_GetFunctionList(CK_FUNCTION_LIST** list) {
  return kekd::p11fault::GetFunctionList(list);
}

EXPORTED CK_RV C_GetInterfaceList(kekd::p11fault::Interface* interfaces, CK_ULONG* count) {
  return kekd::p11fault::GetInterfaceList(interfaces, count);
}

EXPORTED CK_RV C_GetInterface(CK_BYTE* name, CK_VERSION* version, kekd::p11fault::Interface** found,
                              CK_FLAGS flags) {
  return kekd::p11fault::GetInterface(name, version, found, flags);
}
