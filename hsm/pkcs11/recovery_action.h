// What to do about a CK_RV.
#ifndef KEKD_HSM_PKCS11_RECOVERY_ACTION_H_
#define KEKD_HSM_PKCS11_RECOVERY_ACTION_H_

#include <cstdint>
#include <string>

namespace kekd {

using CkRv = unsigned long;  // CK_RV (PKCS#11 2.40, section 3.6)

// In the order in which they cost more; a rung that did not help leads to the next one.
enum class RecoveryAction : uint8_t {
  kNone,             // it succeeded
  kNewSession,       // close the session and open another
  kLogin,            // the login is gone
  kFindAgain,        // the object handle is stale
  kReinitialise,     // C_Finalize, C_Initialize, find the token, log in
  kRestartWorker,    // the module is of no more use in this process
  kWaitForCapacity,  // try again in a moment, until the deadline
  kRejectRequest,    // what was sent is wrong; the token is fine
  kNeverRetry,       // a repetition does harm: PINs
  kUnsupported,      // the token can't do this; another mechanism may do
};

// The name of the standard: "CKR_DEVICE_ERROR"; "CKR_VENDOR_DEFINED + 0x12"; "0x00000123".
std::string CkRvName(CkRv rv);
// One table of every CK_RV of PKCS#11 2.40 and 3.1; what it does not have, vendors' values among
// them, is kNewSession: the ladder goes on from there.
RecoveryAction ActionFor(CkRv rv);
// Whether a C_Decrypt may have meant a damaged ciphertext by it as well as a broken token (SoftHSM
// 2.6 answers CKR_GENERAL_ERROR for a bad tag): a canary tells them apart.
bool IsAmbiguousOnDecrypt(CkRv rv);

}  // namespace kekd

#endif  // KEKD_HSM_PKCS11_RECOVERY_ACTION_H_
