#include "hsm/pkcs11/recovery_action.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace kekd {
namespace {

using enum RecoveryAction;

struct Row {
  CkRv rv;
  const char* name;
  RecoveryAction action;
  bool ambiguous_on_decrypt = false;
};

constexpr bool kAmbiguous = true;
constexpr CkRv kVendorDefined = 0x80000000;

// Every CK_RV of PKCS#11 2.40 (pkcs11t.h) and 3.1, by number. The numbers are the standard's:
// p11-kit 0.24 has five of them wrong (0x1c0 to 0x1c4 for 0x1b5 to 0x1b9).
//
// kRejectRequest is what a repetition can't change: our own arguments, or the data. Of those, what
// modules say of a tag that does not fit is ambiguous too: a canary confirms that the token is
// fine.
constexpr Row kRows[] = {
    {0x000, "CKR_OK", kNone},
    {0x001, "CKR_CANCEL", kNewSession},
    {0x002, "CKR_HOST_MEMORY", kRestartWorker},
    {0x003, "CKR_SLOT_ID_INVALID", kReinitialise},
    {0x005, "CKR_GENERAL_ERROR", kNewSession, kAmbiguous},
    {0x006, "CKR_FUNCTION_FAILED", kNewSession, kAmbiguous},
    {0x007, "CKR_ARGUMENTS_BAD", kRejectRequest, kAmbiguous},
    {0x008, "CKR_NO_EVENT", kNewSession},
    {0x009, "CKR_NEED_TO_CREATE_THREADS", kUnsupported},
    {0x00a, "CKR_CANT_LOCK", kUnsupported},
    {0x010, "CKR_ATTRIBUTE_READ_ONLY", kRejectRequest},
    {0x011, "CKR_ATTRIBUTE_SENSITIVE", kRejectRequest},
    {0x012, "CKR_ATTRIBUTE_TYPE_INVALID", kUnsupported},
    {0x013, "CKR_ATTRIBUTE_VALUE_INVALID", kRejectRequest},
    {0x01b, "CKR_ACTION_PROHIBITED", kRejectRequest},
    {0x020, "CKR_DATA_INVALID", kRejectRequest, kAmbiguous},
    {0x021, "CKR_DATA_LEN_RANGE", kRejectRequest, kAmbiguous},
    {0x030, "CKR_DEVICE_ERROR", kNewSession, kAmbiguous},
    {0x031, "CKR_DEVICE_MEMORY", kWaitForCapacity},
    {0x032, "CKR_DEVICE_REMOVED", kReinitialise},
    {0x040, "CKR_ENCRYPTED_DATA_INVALID", kRejectRequest, kAmbiguous},
    {0x041, "CKR_ENCRYPTED_DATA_LEN_RANGE", kRejectRequest, kAmbiguous},
    {0x042, "CKR_AEAD_DECRYPT_FAILED", kRejectRequest, kAmbiguous},
    {0x050, "CKR_FUNCTION_CANCELED", kNewSession},
    {0x051, "CKR_FUNCTION_NOT_PARALLEL", kNewSession},
    {0x054, "CKR_FUNCTION_NOT_SUPPORTED", kUnsupported},
    {0x060, "CKR_KEY_HANDLE_INVALID", kFindAgain},
    {0x062, "CKR_KEY_SIZE_RANGE", kUnsupported},
    {0x063, "CKR_KEY_TYPE_INCONSISTENT", kFindAgain},
    {0x064, "CKR_KEY_NOT_NEEDED", kRejectRequest},
    {0x065, "CKR_KEY_CHANGED", kFindAgain},
    {0x066, "CKR_KEY_NEEDED", kRejectRequest},
    {0x067, "CKR_KEY_INDIGESTIBLE", kRejectRequest},
    {0x068, "CKR_KEY_FUNCTION_NOT_PERMITTED", kFindAgain},
    {0x069, "CKR_KEY_NOT_WRAPPABLE", kRejectRequest},
    {0x06a, "CKR_KEY_UNEXTRACTABLE", kRejectRequest},
    {0x070, "CKR_MECHANISM_INVALID", kUnsupported},
    {0x071, "CKR_MECHANISM_PARAM_INVALID", kRejectRequest, kAmbiguous},
    {0x082, "CKR_OBJECT_HANDLE_INVALID", kFindAgain},
    {0x090, "CKR_OPERATION_ACTIVE", kNewSession},
    {0x091, "CKR_OPERATION_NOT_INITIALIZED", kNewSession},
    {0x0a0, "CKR_PIN_INCORRECT", kNeverRetry},
    {0x0a1, "CKR_PIN_INVALID", kNeverRetry},
    {0x0a2, "CKR_PIN_LEN_RANGE", kNeverRetry},
    {0x0a3, "CKR_PIN_EXPIRED", kNeverRetry},
    {0x0a4, "CKR_PIN_LOCKED", kNeverRetry},
    {0x0b0, "CKR_SESSION_CLOSED", kNewSession},
    {0x0b1, "CKR_SESSION_COUNT", kWaitForCapacity},
    {0x0b3, "CKR_SESSION_HANDLE_INVALID", kNewSession},
    {0x0b4, "CKR_SESSION_PARALLEL_NOT_SUPPORTED", kUnsupported},
    {0x0b5, "CKR_SESSION_READ_ONLY", kRejectRequest},
    {0x0b6, "CKR_SESSION_EXISTS", kNewSession},
    {0x0b7, "CKR_SESSION_READ_ONLY_EXISTS", kNewSession},
    {0x0b8, "CKR_SESSION_READ_WRITE_SO_EXISTS", kReinitialise},
    {0x0c0, "CKR_SIGNATURE_INVALID", kRejectRequest, kAmbiguous},
    {0x0c1, "CKR_SIGNATURE_LEN_RANGE", kRejectRequest, kAmbiguous},
    {0x0d0, "CKR_TEMPLATE_INCOMPLETE", kUnsupported},
    {0x0d1, "CKR_TEMPLATE_INCONSISTENT", kUnsupported},
    {0x0e0, "CKR_TOKEN_NOT_PRESENT", kReinitialise},
    {0x0e1, "CKR_TOKEN_NOT_RECOGNIZED", kReinitialise},
    {0x0e2, "CKR_TOKEN_WRITE_PROTECTED", kUnsupported},
    {0x0f0, "CKR_UNWRAPPING_KEY_HANDLE_INVALID", kFindAgain},
    {0x0f1, "CKR_UNWRAPPING_KEY_SIZE_RANGE", kUnsupported},
    {0x0f2, "CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT", kUnsupported},
    {0x100, "CKR_USER_ALREADY_LOGGED_IN", kNone},
    {0x101, "CKR_USER_NOT_LOGGED_IN", kLogin},
    {0x102, "CKR_USER_PIN_NOT_INITIALIZED", kNeverRetry},
    {0x103, "CKR_USER_TYPE_INVALID", kNeverRetry},
    {0x104, "CKR_USER_ANOTHER_ALREADY_LOGGED_IN", kReinitialise},
    {0x105, "CKR_USER_TOO_MANY_TYPES", kWaitForCapacity},
    {0x110, "CKR_WRAPPED_KEY_INVALID", kRejectRequest, kAmbiguous},
    {0x112, "CKR_WRAPPED_KEY_LEN_RANGE", kRejectRequest, kAmbiguous},
    {0x113, "CKR_WRAPPING_KEY_HANDLE_INVALID", kFindAgain},
    {0x114, "CKR_WRAPPING_KEY_SIZE_RANGE", kUnsupported},
    {0x115, "CKR_WRAPPING_KEY_TYPE_INCONSISTENT", kUnsupported},
    {0x120, "CKR_RANDOM_SEED_NOT_SUPPORTED", kUnsupported},
    {0x121, "CKR_RANDOM_NO_RNG", kUnsupported},
    {0x130, "CKR_DOMAIN_PARAMS_INVALID", kRejectRequest},
    {0x140, "CKR_CURVE_NOT_SUPPORTED", kUnsupported},
    {0x150, "CKR_BUFFER_TOO_SMALL", kNewSession, kAmbiguous},
    {0x160, "CKR_SAVED_STATE_INVALID", kNewSession},
    {0x170, "CKR_INFORMATION_SENSITIVE", kRejectRequest},
    {0x180, "CKR_STATE_UNSAVEABLE", kUnsupported},
    {0x190, "CKR_CRYPTOKI_NOT_INITIALIZED", kReinitialise},
    {0x191, "CKR_CRYPTOKI_ALREADY_INITIALIZED", kNone},
    {0x1a0, "CKR_MUTEX_BAD", kRestartWorker},
    {0x1a1, "CKR_MUTEX_NOT_LOCKED", kRestartWorker},
    {0x1b0, "CKR_NEW_PIN_MODE", kNeverRetry},
    {0x1b1, "CKR_NEXT_OTP", kNeverRetry},
    {0x1b5, "CKR_EXCEEDED_MAX_ITERATIONS", kNewSession},
    {0x1b6, "CKR_FIPS_SELF_TEST_FAILED", kRestartWorker},
    {0x1b7, "CKR_LIBRARY_LOAD_FAILED", kRestartWorker},
    {0x1b8, "CKR_PIN_TOO_WEAK", kNeverRetry},
    {0x1b9, "CKR_PUBLIC_KEY_INVALID", kRejectRequest},
    {0x200, "CKR_FUNCTION_REJECTED", kRejectRequest},
    {0x201, "CKR_TOKEN_RESOURCE_EXCEEDED", kWaitForCapacity},
    {0x202, "CKR_OPERATION_CANCEL_FAILED", kNewSession},
    {0x203, "CKR_KEY_EXHAUSTED", kUnsupported},
};
static_assert(std::is_sorted(std::begin(kRows), std::end(kRows),
                             [](const Row& a, const Row& b) { return a.rv < b.rv; }));

const Row* Find(CkRv rv) {
  const Row* const row = std::lower_bound(std::begin(kRows), std::end(kRows), rv,
                                          [](const Row& a, CkRv wanted) { return a.rv < wanted; });
  return row != std::end(kRows) && row->rv == rv ? row : nullptr;
}

}  // namespace

std::string CkRvName(CkRv rv) {
  if (const Row* const row = Find(rv)) return row->name;
  if (rv >= kVendorDefined) {
    return absl::StrFormat("CKR_VENDOR_DEFINED + 0x%x", rv - kVendorDefined);
  }
  return absl::StrFormat("0x%08x", rv);
}

RecoveryAction ActionFor(CkRv rv) {
  const Row* const row = Find(rv);
  return row != nullptr ? row->action : kNewSession;
}

bool IsAmbiguousOnDecrypt(CkRv rv) {
  const Row* const row = Find(rv);
  return row == nullptr || row->ambiguous_on_decrypt;
}

}  // namespace kekd
