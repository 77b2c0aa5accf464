#include "base/private_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace kekd {
namespace {

using ::kekd::testing::StatusIs;
using ::kekd::testing::TempDirectory;
using ::kekd::testing::WriteTestFile;
using ::testing::HasSubstr;

TEST(PrivateFileTest, IsReadOnlyIfNobodyElseHasARightOnIt) {
  const TempDirectory dir;
  const std::string path = dir.File("secret");
  WriteTestFile(path, "content");
  for (const mode_t mode : {0600, 0400, 0700}) {
    ASSERT_EQ(chmod(path.c_str(), mode), 0);
    const absl::StatusOr<SecretBytes> content =
        ReadPrivateFile(FileSystem::System(), "key file", path, 100, std::nullopt);
    KEKD_ASSERT_OK(content);
    EXPECT_EQ(AsText(content->Reveal(SecretAccessToken())), "content");
  }
  for (const mode_t mode : {0640, 0604, 0620, 0610, 0601}) {
    ASSERT_EQ(chmod(path.c_str(), mode), 0);
    const absl::Status refused =
        ReadPrivateFile(FileSystem::System(), "key file", path, 100, std::nullopt).status();
    EXPECT_THAT(refused, StatusIs(absl::StatusCode::kPermissionDenied));
    EXPECT_THAT(std::string(refused.message()), HasSubstr("run 'chmod 0600 " + path));
  }
  EXPECT_THAT(ReadPrivateFile(FileSystem::System(), "key file", dir.File("none"), 100, std::nullopt)
                  .status(),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST(PrivateFileTest, BelongsToSomebodyWhoMayHaveIt) {
  const TempDirectory dir;
  const std::string path = dir.File("secret");
  WriteTestFile(path, "content");
  ASSERT_EQ(chmod(path.c_str(), 0600), 0);
  constexpr uid_t kOther = 12345;
  if (chown(path.c_str(), kOther, kOther) != 0) GTEST_SKIP() << "only root can give files away";
  const auto read = [&](std::optional<uid_t> other_owner) {
    return ReadPrivateFile(FileSystem::System(), "key file", path, 100, other_owner).status();
  };
  EXPECT_THAT(read(std::nullopt), StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_THAT(read(kOther + 1), StatusIs(absl::StatusCode::kPermissionDenied));
  KEKD_EXPECT_OK(read(kOther));
}

}  // namespace
}  // namespace kekd
