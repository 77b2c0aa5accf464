#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "kms/config/config.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace kekd {
namespace {

using ::kekd::testing::StatusIs;
using ::kekd::testing::TempDirectory;
using ::kekd::testing::WriteTestFile;
using ::testing::HasSubstr;

constexpr char kConfig[] = R"(apiVersion: kekd.dev/v1
kind: KekdConfiguration
stateDirectory: /var/lib/kekd/state
admin: {socket: {path: /run/kekd/admin.sock}}
keyring:
  name: prod
  directory: /var/lib/kekd/prod
  unlock: [{keyFile: /etc/kekd/prod.key}]
  socket: {path: /run/kekd/prod.sock}
)";

class LoadConfigTest : public ::testing::Test {
 protected:
  absl::StatusOr<Config> Load() { return LoadConfig(FileSystem::System(), path_); }

  TempDirectory folder_;
  const std::string path_ = folder_.File("kekd.yaml");
};

TEST_F(LoadConfigTest, ReadsAFile) {
  WriteTestFile(path_, kConfig);
  chmod(path_.c_str(), 0644);
  KEKD_ASSERT_OK_AND_ASSIGN(const Config config, Load());
  EXPECT_EQ(config.keyrings.at(0).name, "prod");
}

TEST_F(LoadConfigTest, NamesTheFileInItsErrors) {
  WriteTestFile(path_, "kind: x\n");
  chmod(path_.c_str(), 0600);
  EXPECT_THAT(Load(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(path_ + ":1:1: ")));
}

TEST_F(LoadConfigTest, RefusesAFileThatOthersCanWriteTo) {
  WriteTestFile(path_, kConfig);
  for (const mode_t mode : {0620u, 0602u, 0666u}) {
    chmod(path_.c_str(), mode);
    EXPECT_THAT(Load(), StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("chmod go-w")));
  }
}

TEST_F(LoadConfigTest, RefusesAFileOfAnotherUser) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can give a file away";
  WriteTestFile(path_, kConfig);
  chmod(path_.c_str(), 0644);
  ASSERT_EQ(chown(path_.c_str(), 12345, 12345), 0);
  EXPECT_THAT(Load(), StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("uid 12345")));
}

TEST_F(LoadConfigTest, TellsAMissingFileAFolderAndALargeFileAsBadConfigurations) {
  EXPECT_THAT(Load(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("ENOENT")));
  EXPECT_THAT(LoadConfig(FileSystem::System(), folder_.path()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("regular file")));
  WriteTestFile(path_, std::string((size_t{1} << 20) + 1, '#'));
  EXPECT_THAT(Load(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("1048576")));
}

}  // namespace
}  // namespace kekd
