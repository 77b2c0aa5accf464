#include "base/durable_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/fakes/fault_injecting_file_system.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace kekd {
namespace {

using ::kekd::testing::Fault;
using ::kekd::testing::FaultInjectingFileSystem;
using ::kekd::testing::ReadTestFile;
using ::kekd::testing::StatusIs;
using ::kekd::testing::TempDirectory;
using ::kekd::testing::TestFileExists;
using ::kekd::testing::WriteTestFile;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr Fault::Kind kFaults[] = {Fault::Kind::kError, Fault::Kind::kErrorAfterDone,
                                   Fault::Kind::kShortWrite, Fault::Kind::kCrash};

class DurableFileTest : public ::testing::Test {
 protected:
  // The way by "<path>.tmp" is what most file systems do not need any more.
  void UseTemporaryFiles() { fs_.HaveNoUnnamedFiles(); }
  absl::Status Replace(absl::string_view content) {
    return ReplaceFileDurably(fs_, path_, AsBytes(content), {});
  }
  absl::Status Create(absl::string_view content) {
    return CreateFileDurably(fs_, path_, AsBytes(content), {});
  }

  TempDirectory folder_;
  const std::string path_ = folder_.File("a");
  const std::string temporary_ = folder_.File("a.tmp");
  FaultInjectingFileSystem fs_;
};

// The order is the guarantee: content synced before the name, the name synced before OK.
TEST_F(DurableFileTest, SyncsTheContentBeforeTheNameAndTheNameBeforeItReturns) {
  KEKD_ASSERT_OK(Replace("new"));
  EXPECT_THAT(fs_.calls(), ElementsAre("Remove " + temporary_, "CreateFile " + temporary_,
                                       "SetOwnerAndMode " + temporary_, "Append " + temporary_,
                                       "Sync " + temporary_, "Close " + temporary_,
                                       absl::StrCat("Rename ", temporary_, " to ", path_),
                                       "SyncDirectory " + folder_.path()));
  fs_.Reset();
  ASSERT_EQ(unlink(path_.c_str()), 0);
  KEKD_ASSERT_OK(Create("new"));
  EXPECT_THAT(fs_.calls(), ElementsAre("CreateUnnamedFile " + path_, "SetOwnerAndMode " + path_,
                                       "Append " + path_, "Sync " + path_, "Link " + path_,
                                       "SyncDirectory " + folder_.path()));
  fs_.Reset();
  UseTemporaryFiles();
  ASSERT_EQ(unlink(path_.c_str()), 0);
  KEKD_ASSERT_OK(Create("new"));
  EXPECT_THAT(fs_.calls(),
              ElementsAre("CreateFile " + temporary_, "SetOwnerAndMode " + temporary_,
                          "Append " + temporary_, "Sync " + temporary_, "Close " + temporary_,
                          absl::StrCat("Link ", temporary_, " to ", path_), "Remove " + temporary_,
                          "SyncDirectory " + folder_.path()));
}

TEST_F(DurableFileTest, ReplaceLeavesOneWholeContentAfterEveryFault) {
  for (const Fault::Kind kind : kFaults) {
    for (size_t call = 0;; ++call) {
      SCOPED_TRACE(absl::StrCat("kind ", static_cast<int>(kind), ", call ", call));
      WriteTestFile(path_, "old");
      fs_.Reset();
      fs_.Inject({.call = call, .kind = kind, .error = ENOSPC, .written = 1});
      const absl::Status status = Replace("new content");
      if (!fs_.injected_all()) {
        KEKD_EXPECT_OK(status);
        ASSERT_GT(call, 6u);
        break;
      }
      const std::string content = ReadTestFile(path_);
      if (status.ok()) {
        EXPECT_EQ(content, "new content");
      } else {
        EXPECT_TRUE(content == "old" || content == "new content") << content;
        EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
      }
      if (kind != Fault::Kind::kCrash && call > 0) {
        EXPECT_FALSE(TestFileExists(temporary_));
      }
      // Whatever is left behind, the next write works.
      fs_.Reset();
      KEKD_EXPECT_OK(Replace("third"));
      EXPECT_EQ(ReadTestFile(path_), "third");
      EXPECT_FALSE(TestFileExists(temporary_));
    }
  }
}

TEST_F(DurableFileTest, ReplaceChangesNothingWhenItFailsBeforeTheRename) {
  for (const char* call : {"CreateFile", "SetOwnerAndMode", "Append", "Sync", "Close", "Rename"}) {
    SCOPED_TRACE(call);
    WriteTestFile(path_, "old");
    fs_.Reset();
    fs_.Inject({.call_name = call, .error = EIO});
    EXPECT_THAT(Replace("new"), StatusIs(absl::StatusCode::kInternal, HasSubstr("(EIO)")));
    EXPECT_EQ(ReadTestFile(path_), "old");
    EXPECT_FALSE(TestFileExists(temporary_));
  }
}

TEST_F(DurableFileTest, SaysThatItDoesNotKnowWhenTheFolderCanNotBeSynced) {
  fs_.Inject({.call_name = "SyncDirectory", .error = EIO});
  EXPECT_THAT(Replace("new"),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("survive a power cut")));
  EXPECT_EQ(ReadTestFile(path_), "new");
}

// Also where it is killed: there is nothing that has to be cleaned up.
TEST_F(DurableFileTest, CreateLeavesNothingElseBehindAfterEveryFault) {
  for (const Fault::Kind kind : kFaults) {
    for (size_t call = 0;; ++call) {
      SCOPED_TRACE(absl::StrCat("kind ", static_cast<int>(kind), ", call ", call));
      unlink(path_.c_str());
      fs_.Reset();
      fs_.Inject({.call = call, .kind = kind, .error = EDQUOT, .written = 1});
      const absl::Status status = Create("content");
      if (!fs_.injected_all()) {
        KEKD_EXPECT_OK(status);
        ASSERT_EQ(call, 6u);
        break;
      }
      EXPECT_FALSE(status.ok());
      EXPECT_THAT(status.message(), HasSubstr(path_));
      const auto names = *FileSystem::System().ListDirectory(folder_.path());
      if (names.empty()) continue;
      EXPECT_THAT(names, ElementsAre("a"));
      EXPECT_EQ(ReadTestFile(path_), "content");
      fs_.Reset();
      EXPECT_THAT(Create("second"), StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr(path_)));
    }
  }
}

TEST_F(DurableFileTest, CreateLeavesNothingOrAWholeFileAfterEveryFault) {
  UseTemporaryFiles();
  for (const Fault::Kind kind : kFaults) {
    for (size_t call = 0;; ++call) {
      SCOPED_TRACE(absl::StrCat("kind ", static_cast<int>(kind), ", call ", call));
      unlink(path_.c_str());
      fs_.Reset();
      fs_.Inject({.call = call, .kind = kind, .error = EDQUOT, .written = 1});
      const absl::Status status = Create("content");
      if (!fs_.injected_all()) {
        KEKD_EXPECT_OK(status);
        ASSERT_GT(call, 7u);
        break;
      }
      if (TestFileExists(path_)) {
        EXPECT_EQ(ReadTestFile(path_), "content");
        // Only a lost answer hides from us that the name is there.
        if (!status.ok() && kind != Fault::Kind::kErrorAfterDone) {
          EXPECT_THAT(status.message(), HasSubstr(path_ + " was made"));
        }
      } else {
        EXPECT_FALSE(status.ok());
      }
      fs_.Reset();
      if (TestFileExists(temporary_)) {
        // Only where nobody could remove it, or know that it is ours.
        EXPECT_TRUE(kind == Fault::Kind::kCrash || call == 0);
        EXPECT_THAT(Create("second"), StatusIs(absl::StatusCode::kFailedPrecondition));
        unlink(temporary_.c_str());
      }
      const absl::Status again = Create("second");
      EXPECT_TRUE(again.ok() || absl::IsAlreadyExists(again)) << again;
      EXPECT_FALSE(TestFileExists(temporary_));
    }
  }
}

TEST_F(DurableFileTest, CreateNeverReplaces) {
  WriteTestFile(path_, "old");
  EXPECT_THAT(Create("new"), StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr(path_)));
  EXPECT_EQ(ReadTestFile(path_), "old");
  EXPECT_FALSE(TestFileExists(temporary_));
}

TEST_F(DurableFileTest, CreateNeverTouchesATemporaryFileOfOthers) {
  UseTemporaryFiles();
  WriteTestFile(temporary_, "somebody's");
  EXPECT_THAT(Create("new"), StatusIs(absl::StatusCode::kFailedPrecondition,
                                      HasSubstr(temporary_ + " is in the")));
  EXPECT_EQ(ReadTestFile(temporary_), "somebody's");
  EXPECT_FALSE(TestFileExists(path_));
}

TEST_F(DurableFileTest, CreateSaysThatTheFileIsThereWhenItFailsAfterwards) {
  UseTemporaryFiles();
  fs_.Inject({.call_name = "Remove", .error = EIO});  // the second try removes it
  KEKD_EXPECT_OK(Create("content"));
  EXPECT_FALSE(TestFileExists(temporary_));
  ASSERT_EQ(unlink(path_.c_str()), 0);
  for (int i = 0; i < 2; ++i) fs_.Inject({.call_name = "Remove", .error = EIO});
  EXPECT_THAT(Create("content"), StatusIs(absl::StatusCode::kInternal,
                                          AllOf(HasSubstr(path_ + " was made"),
                                                HasSubstr(temporary_), HasSubstr("EIO"))));
  EXPECT_EQ(ReadTestFile(path_), "content");
  ASSERT_EQ(unlink(path_.c_str()), 0);
  ASSERT_EQ(unlink(temporary_.c_str()), 0);
  fs_.Inject({.call_name = "SyncDirectory", .error = EIO});
  EXPECT_THAT(Create("content"),
              StatusIs(absl::StatusCode::kInternal, HasSubstr(path_ + " was made")));
  EXPECT_FALSE(TestFileExists(temporary_));
}

TEST_F(DurableFileTest, CreateRefusesASymbolicLinkInItsPlace) {
  ASSERT_EQ(symlink("elsewhere", path_.c_str()), 0);
  EXPECT_THAT(Create("new"), StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_FALSE(TestFileExists(folder_.File("elsewhere")));
}

TEST_F(DurableFileTest, TemporaryFileThatIsALinkIsReplacedAndNotFollowed) {
  WriteTestFile(folder_.File("victim"), "untouched");
  ASSERT_EQ(symlink("victim", temporary_.c_str()), 0);
  KEKD_ASSERT_OK(Replace("new"));
  EXPECT_EQ(ReadTestFile(folder_.File("victim")), "untouched");
  EXPECT_EQ(ReadTestFile(path_), "new");
}

TEST_F(DurableFileTest, GivesTheFileTheModeWhateverTheUmask) {
  for (const mode_t mask : {0u, 077u, 0777u}) {
    const mode_t before = umask(mask);
    const absl::Status status = ReplaceFileDurably(fs_, path_, AsBytes("x"), {.mode = 0640});
    umask(before);
    KEKD_ASSERT_OK(status);
    KEKD_ASSERT_OK_AND_ASSIGN(const FileInfo info, fs_.GetInfo(path_));
    EXPECT_EQ(info.mode, 0640u);
  }
}

TEST_F(DurableFileTest, GivesTheFileItsOwner) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can give files away";
  KEKD_ASSERT_OK(ReplaceFileDurably(fs_, path_, AsBytes("x"), {.owner = 1234, .group = 4321}));
  KEKD_ASSERT_OK_AND_ASSIGN(const FileInfo info, fs_.GetInfo(path_));
  EXPECT_EQ(info.owner, 1234u);
  EXPECT_EQ(info.group, 4321u);
}

}  // namespace
}  // namespace kekd
