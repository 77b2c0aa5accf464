// CK_RV as absl::Status and back.
#ifndef KEKD_HSM_PKCS11_CRYPTOKI_STATUS_H_
#define KEKD_HSM_PKCS11_CRYPTOKI_STATUS_H_

#include <optional>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "hsm/pkcs11/recovery_action.h"

namespace kekd {

// "C_Login: CKR_PIN_INCORRECT (0xa0)", and ": context" if there is one. Its code is what the action
// for `rv` means to a caller: InvalidArgument for kRejectRequest, FailedPrecondition for
// kNeverRetry and kUnsupported, else Unavailable. `rv` is a failure.
absl::Status CkRvError(CkRv rv, absl::string_view function, absl::string_view context = "");

// The CK_RV that such a status carries; none if it came from no function of a module.
std::optional<CkRv> CkRvOf(const absl::Status& status);

// OK for CKR_OK.
inline absl::Status CheckRv(CkRv rv, absl::string_view function, absl::string_view context = "") {
  return rv == 0 ? absl::OkStatus() : CkRvError(rv, function, context);
}

}  // namespace kekd

#endif  // KEKD_HSM_PKCS11_CRYPTOKI_STATUS_H_
