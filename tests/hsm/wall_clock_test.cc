// What a step of the wall clock must not do to a token.
#include "tests/hsm/wall_clock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <thread>

#include "absl/time/clock.h"
#include "base/monotonic.h"
#include "tests/hsm/fake_token.h"
#include "tests/support/status_matchers.h"

namespace kekd::testing {
namespace {

TEST(WallClockTest, IsSteppedForAbslAndNotForMonotonicNow) {
  const absl::Time wall = absl::Now();
  const absl::Time monotonic = MonotonicNow();
  const WallClockStep back(-absl::Hours(5));
  EXPECT_LT(absl::Now(), wall - absl::Hours(4));
  EXPECT_GE(MonotonicNow(), monotonic);
  EXPECT_LT(MonotonicNow(), monotonic + absl::Hours(1));
}

TEST(WallClockTest, AStepKeepsNoWorkerFromBeingStarted) {
  const FakeToken token;
  TokenClient client(token.Options("crash"));
  while (client.GetStats().starts < 4) EXPECT_FALSE(FakeToken::Encrypt(client, "").ok());
  const WallClockStep back(-absl::Hours(5));
  absl::SleepFor(2 * TokenClient::kLongestPause);
  EXPECT_FALSE(FakeToken::Encrypt(client, "").ok());
  EXPECT_EQ(client.GetStats().starts, 5u);
}

TEST(WallClockTest, AStepKeepsNoHungWorkerAlive) {
  const FakeToken token;
  WorkerProcess::Options options = token.Options();
  options.channels = 2;
  options.call_timeout = absl::Seconds(5);  // by when the step is seen
  TokenClient client(options);
  KEKD_ASSERT_OK(FakeToken::Encrypt(client, ""));
  std::jthread hangs([&client] { EXPECT_THAT(FakeToken::Encrypt(client, "hang-once"), IsOk()); });
  absl::SleepFor(absl::Milliseconds(200));
  const WallClockStep back(-absl::Hours(5));
  KEKD_EXPECT_OK(FakeToken::Encrypt(client, ""));
  EXPECT_EQ(client.starts(), 1u);
  hangs.join();
  EXPECT_EQ(client.starts(), 2u);  // the call was cut, and repeated
}

TEST(WallClockTest, AStepMakesNoGoodWorkerLookHung) {
  const FakeToken token;
  WorkerProcess::Options options = token.Options();
  options.channels = 2;
  options.call_timeout = absl::Seconds(20);
  TokenClient client(options);
  KEKD_ASSERT_OK(FakeToken::Encrypt(client, ""));
  EXPECT_THAT(FakeToken::Encrypt(client, "hang", FakeToken::In(absl::Milliseconds(20))),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
  const WallClockStep forward(absl::Hours(5));
  KEKD_EXPECT_OK(FakeToken::Encrypt(client, ""));
  EXPECT_EQ(client.GetStats().starts, 1u);
}

}  // namespace
}  // namespace kekd::testing
