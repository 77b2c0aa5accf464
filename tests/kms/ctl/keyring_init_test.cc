#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <string>

#include "base/unique_fd.h"
#include "kms/ctl/commands.h"
#include "tests/fakes/fault_injecting_file_system.h"
#include "tests/kms/ctl/test_command.h"
#include "tests/support/status_matchers.h"

namespace kekd {
namespace {

using ::kekd::testing::FaultInjectingFileSystem;
using ::kekd::testing::ReadTestFile;
using ::kekd::testing::StatusIs;
using ::kekd::testing::TestCommand;
using ::kekd::testing::TestFileExists;
using ::kekd::testing::WriteTestFile;
using ::testing::HasSubstr;
using ::testing::Not;

class KeyringInitTest : public ::testing::Test {
 protected:
  absl::StatusOr<CommandResult> Init(FileSystem& fs = FileSystem::System()) {
    CommandContext context = command_.Context();
    context.fs = &fs;
    return KeyringInit(context, {});
  }
  std::string KeyFile() const { return command_.folder().File("ring.key"); }
  std::string Record() const { return command_.folder().File("ring/keyring"); }

  TestCommand command_;
};

TEST_F(KeyringInitTest, MakesKeyFileAndRingWithOneActiveVersion) {
  KEKD_ASSERT_OK_AND_ASSIGN(const CommandResult result, Init());
  EXPECT_THAT(result.output, HasSubstr("made keyring prod"));
  EXPECT_THAT(result.output, HasSubstr("ring.key (new)"));
  struct stat st = {};
  ASSERT_EQ(stat(KeyFile().c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 0600u);
  KEKD_ASSERT_OK_AND_ASSIGN(const CommandResult list, KeyList(command_.Context()));
  EXPECT_THAT(list.output, HasSubstr("generation 1\n"));
  EXPECT_THAT(list.output, HasSubstr("1        active  prod.1."));
}

TEST_F(KeyringInitTest, LeavesARingThatIsThereAlone) {
  KEKD_ASSERT_OK(Init());
  const std::string record = ReadTestFile(Record());
  const std::string key = ReadTestFile(KeyFile());
  EXPECT_THAT(Init(), StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_EQ(ReadTestFile(Record()), record);
  EXPECT_EQ(ReadTestFile(KeyFile()), key);
}

TEST_F(KeyringInitTest, MakesNoKeyFileForARingThatIsThereWithoutIt) {
  KEKD_ASSERT_OK(Init());
  ASSERT_EQ(unlink(KeyFile().c_str()), 0);
  EXPECT_THAT(Init(), StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_FALSE(TestFileExists(KeyFile()));
}

TEST_F(KeyringInitTest, RemovesItsKeyFileWhenOnlyOlderGenerationsAreThere) {
  mkdir(command_.folder().File("ring").c_str(), 0700);
  WriteTestFile(command_.folder().File("ring/keyring.3"), "x");
  EXPECT_THAT(Init(), StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_FALSE(TestFileExists(KeyFile()));
}

TEST_F(KeyringInitTest, UsesAKeyFileThatIsThere) {
  KEKD_ASSERT_OK(Init());
  const std::string key = ReadTestFile(KeyFile());
  ASSERT_EQ(rename(command_.folder().File("ring").c_str(), command_.folder().File("old").c_str()),
            0);
  KEKD_ASSERT_OK_AND_ASSIGN(const CommandResult result, Init());
  EXPECT_THAT(result.output, Not(HasSubstr("(new)")));
  EXPECT_EQ(ReadTestFile(KeyFile()), key);
}

TEST_F(KeyringInitTest, KeepsAKeyFileOfOthersWhenItFails) {
  WriteTestFile(KeyFile(), "not a key file\n");
  chmod(KeyFile().c_str(), 0600);
  EXPECT_THAT(Init(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("not a kekd key file")));
  EXPECT_EQ(ReadTestFile(KeyFile()), "not a key file\n");
  EXPECT_FALSE(TestFileExists(Record()));
}

TEST_F(KeyringInitTest, RemovesItsKeyFileWhenTheRingCantBeMade) {
  // The second key file is bad, after the first was made.
  const std::string second = command_.folder().File("second.key");
  WriteTestFile(second, "not a key file\n");
  chmod(second.c_str(), 0600);
  command_.config().keyrings[0].unlock.push_back({.value = second});
  EXPECT_THAT(Init(), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_FALSE(TestFileExists(KeyFile()));
  EXPECT_TRUE(TestFileExists(second));
  EXPECT_FALSE(TestFileExists(Record()));
}

TEST_F(KeyringInitTest, RefusesAWorldReadableKeyFile) {
  KEKD_ASSERT_OK(Init());
  ASSERT_EQ(rename(command_.folder().File("ring").c_str(), command_.folder().File("old").c_str()),
            0);
  chmod(KeyFile().c_str(), 0644);
  EXPECT_THAT(Init(), StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("chmod 0600")));
  EXPECT_TRUE(TestFileExists(KeyFile()));
}

TEST_F(KeyringInitTest, TouchesNothingBesideAKeyFileThatIsThere) {
  KEKD_ASSERT_OK(Init());
  ASSERT_EQ(rename(command_.folder().File("ring").c_str(), command_.folder().File("old").c_str()),
            0);
  WriteTestFile(KeyFile() + ".tmp", "somebody's");
  KEKD_ASSERT_OK(Init());
  EXPECT_EQ(ReadTestFile(KeyFile() + ".tmp"), "somebody's");
}

TEST_F(KeyringInitTest, RemovesNoTemporaryFileOfOthers) {
  WriteTestFile(KeyFile() + ".tmp", "somebody's");
  FaultInjectingFileSystem fs;
  fs.HaveNoUnnamedFiles();
  EXPECT_THAT(Init(fs), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(".tmp")));
  EXPECT_EQ(ReadTestFile(KeyFile() + ".tmp"), "somebody's");
  EXPECT_FALSE(TestFileExists(KeyFile()));
  KEKD_EXPECT_OK(Init());
  EXPECT_EQ(ReadTestFile(KeyFile() + ".tmp"), "somebody's");
}

// What can't be looked at may be there: no key file is made or removed on such an answer.
TEST_F(KeyringInitTest, TakesNoFileForMissingThatItCantLookAt) {
  FaultInjectingFileSystem fs;
  fs.Inject({.call_name = "GetInfo", .error = EIO});
  EXPECT_THAT(Init(fs), StatusIs(absl::StatusCode::kInternal, HasSubstr("EIO")));
  EXPECT_FALSE(TestFileExists(KeyFile()));
}

TEST_F(KeyringInitTest, LeavesNothingOrAllThatARingNeedsAfterEveryFault) {
  const std::string state = command_.folder().File("state");
  for (size_t call = 0;; ++call) {
    SCOPED_TRACE(call);
    ASSERT_LT(call, 300u);
    for (const char* path : {"ring", "state", "ring.key", "ring.key.tmp"}) {
      std::filesystem::remove_all(command_.folder().File(path));
    }
    FaultInjectingFileSystem fs;
    fs.Inject({.call = call, .error = EIO});
    const absl::Status status = Init(fs).status();
    if (!fs.injected_all()) {
      KEKD_EXPECT_OK(status);
      break;
    }
    if (TestFileExists(Record())) {
      KEKD_EXPECT_OK(KeyList(command_.Context()));  // with its key file
      continue;
    }
    EXPECT_FALSE(status.ok());
    EXPECT_TRUE(!TestFileExists(state) || std::filesystem::is_empty(state));
    EXPECT_FALSE(TestFileExists(KeyFile() + ".tmp"));
    if (TestFileExists(KeyFile())) {
      EXPECT_THAT(status.message(), HasSubstr(KeyFile() + " was made"));
    }
  }
}

TEST_F(KeyringInitTest, NamesTheFolderThatIsMissing) {
  command_.config().keyrings[0].directory = command_.folder().File("a/ring");
  EXPECT_THAT(Init(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("make it first")));
  EXPECT_FALSE(TestFileExists(KeyFile()));
}

TEST_F(KeyringInitTest, WaitsForNoOtherInit) {
  const UniqueFd fd(open(command_.folder().File("kekd.yaml").c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_EQ(flock(fd.get(), LOCK_EX | LOCK_NB), 0);
  EXPECT_THAT(Init(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_FALSE(TestFileExists(KeyFile()));
}

}  // namespace
}  // namespace kekd
