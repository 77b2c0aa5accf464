// The little of PKCS#11 3.0 that is used: p11-kit's header ends with 2.40. By "PKCS #11
// Cryptographic Token Interface Base Specification Version 3.0" (OASIS Standard, 2020), sections
// 3.4, 4.6, 5.4.4 and 5.9, and "Current Mechanisms" 3.0, section 2.12; names are the standard's
// where there is room for both.
#ifndef KEKD_HSM_PKCS11_CRYPTOKI3_H_
#define KEKD_HSM_PKCS11_CRYPTOKI3_H_

#include "hsm/pkcs11/cryptoki.h"

namespace kekd {

inline constexpr CK_MECHANISM_TYPE kCkmAesKeyWrapKwp = 0x210b;  // CKM_AES_KEY_WRAP_KWP
inline constexpr CK_ULONG kCkgGenerateRandom = 3;               // CKG_GENERATE_RANDOM

// CK_INTERFACE.
struct CryptokiInterface {
  const char* name;  // "PKCS 11"
  void* functions;
  CK_FLAGS flags;
};
using GetInterfaceFunction = CK_RV (*)(const unsigned char* name, CK_VERSION* version,
                                       CryptokiInterface** found, CK_FLAGS flags);

// CK_GCM_MESSAGE_PARAMS.
struct GcmMessageParameters {
  unsigned char* iv;
  CK_ULONG iv_bytes;
  CK_ULONG iv_fixed_bits;
  CK_ULONG iv_generator;  // CK_GENERATOR_FUNCTION
  unsigned char* tag;
  CK_ULONG tag_bits;
};

using MessageInitFunction = CK_RV (*)(CK_SESSION_HANDLE session, CK_MECHANISM* mechanism,
                                      CK_OBJECT_HANDLE key);
using MessageFunction = CK_RV (*)(CK_SESSION_HANDLE session, void* parameters,
                                  CK_ULONG parameters_size, unsigned char* associated_data,
                                  CK_ULONG associated_data_size, unsigned char* in,
                                  CK_ULONG in_size, unsigned char* out, CK_ULONG* out_size);
using MessageFinalFunction = CK_RV (*)(CK_SESSION_HANDLE session);
using UnusedFunction = void (*)();

// CK_FUNCTION_LIST_3_0 as far as C_MessageDecryptFinal: the functions of 2.40 in their places, then
// those of 3.0.
struct FunctionList3 {
  CK_FUNCTION_LIST functions;
  UnusedFunction C_GetInterfaceList;
  UnusedFunction C_GetInterface;
  UnusedFunction C_LoginUser;
  UnusedFunction C_SessionCancel;
  MessageInitFunction C_MessageEncryptInit;
  MessageFunction C_EncryptMessage;
  UnusedFunction C_EncryptMessageBegin;
  UnusedFunction C_EncryptMessageNext;
  MessageFinalFunction C_MessageEncryptFinal;
  MessageInitFunction C_MessageDecryptInit;
  MessageFunction C_DecryptMessage;
  UnusedFunction C_DecryptMessageBegin;
  UnusedFunction C_DecryptMessageNext;
  MessageFinalFunction C_MessageDecryptFinal;
};

}  // namespace kekd

#endif  // KEKD_HSM_PKCS11_CRYPTOKI3_H_
