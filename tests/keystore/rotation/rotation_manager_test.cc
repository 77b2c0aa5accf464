#include "keystore/rotation/rotation_manager.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "keystore/keyring_writer.h"
#include "tests/keystore/test_ring.h"
#include "tests/support/status_matchers.h"

namespace kekd {
namespace {

using ::kekd::testing::FakeKeyBackend;
using ::kekd::testing::StatusIs;
using ::kekd::testing::TestRing;
using ::kekd::testing::TestUuid;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Outcome = RotationManager::Advanced::Outcome;

// A ring on the disk, whose version 1 is software's and active.
class RingOnDisk final : public RotatedRing {
 public:
  RingOnDisk() {
    EXPECT_TRUE(ring_.Create().ok());
    writer_ = *ring_.OpenWriter(*ring_.Open(), std::make_unique<FakeKeyBackend>());
  }
  absl::StatusOr<RingView> Read() override {
    RingView view = ViewOf(writer_->current()->Get()->keyring(), {});
    if (backed_up) view.without_backup.clear();
    return view;
  }
  absl::StatusOr<RingView> Apply(const Transition& transition, uint64_t generation) override {
    if (before_apply) std::exchange(before_apply, nullptr)();
    const auto applied =
        writer_->Apply(transition, generation, TestUuid(++request_), absl::InfiniteFuture());
    if (!applied.ok()) return applied.status();
    return Read();
  }
  absl::StatusOr<std::string> ProveThisNode(uint32_t version, absl::string_view node) override {
    return writer_->ProveNode(version, node, absl::InfiniteFuture());
  }

  bool backed_up = false;
  std::function<void()> before_apply;

 private:
  TestRing ring_;
  std::unique_ptr<KeyringWriter> writer_;
  uint8_t request_ = 0;
};

// Answers what a test puts in; writes down what it was asked.
class ScriptedCluster final : public RotationCluster {
 public:
  absl::Status Preflight(const RingView& /*ring*/) override {
    calls.push_back("preflight");
    return preflight;
  }
  absl::StatusOr<Observation> Observe(absl::string_view /*key_id*/) override {
    calls.push_back("observe");
    return observation;
  }
  absl::StatusOr<std::string> Migrate(absl::string_view key_id) override {
    calls.push_back(absl::StrCat("migrate ", key_id.substr(0, 6)));
    if (!migrate.ok()) return migrate;
    return "3 objects written";
  }
  absl::StatusOr<Remainder> Scan(absl::string_view /*key_id*/) override {
    calls.push_back("scan");
    Remainder now = remainder;
    if (remainder.stale > 0 && heals) remainder.stale = 0;
    return now;
  }

  absl::Status preflight;
  Observation observation{.seen = {"api-1"}};
  absl::Status migrate;
  Remainder remainder{.seen = "3 objects at revision 7"};
  bool heals = true;
  std::vector<std::string> calls;
};

class RotationManagerTest : public ::testing::Test {
 protected:
  RotationManager Manager() {
    return RotationManager({.ring = &ring_,
                            .cluster = &cluster_,
                            .this_node = "cp1",
                            .proofs = proofs_,
                            .without_backup = without_backup_,
                            .copies_taken = copies_taken_,
                            .elapsed = [this] { return elapsed_; }});
  }
  absl::StatusOr<RotationManager::Advanced> Begin(std::vector<std::string> nodes = {"cp1"}) {
    return Manager().Begin({.create = {.backend = "software"}, .who = "alice", .nodes = nodes});
  }
  RotationStep Step() { return ring_.Read()->rotation->step; }
  // By another manager each time, as if each had been killed after its step.
  RotationManager::Advanced AdvanceTo(RotationStep step) {
    RotationManager::Advanced advanced;
    while (Step() < step) {
      absl::StatusOr<RotationManager::Advanced> now = Manager().Advance();
      EXPECT_TRUE(now.ok()) << now.status();
      if (!now.ok()) break;
      advanced = *std::move(now);
      EXPECT_EQ(advanced.outcome, Outcome::kStepped) << advanced.said;
      if (advanced.outcome != Outcome::kStepped) break;
    }
    return advanced;
  }

  RingOnDisk ring_;
  ScriptedCluster cluster_;
  std::vector<std::string> proofs_;
  bool without_backup_ = true;
  uint32_t copies_taken_ = 0;
  absl::Duration elapsed_;
};

TEST_F(RotationManagerTest, GoesFromEndToEndByManagersThatKnowNothing) {
  KEKD_ASSERT_OK(Begin());
  AdvanceTo(RotationStep::kDone);
  EXPECT_EQ(Step(), RotationStep::kDone);
  EXPECT_EQ(ring_.Read()->Primary()->number, 2u);
  EXPECT_THAT(cluster_.calls, ElementsAre("preflight", "observe", "migrate prod.2", "scan"));
  KEKD_ASSERT_OK_AND_ASSIGN(const auto ended, Manager().Advance());
  EXPECT_EQ(ended.outcome, Outcome::kEnded);
}

TEST_F(RotationManagerTest, ChangesNothingWhereThePreflightFails) {
  cluster_.preflight = absl::PermissionDeniedError("may not update secrets");
  EXPECT_THAT(Begin(), StatusIs(absl::StatusCode::kPermissionDenied,
                                AllOf(HasSubstr("nothing was changed"), HasSubstr("secrets"))));
  EXPECT_EQ(ring_.Read()->versions.size(), 1u);
  EXPECT_FALSE(ring_.Read()->rotation.has_value());
}

TEST_F(RotationManagerTest, TheSecondOfTwoIsToldOfTheFirst) {
  KEKD_ASSERT_OK(Begin());
  EXPECT_THAT(Begin(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("alice")));
  EXPECT_EQ(ring_.Read()->versions.size(), 2u);
}

TEST_F(RotationManagerTest, TwoThatAdvanceAtOnceDoEachStepOnce) {
  KEKD_ASSERT_OK(Begin());
  AdvanceTo(RotationStep::kPromote);
  ring_.before_apply = [&] { KEKD_ASSERT_OK(Manager().Advance()); };
  KEKD_ASSERT_OK_AND_ASSIGN(const auto advanced, Manager().Advance());
  EXPECT_EQ(advanced.outcome, Outcome::kStepped);
  EXPECT_THAT(advanced.said, HasSubstr("changed meanwhile"));
  EXPECT_EQ(Step(), RotationStep::kObserve);
}

TEST_F(RotationManagerTest, WaitsForTheProofsOfOtherNodes) {
  KEKD_ASSERT_OK(Begin({"cp1", "cp2"}));
  AdvanceTo(RotationStep::kProve);
  KEKD_ASSERT_OK_AND_ASSIGN(auto advanced, Manager().Advance());
  EXPECT_THAT(advanced.said, HasSubstr("this node, cp1"));
  KEKD_ASSERT_OK_AND_ASSIGN(advanced, Manager().Advance());
  EXPECT_EQ(advanced.outcome, Outcome::kNeedsOperator);
  EXPECT_THAT(advanced.said, AllOf(HasSubstr("cp2"), HasSubstr("kekctl rotate prove")));
  const std::string key_id = ring_.Read()->Find(2)->key_id;
  proofs_ = {absl::StrCat("kekd-proof:1:", key_id, ":cp2:1:00")};
  EXPECT_THAT(Manager().Advance(), StatusIs(absl::StatusCode::kDataLoss));
  // One of an earlier rotation does not stand in the way of the right one.
  proofs_ = {*ring_.ProveThisNode(1, "cp2")};
  KEKD_ASSERT_OK_AND_ASSIGN(advanced, Manager().Advance());
  EXPECT_EQ(advanced.outcome, Outcome::kNeedsOperator);
  EXPECT_THAT(advanced.said, HasSubstr("proof of node cp2 that was given is of another key"));
  proofs_.push_back(*ring_.ProveThisNode(2, "cp2"));
  AdvanceTo(RotationStep::kPromote);
  EXPECT_EQ(Step(), RotationStep::kPromote);
}

TEST_F(RotationManagerTest, PromotesNoSoftwareKeyThatIsInNoBackup) {
  without_backup_ = false;
  KEKD_ASSERT_OK(Begin());
  AdvanceTo(RotationStep::kPromote);
  KEKD_ASSERT_OK_AND_ASSIGN(const auto advanced, Manager().Advance());
  EXPECT_EQ(advanced.outcome, Outcome::kNeedsOperator);
  EXPECT_THAT(advanced.said, HasSubstr("kekctl keyring backup"));
  EXPECT_EQ(ring_.Read()->Primary()->number, 1u);
  ring_.backed_up = true;
  AdvanceTo(RotationStep::kObserve);
  EXPECT_EQ(ring_.Read()->Primary()->number, 2u);
}

TEST_F(RotationManagerTest, ADeviceKeepsItsKeyWithoutABackup) {
  without_backup_ = false;
  KEKD_ASSERT_OK(
      Manager().Begin({.create = {.backend = "fake"}, .who = "alice", .nodes = {"cp1"}}));
  AdvanceTo(RotationStep::kObserve);
  EXPECT_EQ(Step(), RotationStep::kObserve);
}

TEST_F(RotationManagerTest, WaitsForEveryApiServer) {
  KEKD_ASSERT_OK(Begin());
  AdvanceTo(RotationStep::kObserve);
  cluster_.observation = {.seen = {"api-1"}, .waiting = {"api-2 (prod.1.00)"}};
  RotationManager manager = Manager();
  for (int i = 0; i < 3; ++i) {
    elapsed_ += absl::Hours(1);  // however long that takes
    KEKD_ASSERT_OK_AND_ASSIGN(const auto advanced, manager.Advance());
    EXPECT_EQ(advanced.outcome, Outcome::kWaiting);
    EXPECT_THAT(advanced.said, HasSubstr("api-2 (prod.1.00)"));
  }
  cluster_.observation = {.seen = {"api-1", "api-2"}};
  KEKD_ASSERT_OK(manager.Advance());
  EXPECT_EQ(Step(), RotationStep::kMigrate);
}

TEST_F(RotationManagerTest, WaitsTheDocumentedTimeWhereItCanNotAsk) {
  KEKD_ASSERT_OK(Begin());
  AdvanceTo(RotationStep::kObserve);
  for (const std::string unknown : {"", "no permission"}) {
    cluster_.observation = {.unknown = unknown};
    if (!unknown.empty()) cluster_.observation.seen = {"api-1"};
    RotationManager manager = Manager();
    KEKD_ASSERT_OK(manager.Advance());
    elapsed_ += absl::Minutes(8) - absl::Seconds(1);
    KEKD_ASSERT_OK_AND_ASSIGN(const auto advanced, manager.Advance());
    EXPECT_EQ(advanced.outcome, Outcome::kWaiting);
    EXPECT_EQ(advanced.wait, absl::Seconds(1));
    // Whoever goes on waits anew: nobody knows what the time was before.
    KEKD_ASSERT_OK_AND_ASSIGN(const auto anew, Manager().Advance());
    EXPECT_EQ(anew.wait, RotationManager::kObserveInterval);
    if (unknown.empty()) continue;
    elapsed_ += absl::Seconds(1);
    KEKD_ASSERT_OK(manager.Advance());
    EXPECT_EQ(Step(), RotationStep::kMigrate);
  }
}

// An API server of a node with an older copy would go on under the former key for ever.
TEST_F(RotationManagerTest, TimeTellsNothingBeforeEveryNodeServesTheNewPrimary) {
  KEKD_ASSERT_OK(Begin({"cp1", "cp2"}));
  proofs_ = {*ring_.ProveThisNode(2, "cp2")};
  AdvanceTo(RotationStep::kObserve);
  cluster_.observation = {.seen = {"api-1"}, .unknown = "api-2 does not answer"};
  for (const uint32_t copies_taken : {0u, 1u}) {  // for no rotation, for another one
    copies_taken_ = copies_taken;
    RotationManager manager = Manager();
    for (int i = 0; i < 3; ++i) {
      elapsed_ += absl::Hours(1);
      KEKD_ASSERT_OK_AND_ASSIGN(const auto advanced, manager.Advance());
      EXPECT_EQ(advanced.outcome, Outcome::kNeedsOperator);
      EXPECT_THAT(advanced.said, AllOf(HasSubstr("api-2 does not answer"), HasSubstr(": cp2."),
                                       HasSubstr("rotate resume --copies-taken 2")));
    }
  }
  copies_taken_ = 2;
  RotationManager manager = Manager();
  KEKD_ASSERT_OK_AND_ASSIGN(const auto advanced, manager.Advance());
  EXPECT_EQ(advanced.outcome, Outcome::kWaiting);
  elapsed_ += absl::Minutes(8);
  KEKD_ASSERT_OK(manager.Advance());
  EXPECT_EQ(Step(), RotationStep::kMigrate);
}

TEST_F(RotationManagerTest, TimeWaitedForOneRotationDoesNotCountForTheNext) {
  KEKD_ASSERT_OK(Begin());
  AdvanceTo(RotationStep::kObserve);
  cluster_.observation = {.unknown = "no permission"};
  RotationManager manager = Manager();
  KEKD_ASSERT_OK(manager.Advance());
  elapsed_ += absl::Minutes(8);
  // Another operator.
  KEKD_ASSERT_OK(Manager().Abort("late"));
  KEKD_ASSERT_OK(Begin());
  AdvanceTo(RotationStep::kObserve);
  KEKD_ASSERT_OK_AND_ASSIGN(const auto advanced, manager.Advance());
  EXPECT_EQ(advanced.outcome, Outcome::kWaiting);
  EXPECT_EQ(Step(), RotationStep::kObserve);
}

TEST_F(RotationManagerTest, AMigrationThatFailsIsTriedAgain) {
  KEKD_ASSERT_OK(Begin());
  AdvanceTo(RotationStep::kMigrate);
  cluster_.migrate = absl::UnavailableError("connection refused");
  EXPECT_THAT(Manager().Advance(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(Step(), RotationStep::kMigrate);
  cluster_.migrate = absl::OkStatus();
  AdvanceTo(RotationStep::kDone);
}

TEST_F(RotationManagerTest, IsNotDoneWhileAnythingIsStaleOrWasNotLookedAt) {
  KEKD_ASSERT_OK(Begin());
  AdvanceTo(RotationStep::kScan);
  cluster_.remainder.gaps = {"etcd-2 could not be read"};
  EXPECT_THAT(Manager().Advance(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("etcd-2")));
  cluster_.remainder.gaps.clear();
  cluster_.remainder.stale = 2;
  cluster_.remainder.samples = {"/registry/secrets/a/b under prod.1"};
  cluster_.heals = false;
  cluster_.calls.clear();
  RotationManager manager = Manager();
  for (int i = 0; i < RotationManager::kMaxRepeatedMigrations; ++i) {
    KEKD_ASSERT_OK_AND_ASSIGN(const auto advanced, manager.Advance());
    EXPECT_THAT(advanced.said, HasSubstr("/registry/secrets/a/b"));
    EXPECT_EQ(cluster_.calls.back(), "migrate prod.2");
  }
  EXPECT_THAT(manager.Advance(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("/registry/secrets/a/b")));
  EXPECT_EQ(Step(), RotationStep::kScan);
  cluster_.heals = true;
  AdvanceTo(RotationStep::kDone);
}

TEST_F(RotationManagerTest, WithoutAClusterItGoesAsFarAsThePromotion) {
  KEKD_ASSERT_OK(Begin());
  AdvanceTo(RotationStep::kObserve);
  RotationManager manager({.ring = &ring_, .this_node = "cp1"});
  KEKD_ASSERT_OK_AND_ASSIGN(const auto advanced, manager.Advance());
  EXPECT_EQ(advanced.outcome, Outcome::kNeedsOperator);
  EXPECT_THAT(advanced.said, HasSubstr("--kubeconfig"));
}

TEST_F(RotationManagerTest, AbortSaysWhatBecameOfTheNewVersion) {
  EXPECT_THAT(Manager().Advance(), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(Manager().Abort(""), StatusIs(absl::StatusCode::kFailedPrecondition));
  KEKD_ASSERT_OK(Begin());
  KEKD_ASSERT_OK_AND_ASSIGN(auto aborted, Manager().Abort("late"));
  EXPECT_THAT(aborted.said, AllOf(HasSubstr("version 2 was not promoted and stays"),
                                  HasSubstr("kekctl retire 2")));
  EXPECT_EQ(aborted.outcome, Outcome::kEnded);
  KEKD_ASSERT_OK(Begin());
  AdvanceTo(RotationStep::kMigrate);
  KEKD_ASSERT_OK_AND_ASSIGN(aborted, Manager().Abort("late"));
  EXPECT_THAT(aborted.said, HasSubstr("version 3 stays the primary"));
}

}  // namespace
}  // namespace kekd
