#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "keystore/keyring_writer.h"
#include "keystore/node_proof.h"
#include "tests/fakes/fault_injecting_file_system.h"
#include "tests/keystore/test_ring.h"
#include "tests/support/status_matchers.h"

namespace kekd {
namespace {

using ::kekd::testing::FakeKeyBackend;
using ::kekd::testing::FaultInjectingFileSystem;
using ::kekd::testing::StatusIs;
using ::kekd::testing::TestRing;
using ::kekd::testing::TestUuid;
using ::testing::HasSubstr;
using Call = ::kekd::testing::FakeKeyBackend::Call;

// Version 1 is software's and active; a rotation leads to version 2, on a device.
class KeyringWriterRotationTest : public ::testing::Test {
 protected:
  void SetUp() override {
    KEKD_ASSERT_OK(ring_.Create());
    KEKD_ASSERT_OK_AND_ASSIGN(std::unique_ptr<FileKeyringStore> store,
                              ring_.Open(FileKeyringStore::Access::kExclusive, fs_));
    auto fake = std::make_unique<FakeKeyBackend>();
    fake_ = fake.get();
    KEKD_ASSERT_OK_AND_ASSIGN(writer_, ring_.OpenWriter(std::move(store), std::move(fake)));
  }
  absl::StatusOr<KeyringWriter::Applied> Apply(const Transition& transition) {
    return writer_->Apply(transition, Served().generation(), TestUuid(++request_),
                          absl::InfiniteFuture());
  }
  absl::StatusOr<KeyringWriter::Applied> Begin() {
    return Apply(BeginRotation{.create = {.backend = "fake"}, .who = "alice", .nodes = {"cp1"}});
  }
  absl::StatusOr<KeyringWriter::Applied> Advance(RotationStep step) {
    return Apply(AdvanceRotation{.to = 2, .step = step, .evidence = ""});
  }
  std::string Proof(uint32_t number = 2) {
    return *writer_->ProveNode(number, "cp1", absl::InfiniteFuture());
  }
  const Keyring& Served() const { return writer_->current()->Get()->keyring(); }

  TestRing ring_;
  FaultInjectingFileSystem fs_;
  FakeKeyBackend* fake_ = nullptr;
  std::unique_ptr<KeyringWriter> writer_;
  uint8_t request_ = 0;
};

TEST_F(KeyringWriterRotationTest, GoesFromEndToEnd) {
  KEKD_ASSERT_OK(Begin());
  EXPECT_EQ(Served().rotation()->to, 2u);
  KEKD_ASSERT_OK(Advance(RotationStep::kProve));
  KEKD_ASSERT_OK(Apply(RecordNodeProof{2, Proof()}));
  KEKD_ASSERT_OK(Advance(RotationStep::kPromote));
  KEKD_ASSERT_OK(Apply(PromoteVersion{2}));
  EXPECT_EQ(Served().Primary()->number, 2u);
  for (const RotationStep step :
       {RotationStep::kMigrate, RotationStep::kScan, RotationStep::kDone}) {
    KEKD_ASSERT_OK(Advance(step));
  }
  EXPECT_FALSE(Served().rotation()->IsRunning());
}

TEST_F(KeyringWriterRotationTest, MakesNoKeyForARotationThatMayNotBegin) {
  KEKD_ASSERT_OK(Begin());
  EXPECT_THAT(Begin(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("alice")));
  EXPECT_EQ(fake_->CallCount(Call::kGenerateKey), 1);
}

TEST_F(KeyringWriterRotationTest, LeavesNoKeyBehindWhereItsRecordIsRefused) {
  EXPECT_FALSE(Apply(BeginRotation{.create = {.backend = "fake"}, .nodes = {"no name"}}).ok());
  EXPECT_EQ(fake_->KeyCount(), 0);
  fs_.Inject({.call_name = "Append", .error = ENOSPC});
  EXPECT_FALSE(Begin().ok());
  EXPECT_EQ(fake_->KeyCount(), 0);
  KEKD_EXPECT_OK(Begin());
}

TEST_F(KeyringWriterRotationTest, RotatesToAVersionThatIsThere) {
  KEKD_ASSERT_OK(Apply(CreateVersion{"fake"}));
  KEKD_ASSERT_OK(Apply(BeginRotation{.number = 2, .who = "alice", .nodes = {"cp1"}}));
  EXPECT_EQ(Served().versions().size(), 2u);
  EXPECT_EQ(Served().rotation()->to, 2u);
}

TEST_F(KeyringWriterRotationTest, TheSelfTestIsTheWritersOwn) {
  KEKD_ASSERT_OK(Begin());
  fake_->QueueFailure(Call::kDecrypt, absl::InvalidArgumentError("not authentic"));
  EXPECT_THAT(Advance(RotationStep::kProve),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("self-test")));
  fake_->QueueFailure(Call::kProveEverywhere, absl::FailedPreconditionError("token b lacks it"));
  EXPECT_THAT(Advance(RotationStep::kProve),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("token b lacks it")));
  EXPECT_EQ(Served().rotation()->step, RotationStep::kSelfTest);
  KEKD_EXPECT_OK(Advance(RotationStep::kProve));
}

TEST_F(KeyringWriterRotationTest, TakesProofsOfItsOwnVersionOnly) {
  KEKD_ASSERT_OK(Begin());
  KEKD_ASSERT_OK(Advance(RotationStep::kProve));
  EXPECT_THAT(Apply(RecordNodeProof{2, Proof(1)}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("not for key version 2")));
  std::string altered = Proof();
  altered.back() = altered.back() == '0' ? '1' : '0';
  EXPECT_THAT(Apply(RecordNodeProof{2, altered}), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(Advance(RotationStep::kPromote), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(KeyringWriterRotationTest, ANodeProvesWhatItCanDecrypt) {
  KEKD_ASSERT_OK(Begin());
  fake_->QueueFailure(Call::kDecrypt, absl::UnavailableError("token is away"));
  EXPECT_THAT(writer_->ProveNode(2, "cp1", absl::InfiniteFuture()),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(writer_->ProveNode(7, "cp1", absl::InfiniteFuture()),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("bring it the newest")));
}

TEST_F(KeyringWriterRotationTest, AbortLeavesTheKeyOnItsDevice) {
  KEKD_ASSERT_OK(Begin());
  KEKD_ASSERT_OK_AND_ASSIGN(const auto applied, Apply(AbortRotation{.to = 2, .reason = "late"}));
  EXPECT_EQ(applied.warning, "");
  EXPECT_EQ(Served().Find(2)->state, KeyState::kPreActivation);
  EXPECT_EQ(fake_->KeyCount(), 1);
  KEKD_ASSERT_OK(Apply(DestroyVersion{2, "nothing is stored under it"}));
  EXPECT_EQ(fake_->KeyCount(), 0);
}

TEST_F(KeyringWriterRotationTest, AbortAfterThePromotionTakesNothingAway) {
  KEKD_ASSERT_OK(Begin());
  KEKD_ASSERT_OK(Advance(RotationStep::kProve));
  KEKD_ASSERT_OK(Apply(RecordNodeProof{2, Proof()}));
  KEKD_ASSERT_OK(Advance(RotationStep::kPromote));
  KEKD_ASSERT_OK(Apply(PromoteVersion{2}));
  KEKD_ASSERT_OK(Apply(AbortRotation{.to = 2, .reason = ""}));
  EXPECT_EQ(Served().Primary()->number, 2u);
  EXPECT_EQ(fake_->KeyCount(), 1);
}

TEST_F(KeyringWriterRotationTest, DestroysAKeyAndTriesAgainWhatItsDeviceRefused) {
  KEKD_ASSERT_OK(Apply(CreateVersion{"fake"}));
  fake_->QueueFailure(Call::kDestroyKey, absl::UnavailableError("token is away"));
  KEKD_ASSERT_OK_AND_ASSIGN(const auto applied, Apply(DestroyVersion{2, "nothing uses it"}));
  EXPECT_THAT(applied.warning, AllOf(HasSubstr("token is away"), HasSubstr("kekctl retire 2")));
  EXPECT_EQ(Served().Find(2)->state, KeyState::kDestroyed);
  EXPECT_EQ(fake_->KeyCount(), 1);
  KEKD_ASSERT_OK_AND_ASSIGN(const auto again, Apply(DestroyVersion{2, "nothing uses it"}));
  EXPECT_EQ(again.warning, "");
  EXPECT_EQ(fake_->KeyCount(), 0);
  EXPECT_THAT(Apply(DestroyVersion{1, ""}), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(KeyringWriterRotationTest, MarksAVersionCompromised) {
  KEKD_ASSERT_OK(Apply(MarkCompromised{1}));
  EXPECT_TRUE(Served().Find(1)->IsCompromised());
  KEKD_EXPECT_OK(Begin());  // away from it
}

}  // namespace
}  // namespace kekd
