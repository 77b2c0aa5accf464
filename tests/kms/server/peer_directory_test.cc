#include "kms/server/peer_directory.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"

namespace kekd::testing {
namespace {

UniqueFd AnyDescriptor() { return UniqueFd(open("/dev/null", O_RDONLY | O_CLOEXEC)); }

TEST(PeerDirectoryTest, KnowsWhoIsBehindADescriptor) {
  PeerDirectory peers;
  const UniqueFd first = peers.Register(AnyDescriptor(), {.uid = 1, .gid = 2, .pid = 3});
  const UniqueFd second = peers.Register(AnyDescriptor(), {.uid = 4, .gid = 5, .pid = 6});
  ASSERT_TRUE(first.valid());
  EXPECT_NE(fcntl(first.get(), F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_EQ(peers.Find(absl::StrCat("fd:", first.get()))->ToString(), "uid 1 (pid 3)");
  EXPECT_EQ(peers.Find(absl::StrCat("fd:", second.get()))->ToString(), "uid 4 (pid 6)");
  for (const char* name : {"", "fd:", "fd:x", "fd:0", "unix:/run/kekd.sock"}) {
    EXPECT_FALSE(peers.Find(name).has_value()) << name;
  }
}

TEST(PeerDirectoryTest, DoesNotTakeACallOfAClosedConnectionForItsSuccessors) {
  PeerDirectory peers;
  UniqueFd first = peers.Register(AnyDescriptor(), {.uid = 1});
  const std::string name = absl::StrCat("fd:", first.get());
  first.Reset();
  for (uid_t uid = 2; uid < 100; ++uid) {
    const UniqueFd next = peers.Register(AnyDescriptor(), {.uid = uid});
    ASSERT_TRUE(next.valid());
    ASSERT_EQ(peers.Find(name)->uid, 1u);
    ASSERT_EQ(peers.Find(absl::StrCat("fd:", next.get()))->uid, uid);
  }
}

TEST(PeerDirectoryTest, GoesRoundWhenTheNumbersAreUsedUp) {
  PeerDirectory peers;
  for (uid_t uid = 0; uid < 10000; ++uid) {
    const UniqueFd next = peers.Register(AnyDescriptor(), {.uid = uid});
    ASSERT_TRUE(next.valid());
    ASSERT_EQ(peers.Find(absl::StrCat("fd:", next.get()))->uid, uid);
  }
}

}  // namespace
}  // namespace kekd::testing
