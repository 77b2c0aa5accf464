// The functions of the module that do more than to pass on. Their arguments are those of the
// functions of PKCS#11 of the same names.
#ifndef KEKD_TESTS_HSM_P11FAULT_MODULE_H_
#define KEKD_TESTS_HSM_P11FAULT_MODULE_H_

#include "tests/hsm/p11fault/shim.h"

namespace kekd::p11fault {

// Slots, tokens and sessions (slots.cc).
CK_RV GetSlotList(CK_BBOOL present, CK_SLOT_ID* slots, CK_ULONG* count);
CK_RV GetSlotInfo(CK_SLOT_ID slot, CK_SLOT_INFO* info);
CK_RV GetTokenInfo(CK_SLOT_ID slot, CK_TOKEN_INFO* info);
CK_RV GetMechanismList(CK_SLOT_ID slot, CK_MECHANISM_TYPE* list, CK_ULONG* count);
CK_RV GetMechanismInfo(CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO* info);
CK_RV InitToken(CK_SLOT_ID slot, CK_BYTE* pin, CK_ULONG pin_size, CK_BYTE* label);
CK_RV OpenSession(CK_SLOT_ID slot, CK_FLAGS flags, void* application, CK_NOTIFY notify,
                  CK_SESSION_HANDLE* session);
CK_RV CloseSession(CK_SESSION_HANDLE session);
CK_RV CloseAllSessions(CK_SLOT_ID slot);
CK_RV GetSessionInfo(CK_SESSION_HANDLE session, CK_SESSION_INFO* info);
CK_RV Login(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_BYTE* pin, CK_ULONG pin_size);
CK_RV WaitForSlotEvent(CK_FLAGS flags, CK_SLOT_ID* slot, void* reserved);

// Objects and ciphers (ciphers.cc).
CK_RV SetOperationState(CK_SESSION_HANDLE session, CK_BYTE* state, CK_ULONG size,
                        CK_OBJECT_HANDLE encryption_key, CK_OBJECT_HANDLE authentication_key);
CK_RV CreateObject(CK_SESSION_HANDLE session, CK_ATTRIBUTE* attributes, CK_ULONG count,
                   CK_OBJECT_HANDLE* object);
CK_RV CopyObject(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE* attributes,
                 CK_ULONG count, CK_OBJECT_HANDLE* copy);
CK_RV FindObjects(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE* objects, CK_ULONG most,
                  CK_ULONG* count);
CK_RV EncryptInit(CK_SESSION_HANDLE session, CK_MECHANISM* mechanism, CK_OBJECT_HANDLE key);
CK_RV Encrypt(CK_SESSION_HANDLE session, CK_BYTE* in, CK_ULONG in_size, CK_BYTE* out,
              CK_ULONG* out_size);
CK_RV EncryptUpdate(CK_SESSION_HANDLE session, CK_BYTE* in, CK_ULONG in_size, CK_BYTE* out,
                    CK_ULONG* out_size);
CK_RV EncryptFinal(CK_SESSION_HANDLE session, CK_BYTE* out, CK_ULONG* out_size);
CK_RV DigestInit(CK_SESSION_HANDLE session, CK_MECHANISM* mechanism);
CK_RV GenerateKey(CK_SESSION_HANDLE session, CK_MECHANISM* mechanism, CK_ATTRIBUTE* attributes,
                  CK_ULONG count, CK_OBJECT_HANDLE* key);
CK_RV GenerateKeyPair(CK_SESSION_HANDLE session, CK_MECHANISM* mechanism,
                      CK_ATTRIBUTE* public_attributes, CK_ULONG public_count,
                      CK_ATTRIBUTE* private_attributes, CK_ULONG private_count,
                      CK_OBJECT_HANDLE* public_key, CK_OBJECT_HANDLE* private_key);
CK_RV WrapKey(CK_SESSION_HANDLE session, CK_MECHANISM* mechanism, CK_OBJECT_HANDLE wrapping_key,
              CK_OBJECT_HANDLE key, CK_BYTE* out, CK_ULONG* out_size);
CK_RV UnwrapKey(CK_SESSION_HANDLE session, CK_MECHANISM* mechanism, CK_OBJECT_HANDLE unwrapping_key,
                CK_BYTE* in, CK_ULONG in_size, CK_ATTRIBUTE* attributes, CK_ULONG count,
                CK_OBJECT_HANDLE* key);
CK_RV DeriveKey(CK_SESSION_HANDLE session, CK_MECHANISM* mechanism, CK_OBJECT_HANDLE base_key,
                CK_ATTRIBUTE* attributes, CK_ULONG count, CK_OBJECT_HANDLE* key);

// The list of all functions of 2.40 (module.cc).
CK_FUNCTION_LIST& List();

// What PKCS#11 3.0 adds (interfaces.cc).
CK_RV GetInterfaceList(Interface* interfaces, CK_ULONG* count);
CK_RV GetInterface(CK_BYTE* name, CK_VERSION* version, Interface** found, CK_FLAGS flags);

}  // namespace kekd::p11fault

#endif  // KEKD_TESTS_HSM_P11FAULT_MODULE_H_
