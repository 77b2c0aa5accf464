#include "kms/server/unix_listener.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/unix_socket.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace kekd::testing {
namespace {

using ::testing::HasSubstr;

class UnixListenerTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::unique_ptr<UnixListener>> Bind(const std::string& path, mode_t mode = 0600) {
    return UnixListener::Bind(FileSystem::System(), {.path = path, .mode = mode});
  }
  // A socket that somebody bound: alive while the descriptor is open.
  UniqueFd BindByHand(const std::string& path) {
    UniqueFd fd(socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
    EXPECT_EQ(bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_EQ(listen(fd.get(), 1), 0);
    return fd;
  }
  absl::StatusOr<std::unique_ptr<UnixListener>> Adopt(UniqueFd fd, UnixListener::Maker maker,
                                                      mode_t mode = 0600) {
    return UnixListener::Adopt(FileSystem::System(), {.path = path_, .mode = mode}, std::move(fd),
                               maker);
  }
  bool AnswersConnect() {
    const UnixAddress address = UnixAddress::FromText(path_).value();
    const UniqueFd peer(socket(AF_UNIX, SOCK_STREAM, 0));
    return connect(peer.get(), address.get(), address.size()) == 0;
  }
  mode_t ModeOf(const std::string& path) {
    struct stat st = {};
    EXPECT_EQ(stat(path.c_str(), &st), 0);
    return st.st_mode & 07777;
  }

  TempDirectory folder_;
  const std::string path_ = folder_.File("kekd.sock");
};

TEST_F(UnixListenerTest, HasItsModeWhateverTheUmaskIs) {
  for (const mode_t mask : {0000, 0022, 0077, 0777}) {
    const mode_t before = umask(mask);
    KEKD_ASSERT_OK_AND_ASSIGN(const auto narrow, Bind(path_, 0600));
    KEKD_ASSERT_OK_AND_ASSIGN(const auto wide, Bind(folder_.File("wide.sock"), 0660));
    umask(before);
    EXPECT_EQ(ModeOf(path_), 0600u);
    EXPECT_EQ(ModeOf(folder_.File("wide.sock")), 0660u);
  }
}

TEST_F(UnixListenerTest, RemovesItsSocketWhenItGoes) {
  { KEKD_ASSERT_OK_AND_ASSIGN(const auto listener, Bind(path_)); }
  EXPECT_FALSE(TestFileExists(path_));
  KEKD_EXPECT_OK(Bind(path_));
}

TEST_F(UnixListenerTest, LeavesASocketThatIsNotItsOwn) {
  UniqueFd other;
  {
    KEKD_ASSERT_OK_AND_ASSIGN(const auto listener, Bind(path_));
    ASSERT_EQ(unlink(path_.c_str()), 0);
    other = BindByHand(path_);
  }
  EXPECT_TRUE(TestFileExists(path_));
}

TEST_F(UnixListenerTest, ASecondOneCantTakeTheSocket) {
  KEKD_ASSERT_OK_AND_ASSIGN(const auto first, Bind(path_));
  EXPECT_THAT(Bind(path_), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("another kekd")));
  EXPECT_TRUE(TestFileExists(path_));
}

TEST_F(UnixListenerTest, ReplacesADeadSocketAndNotALiveOne) {
  {
    const UniqueFd live = BindByHand(path_);
    EXPECT_THAT(Bind(path_), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("serves")));
  }
  EXPECT_TRUE(TestFileExists(path_));  // dead now
  KEKD_EXPECT_OK(Bind(path_));
}

TEST_F(UnixListenerTest, NeverRemovesAFile) {
  WriteTestFile(path_, "precious");
  EXPECT_THAT(Bind(path_),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("is no socket")));
  EXPECT_EQ(ReadTestFile(path_), "precious");
}

TEST_F(UnixListenerTest, RefusesAFolderThatOthersMayWriteTo) {
  for (const mode_t mode : {0770, 0777, 01777}) {
    ASSERT_EQ(chmod(folder_.path().c_str(), mode), 0);
    EXPECT_THAT(Bind(path_), StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("/run/kekd")));
  }
  ASSERT_EQ(chmod(folder_.path().c_str(), 0755), 0);
  KEKD_EXPECT_OK(Bind(path_));
}

TEST_F(UnixListenerTest, RefusesAFolderOfSomebodyElse) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can give a folder away";
  ASSERT_EQ(chown(folder_.path().c_str(), 12345, 12345), 0);
  EXPECT_THAT(Bind(path_), StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("12345")));
}

TEST_F(UnixListenerTest, NamesAMissingFolder) {
  EXPECT_THAT(Bind(folder_.File("missing/kekd.sock")),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("does not exist; make it")));
}

TEST_F(UnixListenerTest, TakesPathsUpToTheSystemsLimit) {
  const std::string longest =
      absl::StrCat(folder_.path(), "/", std::string(107 - folder_.path().size() - 1, 's'));
  ASSERT_EQ(longest.size(), 107u);
  KEKD_EXPECT_OK(Bind(longest));
  EXPECT_THAT(Bind(longest + "s"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("107")));
}

TEST_F(UnixListenerTest, BindsAnAbstractNameOnce) {
  const std::string name = absl::StrCat("@kekd-test-", getpid());
  {
    KEKD_ASSERT_OK_AND_ASSIGN(const auto first, Bind(name));
    EXPECT_THAT(Bind(name), StatusIs(absl::StatusCode::kUnavailable));
  }
  KEKD_EXPECT_OK(Bind(name));
}

TEST_F(UnixListenerTest, AdoptsWhatTheServiceManagerMadeAndLeavesItsFile) {
  UniqueFd made = BindByHand(path_);
  const UniqueFd kept(dup(made.get()));
  ASSERT_EQ(chmod(path_.c_str(), 0600), 0);
  {
    KEKD_ASSERT_OK_AND_ASSIGN(const auto listener,
                              Adopt(std::move(made), UnixListener::Maker::kServiceManager));
    EXPECT_NE(fcntl(listener->fd(), F_GETFL) & O_NONBLOCK, 0);
    EXPECT_NE(fcntl(listener->fd(), F_GETFD) & FD_CLOEXEC, 0);
    EXPECT_EQ(listener->maker(), UnixListener::Maker::kServiceManager);
  }
  EXPECT_TRUE(AnswersConnect());
}

TEST_F(UnixListenerTest, RefusesAnAdoptedFileThatIsWiderThanConfigured) {
  for (const mode_t mode : {0660, 0606, 0666}) {
    UniqueFd made = BindByHand(path_);
    ASSERT_EQ(chmod(path_.c_str(), mode), 0);
    EXPECT_THAT(Adopt(std::move(made), UnixListener::Maker::kServiceManager),
                StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("SocketMode=")));
    ASSERT_EQ(unlink(path_.c_str()), 0);
  }
  UniqueFd made = BindByHand(path_);
  ASSERT_EQ(chmod(path_.c_str(), 0600), 0);
  KEKD_ASSERT_OK_AND_ASSIGN(const auto listener,
                            Adopt(std::move(made), UnixListener::Maker::kServiceManager, 0660));
  // Its file is not ours to change, so a reload only looks.
  ASSERT_EQ(chmod(path_.c_str(), 0660), 0);
  EXPECT_THAT(listener->SetAccess({.path = path_, .mode = 0600}),
              StatusIs(absl::StatusCode::kPermissionDenied));
  KEKD_EXPECT_OK(listener->SetAccess({.path = path_, .mode = 0660}));
  EXPECT_EQ(ModeOf(path_), 0660u);
}

TEST_F(UnixListenerTest, RefusesToAdoptWhatIsNoListeningStreamSocketOnItsPath) {
  using Maker = UnixListener::Maker;
  UniqueFd file(open("/dev/null", O_RDONLY));
  EXPECT_THAT(Adopt(std::move(file), Maker::kServiceManager),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no socket")));
  EXPECT_THAT(Adopt(UniqueFd(socket(AF_INET, SOCK_STREAM, 0)), Maker::kServiceManager),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no unix socket")));
  EXPECT_THAT(Adopt(BindByHand(folder_.File("other.sock")), Maker::kServiceManager),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("other.sock")));
  const UnixAddress address = UnixAddress::FromText(path_).value();
  for (const int type : {SOCK_STREAM, SOCK_DGRAM}) {  // bound, and not listening
    UniqueFd bound(socket(AF_UNIX, type, 0));
    ASSERT_EQ(bind(bound.get(), address.get(), address.size()), 0);
    EXPECT_THAT(Adopt(std::move(bound), Maker::kServiceManager),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("ListenStream=")));
    ASSERT_EQ(unlink(path_.c_str()), 0);
  }
  UniqueFd orphan = BindByHand(path_);
  ASSERT_EQ(unlink(path_.c_str()), 0);
  EXPECT_THAT(Adopt(std::move(orphan), Maker::kServiceManager),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("restart its socket unit")));
}

TEST_F(UnixListenerTest, IsKeptForTheNextKekdWithItsConnections) {
  UniqueFd stored;
  {
    KEKD_ASSERT_OK_AND_ASSIGN(const auto listener, Bind(path_));
    ASSERT_EQ(listener->maker(), UnixListener::Maker::kKekd);
    stored = UniqueFd(dup(listener->fd()));
    listener->Keep();
  }
  EXPECT_TRUE(AnswersConnect());  // into the backlog
  {
    // Whoever would take the path finds that it is listened on.
    EXPECT_THAT(Bind(path_), StatusIs(absl::StatusCode::kUnavailable));
    KEKD_ASSERT_OK_AND_ASSIGN(const auto next,
                              Adopt(std::move(stored), UnixListener::Maker::kKekd, 0660));
    EXPECT_EQ(ModeOf(path_), 0660u);
    EXPECT_GE(accept(next->fd(), nullptr, nullptr), 0);
  }
  EXPECT_FALSE(TestFileExists(path_));
}

TEST_F(UnixListenerTest, ChangesItsModeWhileItListens) {
  KEKD_ASSERT_OK_AND_ASSIGN(const auto listener, Bind(path_));
  KEKD_EXPECT_OK(listener->SetAccess({.path = path_, .mode = 0660}));
  EXPECT_EQ(ModeOf(path_), 0660u);
  EXPECT_EQ(listener->config().mode, 0660u);
}

TEST(UnixAddressTest, IsTheSameFromItsTextAndFromASocket) {
  TempDirectory folder;
  for (const std::string& text :
       {folder.File("x.sock"), absl::StrCat("@kekd-address-", getpid())}) {
    KEKD_ASSERT_OK_AND_ASSIGN(const UnixAddress address, UnixAddress::FromText(text));
    EXPECT_EQ(address.ToString(), text);
    const UniqueFd fd(socket(AF_UNIX, SOCK_STREAM, 0));
    EXPECT_THAT(UnixAddress::OfSocket(fd.get()), StatusIs(absl::StatusCode::kInvalidArgument));
    ASSERT_EQ(bind(fd.get(), address.get(), address.size()), 0);
    KEKD_ASSERT_OK_AND_ASSIGN(const UnixAddress bound, UnixAddress::OfSocket(fd.get()));
    EXPECT_EQ(bound.ToString(), text);
  }
  for (const std::string& text :
       {std::string(), std::string("@"), std::string("/a\0b", 4), std::string(108, 'x')}) {
    EXPECT_THAT(UnixAddress::FromText(text), StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

}  // namespace
}  // namespace kekd::testing
