// What PKCS#11 3.0 adds to 2.40: the headers of Debian 12's p11-kit end with that.
#ifndef KEKD_TESTS_HSM_P11FAULT_CRYPTOKI3_H_
#define KEKD_TESTS_HSM_P11FAULT_CRYPTOKI3_H_

#include <p11-kit/pkcs11.h>

namespace kekd::p11fault {

inline constexpr char kStandardInterface[] = "PKCS 11";

// CK_INTERFACE.
struct Interface {
  const char* name;
  void* functions;
  CK_FLAGS flags;
};

// CK_GCM_MESSAGE_PARAMS, whose last CK_ULONGs say who makes the IV.
struct GcmMessage {
  CK_BYTE* iv;
  CK_ULONG iv_size;
  CK_ULONG iv_fixed_bits;
  CK_ULONG iv_generator;
  CK_BYTE* tag;
  CK_ULONG tag_size_bits;
};
inline constexpr CK_ULONG kIvFromRandom = 3;  // CKG_GENERATE_RANDOM

using InitOfMessages = CK_RV (*)(CK_SESSION_HANDLE session, CK_MECHANISM* mechanism,
                                 CK_OBJECT_HANDLE key);
using WholeMessage = CK_RV (*)(CK_SESSION_HANDLE session, void* parameter, CK_ULONG parameter_size,
                               CK_BYTE* associated_data, CK_ULONG associated_data_size, CK_BYTE* in,
                               CK_ULONG in_size, CK_BYTE* out, CK_ULONG* out_size);
using MessageBegin = CK_RV (*)(CK_SESSION_HANDLE session, void* parameter, CK_ULONG parameter_size,
                               CK_BYTE* associated_data, CK_ULONG associated_data_size);
using MessageNext = CK_RV (*)(CK_SESSION_HANDLE session, void* parameter, CK_ULONG parameter_size,
                              CK_BYTE* in, CK_ULONG in_size, CK_BYTE* out, CK_ULONG* out_size,
                              CK_FLAGS flags);
using SignedBegin = CK_RV (*)(CK_SESSION_HANDLE session, void* parameter, CK_ULONG parameter_size);
using SignedMessage = CK_RV (*)(CK_SESSION_HANDLE session, void* parameter, CK_ULONG parameter_size,
                                CK_BYTE* data, CK_ULONG data_size, CK_BYTE* signature,
                                CK_ULONG* signature_size);
using VerifiedMessage = CK_RV (*)(CK_SESSION_HANDLE session, void* parameter,
                                  CK_ULONG parameter_size, CK_BYTE* data, CK_ULONG data_size,
                                  CK_BYTE* signature, CK_ULONG signature_size);
using EndOfMessages = CK_RV (*)(CK_SESSION_HANDLE session);

// CK_FUNCTION_LIST_3_0: that of 2.40, of another version, and these.
struct FunctionList3 {
  CK_FUNCTION_LIST base;
  CK_RV (*C_GetInterfaceList)(Interface* interfaces, CK_ULONG* count);
  CK_RV(*C_GetInterface)
  (CK_BYTE* name, CK_VERSION* version, Interface** found, CK_FLAGS flags);
  CK_RV(*C_LoginUser)
  (CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_BYTE* pin, CK_ULONG pin_size, CK_BYTE* name,
   CK_ULONG name_size);
  CK_RV (*C_SessionCancel)(CK_SESSION_HANDLE session, CK_FLAGS flags);
  InitOfMessages C_MessageEncryptInit;
  WholeMessage C_EncryptMessage;
  MessageBegin C_EncryptMessageBegin;
  MessageNext C_EncryptMessageNext;
  EndOfMessages C_MessageEncryptFinal;
  InitOfMessages C_MessageDecryptInit;
  WholeMessage C_DecryptMessage;
  MessageBegin C_DecryptMessageBegin;
  MessageNext C_DecryptMessageNext;
  EndOfMessages C_MessageDecryptFinal;
  InitOfMessages C_MessageSignInit;
  SignedMessage C_SignMessage;
  SignedBegin C_SignMessageBegin;
  SignedMessage C_SignMessageNext;
  EndOfMessages C_MessageSignFinal;
  InitOfMessages C_MessageVerifyInit;
  VerifiedMessage C_VerifyMessage;
  SignedBegin C_VerifyMessageBegin;
  VerifiedMessage C_VerifyMessageNext;
  EndOfMessages C_MessageVerifyFinal;
};

}  // namespace kekd::p11fault

#endif  // KEKD_TESTS_HSM_P11FAULT_CRYPTOKI3_H_
