// Names of mechanisms, for people.
#ifndef KEKD_HSM_PKCS11_MECHANISM_NAME_H_
#define KEKD_HSM_PKCS11_MECHANISM_NAME_H_

#include <string>

#include "hsm/pkcs11/cryptoki.h"

namespace kekd {

// "CKM_AES_GCM", or its number ("0x80001234") if it is none that keys of kekd have to do with.
std::string MechanismName(CK_MECHANISM_TYPE type);

}  // namespace kekd

#endif  // KEKD_HSM_PKCS11_MECHANISM_NAME_H_
