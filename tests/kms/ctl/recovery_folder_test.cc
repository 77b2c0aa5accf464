#include "kms/ctl/recovery_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace kekd {
namespace {

using ::kekd::testing::IsOkAndHolds;
using ::kekd::testing::StatusIs;
using ::kekd::testing::TempDirectory;
using ::testing::HasSubstr;

TEST(FileNameOfTest, LetsNoKeyChooseAPlace) {
  EXPECT_EQ(FileNameOf("db-1.tls_key"), "db-1.tls_key");
  EXPECT_EQ(FileNameOf(".."), "%2E%2E");
  EXPECT_EQ(FileNameOf("."), "%2E");
  EXPECT_EQ(FileNameOf(""), "%");
  EXPECT_EQ(FileNameOf("a/../b"), "a%2F..%2Fb");
  EXPECT_EQ(FileNameOf(std::string("a\0\n%", 4)), "a%00%0A%25");
  EXPECT_EQ(FileNameOf("system:node"), "system%3Anode");
}

TEST(FileNameOfTest, KeepsLongNamesApart) {
  const std::string a = FileNameOf(std::string(300, 'x') + "a");
  const std::string b = FileNameOf(std::string(300, 'x') + "b");
  EXPECT_EQ(a.size(), 200u);
  EXPECT_NE(a, b);
}

class RecoveryFolderTest : public ::testing::Test {
 protected:
  FileSystem& fs_ = FileSystem::System();
  const TempDirectory dir_;
  const std::string path_ = dir_.File("out");
};

TEST_F(RecoveryFolderTest, WritesObjectsThatNobodyElseCanRead) {
  KEKD_ASSERT_OK_AND_ASSIGN(RecoveryFolder folder, RecoveryFolder::Create(fs_, path_));
  const SecretBytes content = SecretBytes::CopyOf(AsBytes("the content"));
  EXPECT_THAT(folder.Write({"secrets", "default", "db"}, ".json", content),
              IsOkAndHolds("secrets/default/db.json"));
  EXPECT_THAT(folder.Write({"secrets", "default", "db"}, ".json", content),
              IsOkAndHolds("secrets/default/db~2.json"));
  KEKD_EXPECT_OK(folder.Write({"secrets", "default", "db2"}, ".json", content).status());
  EXPECT_THAT(fs_.ReadFile(path_ + "/secrets/default/db.json", 100), IsOkAndHolds("the content"));
  EXPECT_EQ(fs_.GetInfo(path_ + "/secrets/default/db.json")->mode, 0600u);
  EXPECT_EQ(fs_.GetInfo(path_ + "/secrets")->mode, 0700u);
  EXPECT_EQ(fs_.GetInfo(path_)->mode, 0700u);
}

TEST_F(RecoveryFolderTest, KeepsALogOfWholeLines) {
  KEKD_ASSERT_OK_AND_ASSIGN(RecoveryFolder folder, RecoveryFolder::Create(fs_, path_));
  KEKD_EXPECT_OK(folder.Log("begin"));
  KEKD_EXPECT_OK(folder.Note("recovered: a\nrecovered: b"));
  EXPECT_THAT(fs_.ReadFile(path_ + "/recover.log", 1000),
              IsOkAndHolds("begin\nrecovered: a\\x0arecovered: b\n"));
  EXPECT_EQ(fs_.GetInfo(path_ + "/recover.log")->mode, 0600u);
}

TEST_F(RecoveryFolderTest, RefusesAFolderThatIsThere) {
  KEKD_ASSERT_OK(fs_.CreateDirectory(path_, 0700));
  const absl::Status status = RecoveryFolder::Create(fs_, path_).status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_THAT(std::string(status.message()), HasSubstr("must be a new one"));
}

}  // namespace
}  // namespace kekd
