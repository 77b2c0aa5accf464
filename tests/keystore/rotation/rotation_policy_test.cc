#include "keystore/rotation/rotation_policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/support/status_matchers.h"

namespace kekd {
namespace {

using ::kekd::testing::StatusIs;
using ::testing::HasSubstr;

const absl::Time kMonday = absl::FromUnixSeconds(1'767'571'200);  // 2026-01-05T00:00:00Z

RingView RingSince(absl::Time activation) {
  RingView ring;
  ring.versions.push_back({.number = 1, .state = KeyState::kActive, .activation_time = activation});
  return ring;
}

bool InWindow(absl::string_view window, absl::Duration into_week) {
  RotationPolicy policy;
  policy.windows = *ParseRotationWindow(window);
  const absl::Time now = kMonday + into_week;
  const bool in = IsRotationDue(policy, RingSince(now), 0, now).in_window;
  // Before 1970 and far from now it is the same.
  for (const int weeks : {-4000, 3000}) {
    const absl::Time then = now + weeks * absl::Hours(7 * 24);
    EXPECT_EQ(IsRotationDue(policy, RingSince(then), 0, then).in_window, in);
  }
  return in;
}

TEST(RotationPolicyTest, KnowsItsWindows) {
  const absl::Duration saturday = absl::Hours(5 * 24);
  EXPECT_TRUE(InWindow("Sat 22:00-04:00", saturday + absl::Hours(22)));
  EXPECT_TRUE(InWindow("Sat 22:00-04:00", saturday + absl::Hours(27)));
  EXPECT_FALSE(InWindow("Sat 22:00-04:00", saturday + absl::Hours(28)));
  EXPECT_FALSE(InWindow("Sat 22:00-04:00", saturday + absl::Hours(21.9)));
  EXPECT_FALSE(InWindow("Sat 22:00-04:00", absl::Hours(3)));
  EXPECT_TRUE(InWindow("Sun 22:00-04:00", absl::Hours(3)));  // on Monday
  for (int day = 0; day < 7; ++day) {
    EXPECT_TRUE(InWindow("02:00-05:30", absl::Hours(24 * day + 5.4)));
    EXPECT_FALSE(InWindow("02:00-05:30", absl::Hours(24 * day + 5.5)));
    EXPECT_TRUE(InWindow("00:00-24:00", absl::Hours(24 * day)));
  }
}

TEST(RotationPolicyTest, RefusesWhatIsNoWindow) {
  for (const char* text : {"", "Sat", "22-04", "Sat 22:00", "sat 22:00-04:00", "25:00-04:00",
                           "22:60-04:00", "24:00-04:00", "Sat Sun 22:00-04:00", "+2:00-04:00",
                           "22:00-04:00-05:00", "22:00 - 04:00"}) {
    EXPECT_THAT(ParseRotationWindow(text),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("Sat 22:00-04:00")))
        << text;
  }
}

TEST(RotationPolicyTest, IsDueByAgeAndByUse) {
  const absl::Time now = kMonday;
  RotationPolicy policy{.mode = RotationPolicy::Mode::kNotify,
                        .cryptoperiod = absl::Hours(90 * 24)};
  const RingView young = RingSince(now - absl::Hours(89 * 24));
  const RingView old = RingSince(now - absl::Hours(90 * 24));
  EXPECT_FALSE(IsRotationDue(policy, young, 1'000'000, now).due);
  EXPECT_THAT(IsRotationDue(policy, old, 0, now).reason, HasSubstr("90 days"));
  EXPECT_TRUE(IsRotationDue(policy, old, 0, now).due);
  policy.max_uses = 100;
  EXPECT_FALSE(IsRotationDue(policy, young, 99, now).due);
  EXPECT_TRUE(IsRotationDue(policy, young, 100, now).due);
  policy.mode = RotationPolicy::Mode::kOff;
  EXPECT_FALSE(IsRotationDue(policy, old, 100, now).due);
}

TEST(RotationPolicyTest, ACompromisedPrimaryIsDueWhateverThePolicy) {
  RingView ring = RingSince(kMonday);
  ring.versions[0].compromised = true;
  EXPECT_TRUE(IsRotationDue(RotationPolicy(), ring, 0, kMonday).due);
}

TEST(RotationPolicyTest, ARotationThatRunsIsNotDue) {
  RingView ring = RingSince(kMonday - absl::Hours(1000 * 24));
  const RotationPolicy policy{.mode = RotationPolicy::Mode::kAuto, .cryptoperiod = absl::Hours(24)};
  EXPECT_TRUE(IsRotationDue(policy, ring, 0, kMonday).due);
  ring.rotation = RotationRecord{.from = 1, .to = 2, .who = "alice"};
  const RotationDue result = IsRotationDue(policy, ring, 0, kMonday);
  EXPECT_FALSE(result.due);
  EXPECT_THAT(result.reason, HasSubstr("alice"));
  EXPECT_FALSE(IsRotationDue(policy, RingView(), 0, kMonday).due);
}

}  // namespace
}  // namespace kekd
