#include "base/file_system.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "absl/strings/match.h"
#include "base/unique_fd.h"
#include "tests/support/secrets.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace kekd {
namespace {

using ::kekd::testing::IsOkAndHolds;
using ::kekd::testing::ReadTestFile;
using ::kekd::testing::RevealedText;
using ::kekd::testing::StatusIs;
using ::kekd::testing::TempDirectory;
using ::kekd::testing::TestFileExists;
using ::kekd::testing::WriteTestFile;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class FileSystemTest : public ::testing::Test {
 protected:
  FileSystem& fs_ = FileSystem::System();
  TempDirectory folder_;
};

TEST_F(FileSystemTest, ReadsAFileOfUpToTheLargestSize) {
  WriteTestFile(folder_.File("a"), std::string("x\0y", 3));
  EXPECT_THAT(fs_.ReadFile(folder_.File("a"), 3), IsOkAndHolds(std::string("x\0y", 3)));
  EXPECT_THAT(fs_.ReadFile(folder_.File("a"), 2),
              StatusIs(absl::StatusCode::kOutOfRange, HasSubstr(folder_.File("a"))));
  WriteTestFile(folder_.File("empty"), "");
  EXPECT_THAT(fs_.ReadFile(folder_.File("empty"), 0), IsOkAndHolds(""));
}

TEST_F(FileSystemTest, ReadsASecretWithTheInfoOfTheFileItRead) {
  WriteTestFile(folder_.File("key"), "secret");
  ASSERT_EQ(chmod(folder_.File("key").c_str(), 0640), 0);
  FileInfo info;
  KEKD_ASSERT_OK_AND_ASSIGN(const SecretBytes secret,
                            fs_.ReadSecretFile(folder_.File("key"), 100, &info));
  EXPECT_EQ(RevealedText(secret), "secret");
  EXPECT_EQ(info.mode, 0640u);
  EXPECT_EQ(info.owner, geteuid());
  EXPECT_EQ(info.size, 6u);
  KEKD_ASSERT_OK_AND_ASSIGN(const FileInfo by_name, fs_.GetInfo(folder_.File("key")));
  EXPECT_EQ(info.inode, by_name.inode);
  EXPECT_THAT(fs_.ReadSecretFile(folder_.File("key"), 5, nullptr),
              StatusIs(absl::StatusCode::kOutOfRange));
}

TEST_F(FileSystemTest, ErrorsNameTheCallThePathAndErrno) {
  const std::string path = folder_.File("absent");
  const auto not_found =
      StatusIs(absl::StatusCode::kNotFound, AllOf(HasSubstr(path), HasSubstr("(ENOENT)")));
  EXPECT_THAT(fs_.ReadFile(path, 10), not_found);
  EXPECT_THAT(fs_.ReadSecretFile(path, 10, nullptr), not_found);
  EXPECT_THAT(fs_.GetInfo(path), not_found);
  EXPECT_THAT(fs_.ListDirectory(path), not_found);
  EXPECT_THAT(fs_.Rename(path, folder_.File("b")), not_found);
  EXPECT_THAT(fs_.Link(path, folder_.File("b")), not_found);
  EXPECT_THAT(fs_.Remove(path), not_found);
  EXPECT_THAT(fs_.SyncDirectory(path), not_found);
  EXPECT_THAT(fs_.CreateFile(path + "/x", 0600), not_found);
  EXPECT_THAT(fs_.CreateDirectory(path + "/x", 0700), not_found);
  EXPECT_THAT(fs_.Lock(path + "/x", 0600), not_found);
}

TEST_F(FileSystemTest, ReadsNothingButRegularFilesAndWaitsForNone) {
  ASSERT_EQ(mkfifo(folder_.File("fifo").c_str(), 0600), 0);
  EXPECT_THAT(fs_.ReadFile(folder_.File("fifo"), 10),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("not a regular file")));
  EXPECT_THAT(fs_.ReadSecretFile(folder_.File("fifo"), 10, nullptr),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(fs_.ReadFile(folder_.path(), 10), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(fs_.ReadFile("/dev/null", 10), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(FileSystemTest, NoticesAFileThatIsLongerThanItSaid) {
  EXPECT_THAT(fs_.ReadFile("/proc/self/status", 100000), StatusIs(absl::StatusCode::kAborted));
  EXPECT_THAT(fs_.ReadSecretFile("/proc/self/status", 100000, nullptr),
              StatusIs(absl::StatusCode::kAborted));
}

TEST_F(FileSystemTest, ReadsThroughSymbolicLinksAndCreatesThroughNone) {
  WriteTestFile(folder_.File("target"), "x");
  ASSERT_EQ(symlink("target", folder_.File("link").c_str()), 0);
  ASSERT_EQ(symlink("absent", folder_.File("dangling").c_str()), 0);
  ASSERT_EQ(symlink("loop", folder_.File("loop").c_str()), 0);
  EXPECT_THAT(fs_.ReadFile(folder_.File("link"), 10), IsOkAndHolds("x"));
  EXPECT_THAT(fs_.ReadFile(folder_.File("dangling"), 10), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(fs_.ReadFile(folder_.File("loop"), 10),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("(ELOOP)")));
  EXPECT_THAT(fs_.CreateFile(folder_.File("dangling"), 0600),
              StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_FALSE(TestFileExists(folder_.File("absent")));
  EXPECT_THAT(fs_.Lock(folder_.File("link"), 0600), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(FileSystemTest, TellsTypesApart) {
  WriteTestFile(folder_.File("file"), "abc");
  ASSERT_EQ(mkfifo(folder_.File("fifo").c_str(), 0600), 0);
  const UniqueFd socket_fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  folder_.File("socket").copy(address.sun_path, sizeof(address.sun_path) - 1);
  ASSERT_EQ(bind(socket_fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);

  KEKD_ASSERT_OK_AND_ASSIGN(const FileInfo file, fs_.GetInfo(folder_.File("file")));
  KEKD_ASSERT_OK_AND_ASSIGN(const FileInfo folder, fs_.GetInfo(folder_.path()));
  KEKD_ASSERT_OK_AND_ASSIGN(const FileInfo fifo, fs_.GetInfo(folder_.File("fifo")));
  KEKD_ASSERT_OK_AND_ASSIGN(const FileInfo socket, fs_.GetInfo(folder_.File("socket")));
  EXPECT_EQ(file.type, FileType::kRegular);
  EXPECT_EQ(file.size, 3u);
  EXPECT_EQ(folder.type, FileType::kDirectory);
  EXPECT_EQ(folder.mode, 0700u);
  EXPECT_EQ(fifo.type, FileType::kOther);
  EXPECT_EQ(socket.type, FileType::kSocket);
}

TEST_F(FileSystemTest, ListsNamesInOrder) {
  for (const char* name : {"b", "a", ".hidden", "keyring.10", "keyring.9"}) {
    WriteTestFile(folder_.File(name), "");
  }
  EXPECT_THAT(fs_.ListDirectory(folder_.path()),
              IsOkAndHolds(ElementsAre(".hidden", "a", "b", "keyring.10", "keyring.9")));
}

TEST_F(FileSystemTest, WritesWhatWasAppendedWithTheModeThatWasAsked) {
  const mode_t before = umask(0177);  // a strict umask must not matter after SetOwnerAndMode
  absl::StatusOr<std::unique_ptr<WritableFile>> file = fs_.CreateFile(folder_.File("a"), 0600);
  KEKD_ASSERT_OK(file);
  KEKD_EXPECT_OK((*file)->SetOwnerAndMode(geteuid(), getegid(), 0640));
  umask(before);
  KEKD_EXPECT_OK((*file)->Append(AsBytes("one ")));
  KEKD_EXPECT_OK((*file)->Append(ByteView()));
  KEKD_EXPECT_OK((*file)->Append(AsBytes("two")));
  KEKD_EXPECT_OK((*file)->Sync());
  KEKD_EXPECT_OK((*file)->Close());
  EXPECT_EQ(ReadTestFile(folder_.File("a")), "one two");
  KEKD_ASSERT_OK_AND_ASSIGN(const FileInfo info, fs_.GetInfo(folder_.File("a")));
  EXPECT_EQ(info.mode, 0640u);
}

TEST_F(FileSystemTest, NeverReplacesByCreateOrLink) {
  WriteTestFile(folder_.File("a"), "old");
  WriteTestFile(folder_.File("b"), "new");
  EXPECT_THAT(fs_.CreateFile(folder_.File("a"), 0600), StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_THAT(fs_.Link(folder_.File("b"), folder_.File("a")),
              StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_THAT(fs_.CreateDirectory(folder_.File("a"), 0700),
              StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_EQ(ReadTestFile(folder_.File("a")), "old");
  KEKD_EXPECT_OK(fs_.Rename(folder_.File("b"), folder_.File("a")));
  EXPECT_EQ(ReadTestFile(folder_.File("a")), "new");
}

TEST_F(FileSystemTest, AppendTellsOfAWriteThatCouldNotBeFinished) {
  KEKD_ASSERT_OK_AND_ASSIGN(std::unique_ptr<WritableFile> made,
                            fs_.CreateFile(folder_.File("a"), 0600));
  const pid_t child = fork();
  if (child == 0) {
    const rlimit limit = {1000, 1000};
    setrlimit(RLIMIT_FSIZE, &limit);
    signal(SIGXFSZ, SIG_IGN);
    const absl::Status status = made->Append(AsBytes(std::string(2000, 'x')));
    _exit(absl::StrContains(status.message(), "EFBIG") ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

TEST_F(FileSystemTest, LockHasOneHolderInAProcess) {
  const std::string path = folder_.File("lock");
  {
    KEKD_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<FileLock> held, fs_.Lock(path, 0600));
    EXPECT_THAT(fs_.Lock(path, 0600), StatusIs(absl::StatusCode::kUnavailable, HasSubstr(path)));
  }
  KEKD_EXPECT_OK(fs_.Lock(path, 0600));
}

// A link in the lock's place must not make root give away what it leads to.
TEST_F(FileSystemTest, LockTellsWhoHolds) {
  const std::string path = folder_.File("lock");
  WriteTestFile(path, "what a holder that was killed has left, longer than the next one's words");
  {
    KEKD_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<FileLock> held, fs_.Lock(path, 0600));
    KEKD_ASSERT_OK(held->SetHolder("pid 1,\x1b[31m kekctl"));
    EXPECT_THAT(fs_.Lock(path, 0600), StatusIs(absl::StatusCode::kUnavailable,
                                               HasSubstr("is locked by pid 1,\\x1b[31m kekctl")));
  }
  EXPECT_EQ(ReadTestFile(path), "");
  {
    KEKD_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<FileLock> held, fs_.Lock(path, 0600));
    EXPECT_THAT(fs_.Lock(path, 0600),
                StatusIs(absl::StatusCode::kUnavailable, HasSubstr("by another process")));
  }
  // A link to somebody's file is not written to.
  WriteTestFile(folder_.File("precious"), "precious");
  ASSERT_EQ(unlink(path.c_str()), 0);
  ASSERT_EQ(link(folder_.File("precious").c_str(), path.c_str()), 0);
  {
    KEKD_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<FileLock> held, fs_.Lock(path, 0600));
    EXPECT_THAT(held->SetHolder("x"), StatusIs(absl::StatusCode::kFailedPrecondition));
  }
  EXPECT_EQ(ReadTestFile(path), "precious");
}

TEST_F(FileSystemTest, LockGivesAwayOnlyAFileOfItsOwn) {
  const std::string path = folder_.File("lock");
  WriteTestFile(folder_.File("victim"), "");
  ASSERT_EQ(chmod(folder_.File("victim").c_str(), 0644), 0);
  KEKD_ASSERT_OK(fs_.Link(folder_.File("victim"), path));
  {
    KEKD_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<FileLock> held, fs_.Lock(path, 0600));
    EXPECT_THAT(held->SetOwnerAndMode(geteuid(), getegid(), 0600),
                StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(path)));
  }
  KEKD_ASSERT_OK_AND_ASSIGN(const FileInfo info, fs_.GetInfo(folder_.File("victim")));
  EXPECT_EQ(info.mode, 0644u);
  ASSERT_EQ(unlink(path.c_str()), 0);
  KEKD_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<FileLock> made, fs_.Lock(path, 0600));
  KEKD_EXPECT_OK(made->SetOwnerAndMode(geteuid(), getegid(), 0640));
}

TEST_F(FileSystemTest, LockOfAnotherProcessEndsWithThatProcess) {
  const std::string path = folder_.File("lock");
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    const int fd = open(path.c_str(), O_RDWR | O_CREAT, 0600);
    if (fd < 0 || flock(fd, LOCK_EX) != 0 || write(ready[1], "x", 1) != 1) _exit(1);
    pause();
    _exit(0);
  }
  char byte;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  EXPECT_THAT(fs_.Lock(path, 0600), StatusIs(absl::StatusCode::kUnavailable));
  kill(child, SIGKILL);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  KEKD_EXPECT_OK(fs_.Lock(path, 0600));
  close(ready[0]);
  close(ready[1]);
}

TEST(PathTest, FindsTheFolderOfAPath) {
  EXPECT_EQ(DirectoryOf("/var/lib/kekd/ring"), "/var/lib/kekd");
  EXPECT_EQ(DirectoryOf("/ring"), "/");
  EXPECT_EQ(DirectoryOf("ring"), ".");
  EXPECT_EQ(DirectoryOf("a/ring"), "a");
}

TEST(PathTest, JoinsWithOneSlash) {
  EXPECT_EQ(JoinPath("/var", "x"), "/var/x");
  EXPECT_EQ(JoinPath("/", "x"), "/x");
  EXPECT_EQ(JoinPath("a/", "x"), "a/x");
  EXPECT_EQ(JoinPath("", "x"), "x");
}

}  // namespace
}  // namespace kekd
