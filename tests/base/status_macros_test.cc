#include "base/status_macros.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "absl/strings/cord.h"
#include "tests/support/status_matchers.h"

namespace kekd {
namespace {

using ::kekd::testing::IsOkAndHolds;
using ::kekd::testing::StatusIs;

absl::Status Check(const absl::Status& status, bool* went_on) {
  KEKD_RETURN_IF_ERROR(status);
  *went_on = true;
  return absl::OkStatus();
}

absl::StatusOr<int> Twice(absl::StatusOr<std::unique_ptr<int>> number) {
  KEKD_ASSIGN_OR_RETURN(const std::unique_ptr<int> value, std::move(number));
  return 2 * *value;
}

TEST(StatusMacrosTest, ReturnIfErrorGoesOnOnlyAfterOk) {
  bool went_on = false;
  EXPECT_THAT(Check(absl::AbortedError("x"), &went_on), StatusIs(absl::StatusCode::kAborted, "x"));
  EXPECT_FALSE(went_on);
  KEKD_EXPECT_OK(Check(absl::OkStatus(), &went_on));
  EXPECT_TRUE(went_on);
}

TEST(StatusMacrosTest, AssignOrReturnMovesTheValueOut) {
  EXPECT_THAT(Twice(std::make_unique<int>(21)), IsOkAndHolds(42));
  EXPECT_THAT(Twice(absl::DataLossError("gone")), StatusIs(absl::StatusCode::kDataLoss, "gone"));
}

TEST(StatusMacrosTest, ContextGoesInFrontAndLeavesOkAlone) {
  EXPECT_THAT(WithContext(absl::NotFoundError("no key"), "ring \"a\""),
              StatusIs(absl::StatusCode::kNotFound, "ring \"a\": no key"));
  KEKD_EXPECT_OK(WithContext(absl::OkStatus(), "ring"));
}

TEST(StatusMacrosTest, ContextKeepsThePayloads) {
  absl::Status status = absl::InternalError("x");
  status.SetPayload("kekd/test", absl::Cord("retry"));
  const auto payload = WithContext(status, "y").GetPayload("kekd/test");
  ASSERT_TRUE(payload.has_value());
  EXPECT_EQ(std::string(*payload), "retry");
}

}  // namespace
}  // namespace kekd
