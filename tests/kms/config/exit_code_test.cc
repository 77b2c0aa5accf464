#include "kms/config/exit_code.h"

#include <gtest/gtest.h>

#include <utility>

namespace kekd {
namespace {

TEST(ExitCodeTest, HasTheDocumentedNumberForEveryCode) {
  using Code = absl::StatusCode;
  const std::pair<Code, int> expected[] = {
      {Code::kOk, 0},
      {Code::kInternal, 1},
      {Code::kUnknown, 1},
      {Code::kCancelled, 1},
      {Code::kResourceExhausted, 1},
      {Code::kUnauthenticated, 1},
      {Code::kInvalidArgument, 2},
      {Code::kOutOfRange, 2},
      {Code::kFailedPrecondition, 3},
      {Code::kAlreadyExists, 3},
      {Code::kAborted, 3},
      {Code::kNotFound, 3},
      {Code::kUnavailable, 4},
      {Code::kDeadlineExceeded, 4},
      {Code::kDataLoss, 5},
      {Code::kUnimplemented, 5},
      {Code::kPermissionDenied, 6},
  };
  for (const auto& [code, number] : expected) {
    EXPECT_EQ(ExitCodeOf(absl::Status(code, "x")), number) << absl::StatusCodeToString(code);
  }
}

}  // namespace
}  // namespace kekd
