// What kekctl asks of kekd for a rotation reaches kekd as it was meant.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "kekd/admin/v1/admin.pb.h"
#include "keystore/transition.h"
#include "kms/admin_view/transition_message.h"
#include "tests/support/status_matchers.h"

namespace kekd {
namespace {

using ::kekd::testing::StatusIs;

std::vector<Transition> Transitions() {
  return {
      BeginRotation{.create = {.backend = "pkcs11", .custody = Custody::kEnvelope},
                    .number = 0,
                    .who = "alice@cp1",
                    .reason = "yearly",
                    .nodes = {"cp1", "cp2"}},
      BeginRotation{.create = {.backend = "software"}, .nodes = {"cp1"}},
      BeginRotation{.create = {}, .number = 7, .nodes = {"cp1"}},
      BeginRotation{.create = {}, .number = 7, .nodes = {"cp1", "cp2"}},
      AdvanceRotation{.to = 7, .step = RotationStep::kScan, .evidence = "12 objects"},
      AdvanceRotation{.to = 7, .step = RotationStep::kDone, .evidence = "12 objects"},
      AdvanceRotation{.to = 7, .step = RotationStep::kDone, .evidence = "13 objects"},
      AdvanceRotation{.to = 8, .step = RotationStep::kDone, .evidence = "13 objects"},
      RecordNodeProof{.to = 7, .proof = "kekd-proof:1:…"},
      AbortRotation{.to = 7, .reason = "late"},
      AbortRotation{.to = 7, .reason = "early"},
      DestroyVersion{.number = 1, .evidence = "none of 12"},
      DestroyVersion{.number = 2, .evidence = "none of 12"},
      MarkCompromised{.number = 1},
      MarkCompromised{.number = 2},
  };
}

TEST(RotationMessagesTest, ComeAsTheyWereMeant) {
  std::set<std::string> digests;
  for (const Transition& transition : Transitions()) {
    admin::v1::ApplyRequest request;
    SetTransition(transition, request);
    KEKD_ASSERT_OK_AND_ASSIGN(const Transition read, TransitionOf(request));
    EXPECT_EQ(read.index(), transition.index());
    EXPECT_EQ(*DigestOf(read), *DigestOf(transition)) << DescribeChange(transition, 7);
    // No two of them are one request repeated.
    EXPECT_TRUE(digests.insert(*DigestOf(read)).second) << DescribeChange(transition, 7);
  }
}

TEST(RotationMessagesTest, OfANewerKekctlAreRefused) {
  admin::v1::ApplyRequest request;
  request.mutable_advance_rotation()->set_step("dance");
  EXPECT_THAT(TransitionOf(request), StatusIs(absl::StatusCode::kUnimplemented));
  request.mutable_begin_rotation()->set_custody("cloud");
  EXPECT_THAT(TransitionOf(request), StatusIs(absl::StatusCode::kUnimplemented));
}

}  // namespace
}  // namespace kekd
