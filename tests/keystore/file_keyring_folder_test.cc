// Whose the folders of a ring may be, and whose its files become.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "keystore/file_keyring_store.h"
#include "tests/keystore/file_keyring_store_fixture.h"
#include "tests/keystore/test_ring.h"
#include "tests/support/status_matchers.h"

namespace kekd {
namespace {

using ::kekd::testing::StatusIs;
using ::kekd::testing::TestRing;
using ::testing::AllOf;
using ::testing::HasSubstr;
using Access = FileKeyringStore::Access;

using FileKeyringFolderTest = ::kekd::testing::FileKeyringStoreTest;

// Makes this process that user's, to whom it gives the ring's temporary folder and its key file.
class AsUser final {
 public:
  AsUser(const TestRing& ring, uid_t user) : user_(user) {
    const std::string folder = DirectoryOf(ring.key_file());
    if (chown(folder.c_str(), user, user) != 0 || chown(ring.key_file().c_str(), user, user) != 0 ||
        !Become(user)) {
      abort();
    }
  }
  ~AsUser() {
    if (!BecomeRoot()) abort();
  }
  AsUser(const AsUser&) = delete;
  AsUser& operator=(const AsUser&) = delete;

  template <typename Function>
  void AsRoot(Function function) const {
    if (!BecomeRoot()) abort();
    function();
    if (!Become(user_)) abort();
  }

 private:
  static bool Become(uid_t user) { return setegid(user) == 0 && seteuid(user) == 0; }
  static bool BecomeRoot() { return seteuid(0) == 0 && setegid(0) == 0; }

  const uid_t user_;
};

TEST_F(FileKeyringFolderTest, RefusesAFolderThatOthersCanWriteTo) {
  KEKD_ASSERT_OK_AND_ASSIGN(auto store, ring_.Create());
  for (const mode_t mode : {0770u, 0702u, 0777u}) {
    ASSERT_EQ(chmod(ring_.directory().c_str(), mode), 0);
    const auto refused = StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("chmod 0700"));
    EXPECT_THAT(store->Load(), refused);
    EXPECT_THAT(CommitOne(*store), refused);
    EXPECT_THAT(OpenStatus(Access::kReadOnly), refused);
  }
  ASSERT_EQ(chmod(ring_.directory().c_str(), 0750), 0);
  KEKD_EXPECT_OK(store->Load());
}

TEST_F(FileKeyringFolderTest, CreatesNoRingInAFolderThatOthersCanWriteTo) {
  std::filesystem::create_directory(ring_.directory());
  ASSERT_EQ(chmod(ring_.directory().c_str(), 0770), 0);
  EXPECT_THAT(ring_.Create(), StatusIs(absl::StatusCode::kPermissionDenied));
}

TEST_F(FileKeyringFolderTest, RefusesAStateFolderThatOthersCanWriteTo) {
  MakeRing(1);
  ASSERT_EQ(chmod(ring_.state_directory().c_str(), 0777), 0);
  for (const Access access : {Access::kReadOnly, Access::kExclusive}) {
    EXPECT_THAT(OpenStatus(access), StatusIs(absl::StatusCode::kPermissionDenied,
                                             HasSubstr("chmod 0700 " + ring_.state_directory())));
  }
}

TEST_F(FileKeyringFolderTest, RefusesFoldersOfAnotherUser) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can give folders away";
  MakeRing(1);
  ASSERT_EQ(chown(ring_.state_directory().c_str(), 1234, 0), 0);
  EXPECT_THAT(OpenStatus(),
              StatusIs(absl::StatusCode::kPermissionDenied,
                       AllOf(HasSubstr(ring_.state_directory()), HasSubstr("uid 1234"))));
  // Root works for the user of the ring's folder.
  ASSERT_EQ(chown(ring_.directory().c_str(), 1234, 0), 0);
  KEKD_EXPECT_OK(OpenStatus());
  // Anybody else works for himself only.
  ASSERT_EQ(chmod(ring_.directory().c_str(), 0755), 0);
  const AsUser user(ring_, 4321);
  EXPECT_THAT(OpenStatus(Access::kReadOnly),
              StatusIs(absl::StatusCode::kPermissionDenied,
                       AllOf(HasSubstr(ring_.directory()), HasSubstr("uid 1234"))));
}

// Only root can give files away, and a group that the user is not in nobody else can give.
TEST_F(FileKeyringFolderTest, WorksForAUserInAFolderOfAnotherGroup) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can become another user";
  const AsUser user(ring_, 1234);
  for (const std::string& folder : {ring_.directory(), ring_.state_directory()}) {
    std::filesystem::create_directory(folder);
    ASSERT_EQ(chmod(folder.c_str(), 0700), 0);
    user.AsRoot([&] { ASSERT_EQ(chown(folder.c_str(), 1234, 4321), 0); });
  }
  MakeRing(2);
  KEKD_EXPECT_OK(OpenStatus());
}

TEST_F(FileKeyringFolderTest, GivesAwayNoFileThatTheLockIsALinkTo) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can give files away";
  MakeRing(1);
  ASSERT_EQ(chown(ring_.directory().c_str(), 1234, 4321), 0);
  const std::string lock = ring_.record() + ".lock";
  ASSERT_EQ(unlink(lock.c_str()), 0);
  ASSERT_EQ(link(ring_.key_file().c_str(), lock.c_str()), 0);
  EXPECT_THAT(OpenStatus(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(lock)));
  EXPECT_EQ(FileSystem::System().GetInfo(ring_.key_file())->owner, 0u);
}

// root's tool must not take a file away from the daemon's user, the lock neither.
TEST_F(FileKeyringFolderTest, GivesEveryFileTheFoldersOwner) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can give files away";
  for (const std::string& folder : {ring_.directory(), ring_.state_directory()}) {
    std::filesystem::create_directory(folder);
    ASSERT_EQ(chmod(folder.c_str(), 0700), 0);
    ASSERT_EQ(chown(folder.c_str(), 1234, 4321), 0);
  }
  MakeRing(3);
  for (const std::string& folder : {ring_.directory(), ring_.state_directory()}) {
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      struct stat st;
      ASSERT_EQ(stat(entry.path().c_str(), &st), 0);
      EXPECT_EQ(st.st_uid, 1234u) << entry.path();
      EXPECT_EQ(st.st_gid, 4321u) << entry.path();
      EXPECT_EQ(st.st_mode & 07777, 0600u) << entry.path();
    }
  }
}

}  // namespace
}  // namespace kekd
