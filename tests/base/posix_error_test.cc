#include "base/posix_error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

#include "tests/support/status_matchers.h"

namespace kekd {
namespace {

using ::kekd::testing::StatusIs;
using ::testing::HasSubstr;

TEST(PosixErrorTest, NamesTheCallTheTextAndTheSymbol) {
  EXPECT_THAT(PosixError(ENOSPC, "write /var/lib/kekd/ring"),
              StatusIs(absl::StatusCode::kResourceExhausted,
                       "write /var/lib/kekd/ring: No space left on device (ENOSPC)"));
}

TEST(PosixErrorTest, GivesEachErrorItsCanonicalCode) {
  const struct {
    int error;
    absl::StatusCode code;
  } cases[] = {
      {ENOENT, absl::StatusCode::kNotFound},
      {EEXIST, absl::StatusCode::kAlreadyExists},
      {EACCES, absl::StatusCode::kPermissionDenied},
      {EPERM, absl::StatusCode::kPermissionDenied},
      {ENOSPC, absl::StatusCode::kResourceExhausted},
      {EDQUOT, absl::StatusCode::kResourceExhausted},
      {EAGAIN, absl::StatusCode::kUnavailable},
      {ECONNREFUSED, absl::StatusCode::kUnavailable},
      {EIO, absl::StatusCode::kInternal},
  };
  for (const auto& c : cases) EXPECT_THAT(PosixError(c.error, "x"), StatusIs(c.code)) << c.error;
}

TEST(PosixErrorTest, SurvivesANumberThatHasNoName) {
  EXPECT_THAT(PosixError(99999, "x"), StatusIs(absl::StatusCode::kInternal, HasSubstr("x: ")));
}

}  // namespace
}  // namespace kekd
