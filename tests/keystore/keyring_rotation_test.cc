#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "keystore/keyring.h"
#include "tests/keystore/test_ring.h"
#include "tests/support/status_matchers.h"

namespace kekd {
namespace {

using ::kekd::testing::EmptyTestKeyring;
using ::kekd::testing::StatusIs;
using ::kekd::testing::WithOneMore;
using ::testing::HasSubstr;

const absl::Time kNow = absl::FromUnixMillis(1'800'000'000'123);

RotationRecord To(uint32_t number) {
  RotationRecord rotation;
  rotation.to = number;
  rotation.who = "alice@cp1";
  rotation.nodes = {"cp1", "cp2"};
  return rotation;
}

// 1 deactivated, 2 active, 3 and 4 pre-activation.
Keyring Ring() {
  Keyring ring = EmptyTestKeyring();
  for (int i = 0; i < 4; ++i) ring = WithOneMore(ring);
  ring = *ring.WithPromoted(1, kNow);
  return *ring.WithPromoted(2, kNow);
}

Keyring At(RotationStep step) {
  Keyring ring = *Ring().WithRotationBegun(To(3), kNow);
  for (const RotationStep next :
       {RotationStep::kProve, RotationStep::kPromote, RotationStep::kObserve,
        RotationStep::kMigrate, RotationStep::kScan, RotationStep::kDone}) {
    if (ring.rotation()->step == step) break;
    if (next == RotationStep::kPromote) {
      for (const char* node : {"cp1", "cp2"}) ring = *ring.WithNodeProved(3, node, kNow);
    }
    ring = next == RotationStep::kObserve ? *ring.WithPromoted(3, kNow)
                                          : *ring.WithRotationAt(3, next, kNow);
  }
  EXPECT_EQ(ring.rotation()->step, step);
  return ring;
}

TEST(KeyringRotationTest, BeginsFromThePrimaryToANewVersion) {
  const Keyring ring = At(RotationStep::kSelfTest);
  EXPECT_EQ(ring.rotation()->from, 2u);
  EXPECT_EQ(ring.rotation()->to, 3u);
  EXPECT_EQ(ring.rotation()->begin_time, ToMillisecond(kNow));
  EXPECT_TRUE(ring.rotation()->IsRunning());
  EXPECT_EQ(ring.Primary()->number, 2u);
}

TEST(KeyringRotationTest, LeadsToSoundNewVersionsOnly) {
  for (const uint32_t number : {1u, 2u}) {
    EXPECT_THAT(Ring().WithRotationBegun(To(number), kNow),
                StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("pre-activation")));
  }
  EXPECT_THAT(Ring().WithRotationBegun(To(9), kNow), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(Ring().WithCompromised(3, kNow)->WithRotationBegun(To(3), kNow),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("compromised")));
  // 3 is older than 4 by its number: what came later in time has the higher one.
  EXPECT_THAT(Ring().WithPromoted(4, kNow)->WithRotationBegun(To(3), kNow),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("older than the primary")));
}

TEST(KeyringRotationTest, RunsAloneAndSaysWhoseItIs) {
  for (const RotationStep step : {RotationStep::kSelfTest, RotationStep::kScan}) {
    EXPECT_THAT(At(step).WithRotationBegun(To(4), kNow),
                StatusIs(absl::StatusCode::kFailedPrecondition,
                         AllOf(HasSubstr("alice@cp1"), HasSubstr("2027-01-15T08:00:00Z"),
                               HasSubstr("rotate resume"))));
  }
  KEKD_EXPECT_OK(At(RotationStep::kDone).WithRotationBegun(To(4), kNow));
}

TEST(KeyringRotationTest, TakesEveryStepInItsTurnOnly) {
  const RotationStep steps[] = {RotationStep::kSelfTest, RotationStep::kProve,
                                RotationStep::kPromote,  RotationStep::kObserve,
                                RotationStep::kMigrate,  RotationStep::kScan,
                                RotationStep::kDone,     RotationStep::kAborted};
  for (const RotationStep from : steps) {
    if (from == RotationStep::kAborted) continue;
    Keyring ring = At(from);
    if (from == RotationStep::kProve) {
      for (const char* node : {"cp1", "cp2"}) ring = *ring.WithNodeProved(3, node, kNow);
    }
    for (const RotationStep to : steps) {
      const bool next = static_cast<int>(to) == static_cast<int>(from) + 1;
      const bool may =
          to == from || (next && to != RotationStep::kObserve && to != RotationStep::kAborted);
      EXPECT_EQ(ring.WithRotationAt(3, to, kNow).ok(), may) << ToString(from) << ToString(to);
    }
    EXPECT_FALSE(ring.WithRotationAt(4, RotationStep::kProve, kNow).ok());
  }
}

TEST(KeyringRotationTest, PromotesItsVersionAloneAndInItsTurn) {
  for (const RotationStep step : {RotationStep::kSelfTest, RotationStep::kProve}) {
    EXPECT_THAT(At(step).WithPromoted(3, kNow),
                StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("rotate resume")));
  }
  for (const RotationStep step : {RotationStep::kSelfTest, RotationStep::kPromote,
                                  RotationStep::kObserve, RotationStep::kScan}) {
    EXPECT_THAT(At(step).WithPromoted(4, kNow),
                StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("rotate abort")));
  }
  KEKD_ASSERT_OK_AND_ASSIGN(const Keyring ring, At(RotationStep::kPromote).WithPromoted(3, kNow));
  EXPECT_EQ(ring.Primary()->number, 3u);
  EXPECT_EQ(ring.rotation()->step, RotationStep::kObserve);
  KEKD_EXPECT_OK(At(RotationStep::kDone).WithPromoted(4, kNow));
}

TEST(KeyringRotationTest, IsNotPromotedBeforeEveryNodeHasProved) {
  Keyring ring = At(RotationStep::kProve);
  EXPECT_THAT(ring.WithNodeProved(3, "cp3", kNow), StatusIs(absl::StatusCode::kInvalidArgument));
  ring = *ring.WithNodeProved(3, "cp2", kNow);
  ring = *ring.WithNodeProved(3, "cp2", kNow + absl::Seconds(1));
  EXPECT_EQ(ring.rotation()->proved.size(), 1u);
  EXPECT_EQ(ring.rotation()->Unproved(), std::vector<std::string>{"cp1"});
  EXPECT_THAT(ring.WithRotationAt(3, RotationStep::kPromote, kNow),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("cp1")));
  KEKD_EXPECT_OK(
      ring.WithNodeProved(3, "cp1", kNow)->WithRotationAt(3, RotationStep::kPromote, kNow));
}

TEST(KeyringRotationTest, DestroysNeitherEndWhileItRuns) {
  for (const RotationStep step :
       {RotationStep::kSelfTest, RotationStep::kObserve, RotationStep::kScan}) {
    for (const uint32_t number : {2u, 3u}) EXPECT_FALSE(At(step).WithDestroyed(number, kNow).ok());
    KEKD_EXPECT_OK(At(step).WithDestroyed(1, kNow));
  }
  KEKD_EXPECT_OK(At(RotationStep::kDone).WithDestroyed(2, kNow));
}

TEST(KeyringRotationTest, AbortLeavesTheVersionForWhoKnowsWhatIsStored) {
  for (const RotationStep step :
       {RotationStep::kSelfTest, RotationStep::kProve, RotationStep::kPromote}) {
    KEKD_ASSERT_OK_AND_ASSIGN(const Keyring ring, At(step).WithRotationAborted(3, "late", kNow));
    // A ring that was rolled back doesn't know that it was the primary.
    EXPECT_EQ(ring.Find(3)->state, KeyState::kPreActivation);
    EXPECT_FALSE(ring.Find(3)->material.wraps.empty());
    EXPECT_EQ(ring.Primary()->number, 2u);
    EXPECT_EQ(ring.rotation()->end_reason, "late");
    KEKD_EXPECT_OK(ring.WithRotationBegun(To(3), kNow));
    KEKD_EXPECT_OK(ring.WithRotationBegun(To(4), kNow));
    KEKD_EXPECT_OK(ring.WithDestroyed(3, kNow));
  }
}

TEST(KeyringRotationTest, AbortNeverGoesBackToAFormerPrimary) {
  for (const RotationStep step :
       {RotationStep::kObserve, RotationStep::kMigrate, RotationStep::kScan}) {
    KEKD_ASSERT_OK_AND_ASSIGN(const Keyring ring, At(step).WithRotationAborted(3, "", kNow));
    EXPECT_EQ(ring.Primary()->number, 3u);
    EXPECT_EQ(ring.Find(2)->state, KeyState::kDeactivated);
    EXPECT_FALSE(ring.rotation()->IsRunning());
    EXPECT_FALSE(ring.WithRotationAborted(3, "", kNow).ok());
  }
  EXPECT_FALSE(At(RotationStep::kDone).WithRotationAborted(3, "", kNow).ok());
  EXPECT_FALSE(Ring().WithRotationAborted(3, "", kNow).ok());
}

TEST(KeyringRotationTest, ARecordOfAnOlderFormatHasNone) {
  Keyring::Parts parts = Ring().parts();
  parts.format = 3;
  KEKD_ASSERT_OK_AND_ASSIGN(const Keyring old, Keyring::Create(parts));
  EXPECT_THAT(old.WithRotationBegun(To(3), kNow),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("kekctl keyring upgrade")));
  parts.rotation = At(RotationStep::kSelfTest).rotation();
  EXPECT_FALSE(Keyring::Create(parts).ok());
}

TEST(KeyringRotationTest, RefusesPartsThatContradictEachOther) {
  const auto refused = [](RotationStep step, auto change) {
    Keyring::Parts parts = At(step).parts();
    change(parts);
    return !Keyring::Create(std::move(parts)).ok();
  };
  const auto rotation = [&](auto change) {
    return refused(RotationStep::kProve, [&](Keyring::Parts& parts) { change(*parts.rotation); });
  };
  EXPECT_FALSE(rotation([](RotationRecord&) {}));
  EXPECT_TRUE(rotation([](RotationRecord& r) { r.to = 9; }));
  EXPECT_TRUE(rotation([](RotationRecord& r) { r.from = 3; }));
  EXPECT_TRUE(rotation([](RotationRecord& r) { r.step = RotationStep::kMigrate; }));
  EXPECT_TRUE(rotation([](RotationRecord& r) { r.step = static_cast<RotationStep>(9); }));
  EXPECT_TRUE(rotation([](RotationRecord& r) { r.nodes = {}; }));
  EXPECT_TRUE(rotation([](RotationRecord& r) { r.nodes = {"a", "a"}; }));
  EXPECT_TRUE(rotation([](RotationRecord& r) { r.nodes = {"a b"}; }));
  EXPECT_TRUE(rotation([](RotationRecord& r) { r.nodes.assign(65, "a"); }));
  EXPECT_TRUE(rotation([](RotationRecord& r) { r.proved = {{"cp9", kNow}}; }));
  EXPECT_TRUE(rotation([](RotationRecord& r) { r.proved.assign(2, {"cp1", kNow}); }));
  EXPECT_TRUE(rotation([](RotationRecord& r) { r.reason = "two\nlines"; }));
  EXPECT_TRUE(rotation([](RotationRecord& r) { r.who.assign(257, 'a'); }));
  EXPECT_TRUE(rotation([](RotationRecord& r) { r.end_reason = "none yet"; }));
  EXPECT_TRUE(refused(RotationStep::kObserve,
                      [](Keyring::Parts& parts) { parts.rotation->proved.clear(); }));
}

TEST(KeyringRotationTest, IsNeverReplacedByAnEarlierStepOfItself) {
  const Keyring before = At(RotationStep::kMigrate);
  KEKD_EXPECT_OK(At(RotationStep::kScan).CheckSucceeds(before));
  EXPECT_FALSE(At(RotationStep::kObserve).CheckSucceeds(before).ok());
  EXPECT_FALSE(Ring().CheckSucceeds(before).ok());
}

TEST(KeyringRotationTest, StepsHaveNamesThatCanBeReadAgain) {
  for (int step = 1; step <= static_cast<int>(RotationStep::kAborted); ++step) {
    EXPECT_EQ(RotationStepFromText(ToString(static_cast<RotationStep>(step))),
              static_cast<RotationStep>(step));
  }
  EXPECT_EQ(RotationStepFromText("?"), std::nullopt);
}

}  // namespace
}  // namespace kekd
