#include "kms/ctl/scan_status.h"

#include <gtest/gtest.h>

#include "kms/config/exit_code.h"

namespace kekd {
namespace {

TEST(ScanStatusTest, FailureNeverLooksLikeAViolatedPolicy) {
  for (int code = 1; code <= 16; ++code) {
    const absl::Status status(static_cast<absl::StatusCode>(code), "why");
    const ExitCode before = ExitCodeOf(status);
    EXPECT_EQ(ExitCodeOf(NeverViolated(status)), before == kExitFailure ? kExitUnreachable : before)
        << status;
    EXPECT_EQ(NeverViolated(status).message(), "why");
  }
}

TEST(ScanStatusTest, NothingIsProvenByAFailure) {
  for (const auto& status :
       {absl::UnauthenticatedError("x"), absl::AbortedError("x"), absl::NotFoundError("x"),
        absl::FailedPreconditionError("x"), absl::InternalError("x"), absl::OutOfRangeError("x"),
        absl::UnavailableError("x")}) {
    EXPECT_EQ(ExitCodeOf(NothingProven(status)), kExitUnreachable) << status;
  }
  EXPECT_EQ(ExitCodeOf(NothingProven(absl::InvalidArgumentError("x"))), kExitUsage);
  EXPECT_EQ(ExitCodeOf(NothingProven(absl::DataLossError("x"))), kExitIntegrity);
  EXPECT_EQ(ExitCodeOf(NothingProven(absl::UnimplementedError("x"))), kExitIntegrity);
  EXPECT_EQ(ExitCodeOf(NothingProven(absl::PermissionDeniedError("x"))), kExitPermission);
}

}  // namespace
}  // namespace kekd
