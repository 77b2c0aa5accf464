// The module's side knows MonotonicNow() by this name.
#ifndef KEKD_HSM_PKCS11_MONOTONIC_H_
#define KEKD_HSM_PKCS11_MONOTONIC_H_

#include "base/monotonic.h"

#endif  // KEKD_HSM_PKCS11_MONOTONIC_H_
