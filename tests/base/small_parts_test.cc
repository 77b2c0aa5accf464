// RandomSource, Clock, UniqueFd and OpenSslError: too little of each for a file of its own.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/err.h>

#include <array>
#include <set>
#include <utility>

#include "base/clock.h"
#include "base/openssl.h"
#include "base/random_source.h"
#include "base/unique_fd.h"
#include "tests/support/status_matchers.h"

namespace kekd {
namespace {

using ::kekd::testing::StatusIs;
using ::testing::HasSubstr;
using ::testing::Not;

bool IsOpen(int fd) { return fcntl(fd, F_GETFD) >= 0; }

TEST(RandomSourceTest, NeverGivesTheSameTwice) {
  std::set<std::array<uint8_t, 16>> seen;
  for (int i = 0; i < 1000; ++i) {
    std::array<uint8_t, 16> bytes = {};
    KEKD_ASSERT_OK(RandomSource::System().Fill(absl::MakeSpan(bytes)));
    EXPECT_TRUE(seen.insert(bytes).second);
  }
  KEKD_EXPECT_OK(RandomSource::System().Fill({}));
}

TEST(ClockTest, TellsATimeThatDoesNotRunBackwards) {
  const absl::Time first = Clock::System().Now();
  EXPECT_LE(first, Clock::System().Now());
  EXPECT_GT(first, absl::FromUnixSeconds(1700000000));
}

TEST(UniqueFdTest, ClosesWhenItGoesAndOnlyOnce) {
  const int raw = open("/dev/null", O_RDONLY | O_CLOEXEC);
  ASSERT_GE(raw, 0);
  {
    UniqueFd first(raw);
    const UniqueFd second(std::move(first));
    EXPECT_FALSE(first.valid());  // NOLINT(bugprone-use-after-move)
    EXPECT_EQ(second.get(), raw);
    EXPECT_TRUE(IsOpen(raw));
  }
  EXPECT_FALSE(IsOpen(raw));
}

TEST(UniqueFdTest, AssignmentClosesWhatItHeld) {
  const int old_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  const int new_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  UniqueFd fd(old_fd);
  fd = UniqueFd(new_fd);
  EXPECT_FALSE(IsOpen(old_fd));
  EXPECT_TRUE(IsOpen(new_fd));
  EXPECT_EQ(fd.Release(), new_fd);
  EXPECT_FALSE(fd.valid());
  close(new_fd);
}

TEST(OpenSslErrorTest, TellsTheReasonOnceAndEmptiesTheQueue) {
  ERR_clear_error();
  ERR_raise(ERR_LIB_EVP, ERR_R_MALLOC_FAILURE);
  EXPECT_THAT(OpenSslError("EVP_Thing"),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("EVP_Thing: malloc failure")));
  EXPECT_THAT(OpenSslError("EVP_Thing"),
              StatusIs(absl::StatusCode::kInternal, Not(HasSubstr("malloc"))));
}

}  // namespace
}  // namespace kekd
