#include "kms/server/fair_share.h"

#include <gtest/gtest.h>

namespace kekd::testing {
namespace {

class FairShareTest : public ::testing::Test {
 protected:
  void Add(int count, uid_t uid, pid_t pid) {
    for (int i = 0; i < count; ++i) occupants_.push_back({next_++, {.uid = uid, .pid = pid}});
  }
  std::optional<uint64_t> For(uid_t uid, pid_t pid) {
    return ChooseVictim(occupants_, {.uid = uid, .pid = pid});
  }

  uint64_t next_ = 1;
  std::vector<Occupant> occupants_;
};

TEST_F(FairShareTest, AProcessThatHasThemAllMakesRoomForAnother) {
  Add(64, 0, 100);
  EXPECT_EQ(For(0, 200), 64u);
  EXPECT_EQ(For(0, 100), std::nullopt);
}

TEST_F(FairShareTest, NobodyLosesTheOnlyOne) {
  Add(1, 0, 1);
  Add(63, 0, 100);
  EXPECT_EQ(For(0, 200), 64u);
  occupants_.clear();
  for (pid_t pid = 1; pid <= 64; ++pid) Add(1, 0, pid);
  EXPECT_EQ(For(0, 200), std::nullopt);
}

TEST_F(FairShareTest, AUserWithManyProcessesMakesRoomForAnotherUser) {
  Add(1, 0, 1);
  for (pid_t pid = 100; pid < 163; ++pid) Add(1, 1000, pid);
  EXPECT_EQ(For(0, 2), 64u);
  EXPECT_EQ(For(1000, 200), std::nullopt);
}

TEST_F(FairShareTest, ShareIsSettledOnceItIsEven) {
  Add(32, 0, 1);
  Add(32, 0, 2);
  EXPECT_EQ(For(0, 1), std::nullopt);
  EXPECT_EQ(For(0, 2), std::nullopt);
}

TEST_F(FairShareTest, AnEmptySocketHasNobodyToSend) { EXPECT_EQ(For(0, 1), std::nullopt); }

}  // namespace
}  // namespace kekd::testing
