// RandomSource, Clock, UniqueFd and OpenSslError: too little of each for a file of its own.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/err.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <set>
#include <string>
#include <utility>

#include "base/bytes.h"
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

std::array<uint8_t, 24> DrawNonce() {
  std::array<uint8_t, 24> nonce = {};
  KEKD_EXPECT_OK(RandomSource::System().FillNonce(absl::MakeSpan(nonce)));
  return nonce;
}

TEST(RandomSourceTest, NeverGivesTheSameNonceTwice) {
  std::set<std::array<uint8_t, 24>> seen;
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(seen.insert(DrawNonce()).second);
}

TEST(RandomSourceTest, NoncesOfOtherSizesInBetweenDoNotOverlap) {
  std::string drawn;
  for (int i = 0; i < 100; ++i) {
    for (const size_t size : {24, 12, 64, 1, 0}) {
      std::string nonce(size, '\0');
      KEKD_ASSERT_OK(RandomSource::System().FillNonce(AsWritableBytes(nonce)));
      drawn += nonce;
    }
  }
  // Bytes that were given out twice would show as windows of 8 bytes that come twice.
  std::set<std::string> windows;
  for (size_t at = 0; at + 8 <= drawn.size(); ++at) {
    EXPECT_TRUE(windows.insert(drawn.substr(at, 8)).second) << "at " << at;
  }
  std::string too_long(65, '\0');
  EXPECT_THAT(RandomSource::System().FillNonce(AsWritableBytes(too_long)),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(RandomSourceTest, AChildDoesNotDrawItsParentsNonces) {
  DrawNonce();  // and with it some more
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd reader(ends[0]);
  UniqueFd writer(ends[1]);
  const pid_t child = fork();
  if (child == 0) {
    const auto nonce = DrawNonce();
    _exit(write(writer.get(), nonce.data(), nonce.size()) == 24 ? 0 : 1);
  }
  ASSERT_GT(child, 0);
  // Before waiting for the child: a batch is not used for long.
  std::set<std::array<uint8_t, 24>> of_parent;
  for (int i = 0; i < 20; ++i) of_parent.insert(DrawNonce());
  writer = UniqueFd();
  std::array<uint8_t, 24> of_child = {};
  EXPECT_EQ(read(reader.get(), of_child.data(), of_child.size()), 24);
  int status = -1;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_FALSE(of_parent.contains(of_child));
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
