// What a backup that could not be made leaves behind: nothing.
#include "kms/ctl/backup_maker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <string>

#include "tests/fakes/fault_injecting_file_system.h"
#include "tests/kms/ctl/test_command.h"
#include "tests/support/status_matchers.h"

namespace kekd {
namespace {

using ::kekd::testing::Fault;
using ::kekd::testing::FaultInjectingFileSystem;
using ::kekd::testing::StatusIs;
using ::kekd::testing::TestCommand;
using ::testing::HasSubstr;

class BackupMakerTest : public ::testing::Test {
 protected:
  BackupMakerTest() {
    making_.out = Folder() + "/prod.backup";
    making_.share_dir = Folder();
    making_.shares = ShareNumbers{2, 3};
    EXPECT_EQ(mkdir(Folder().c_str(), 0700), 0);
    KEKD_EXPECT_OK(KeyringInit(command_.Context(), {}));
  }
  std::string Folder() const { return command_.folder().File("safe"); }
  absl::StatusOr<BackupReport> Make(FileSystem& fs) {
    CommandContext context = command_.Context();
    context.fs = &fs;
    return MakeBackupFile(context, command_.keyring(), making_);
  }

  TestCommand command_;
  BackupMaking making_;
};

TEST_F(BackupMakerTest, LeavesNoFileAfterAnyFault) {
  for (size_t call = 0;; ++call) {
    SCOPED_TRACE(call);
    ASSERT_LT(call, 300u);
    FaultInjectingFileSystem fs;
    fs.Inject({.call = call, .error = EIO});
    const absl::Status made = Make(fs).status();
    if (!made.ok()) {
      EXPECT_TRUE(std::filesystem::is_empty(Folder()));
    }
    std::filesystem::remove_all(Folder());
    ASSERT_EQ(mkdir(Folder().c_str(), 0700), 0);
    if (!fs.injected_all()) break;
  }
}

TEST_F(BackupMakerTest, FileThatGotItsNameBeforeTheErrorIsRemovedAndTheErrorSaysSo) {
  // Of the backup, and then of the second share.
  for (const size_t file : {0u, 2u}) {
    FaultInjectingFileSystem fs;
    fs.Inject({.call = file, .call_name = "SyncDirectory", .error = EIO});
    EXPECT_THAT(Make(fs), StatusIs(absl::StatusCode::kInternal, HasSubstr("removed again")));
    EXPECT_TRUE(fs.injected_all());
    EXPECT_TRUE(std::filesystem::is_empty(Folder()));
  }
}

TEST_F(BackupMakerTest, FileOfSomebodyElseIsLeftAlone) {
  FaultInjectingFileSystem fs;
  fs.Inject({.call_name = "Link", .kind = Fault::Kind::kRun, .run = [&] {
               testing::WriteTestFile(making_.out, "another backup");
             }});
  EXPECT_THAT(Make(fs), StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_EQ(testing::ReadTestFile(making_.out), "another backup");
}

}  // namespace
}  // namespace kekd
