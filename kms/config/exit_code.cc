#include "kms/config/exit_code.h"

namespace kekd {

ExitCode ExitCodeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return kExitOk;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
      return kExitUsage;
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kNotFound:
      return kExitRefused;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      return kExitUnreachable;
    case absl::StatusCode::kDataLoss:
    case absl::StatusCode::kUnimplemented:  // a format of a newer kekd
      return kExitIntegrity;
    case absl::StatusCode::kPermissionDenied:
      return kExitPermission;
    default:
      return kExitFailure;
  }
}

}  // namespace kekd
