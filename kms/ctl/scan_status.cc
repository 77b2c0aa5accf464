#include "kms/ctl/scan_status.h"

#include "kms/config/exit_code.h"

namespace kekd {

absl::Status NothingProven(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kDataLoss:
    case absl::StatusCode::kUnimplemented:
    case absl::StatusCode::kPermissionDenied:
      return status;
    default:
      return absl::UnavailableError(status.message());
  }
}

absl::Status NeverViolated(const absl::Status& status) {
  if (ExitCodeOf(status) != kExitFailure) return status;
  return absl::UnavailableError(status.message());
}

}  // namespace kekd
