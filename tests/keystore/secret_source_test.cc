#include "keystore/secret_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <optional>
#include <string>

#include "tests/support/secrets.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace kekd {
namespace {

using ::kekd::testing::RevealedText;
using ::kekd::testing::StatusIs;
using ::kekd::testing::TempDirectory;
using ::kekd::testing::WriteTestFile;
using ::testing::AllOf;
using ::testing::HasSubstr;

class SecretSourceTest : public ::testing::Test {
 protected:
  SecretSourceTest() { setenv("CREDENTIALS_DIRECTORY", folder_.File("credentials").c_str(), 1); }
  ~SecretSourceTest() override { unsetenv("CREDENTIALS_DIRECTORY"); }

  void Write(const std::string& path, const std::string& content, mode_t mode = 0600) {
    WriteTestFile(path, content);
    ASSERT_EQ(chmod(path.c_str(), mode), 0);
  }
  std::unique_ptr<SecretSource> File() {
    return CreateFileSecretSource(FileSystem::System(), "passphrase file", path_, std::nullopt);
  }
  void WriteCredential(const std::string& content, mode_t mode = 0400) {
    ASSERT_EQ(mkdir(folder_.File("credentials").c_str(), 0700), 0);
    Write(folder_.File("credentials/ring"), content, mode);
  }
  std::unique_ptr<SecretSource> Credential() {
    return CreateCredentialSecretSource(FileSystem::System(), "ring");
  }

  TempDirectory folder_;
  const std::string path_ = folder_.File("passphrase");
};

TEST_F(SecretSourceTest, ReadsAFileWithoutItsLineEnd) {
  for (const char* const content : {"open sesame", "open sesame\n", "open sesame\r\n"}) {
    Write(path_, content);
    KEKD_ASSERT_OK_AND_ASSIGN(const SecretBytes secret, File()->Read());
    EXPECT_EQ(RevealedText(secret), "open sesame");
  }
  // Only one: a second may be meant.
  Write(path_, " open sesame \n\n");
  KEKD_ASSERT_OK_AND_ASSIGN(const SecretBytes secret, File()->Read());
  EXPECT_EQ(RevealedText(secret), " open sesame \n");
}

TEST_F(SecretSourceTest, NamesTheFileInItsErrors) {
  EXPECT_THAT(
      File()->Read().status(),
      StatusIs(absl::StatusCode::kNotFound, AllOf(HasSubstr("passphrase file"), HasSubstr(path_))));
  Write(path_, "secret", 0640);
  EXPECT_THAT(File()->Read().status(),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("chmod 0600")));
  Write(path_, "\n", 0600);
  EXPECT_THAT(File()->Read().status(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("empty")));
  Write(path_, std::string(SecretSource::kMaxSecretBytes + 3, 'x'), 0600);
  EXPECT_THAT(File()->Read().status(), StatusIs(absl::StatusCode::kOutOfRange));
}

TEST_F(SecretSourceTest, RefusesAFileOfSomebodyElse) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can give a file away";
  Write(path_, "secret");
  ASSERT_EQ(chown(path_.c_str(), 12345, 12345), 0);
  EXPECT_THAT(File()->Read().status(),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("12345")));
  KEKD_EXPECT_OK(
      CreateFileSecretSource(FileSystem::System(), "key file", path_, 12345)->Read().status());
}

TEST_F(SecretSourceTest, ReadsACredentialAsSystemdMakesIt) {
  // 0440 is how a mode shows an access list that grants the unit's user its right.
  WriteCredential("open sesame\n", 0440);
  KEKD_ASSERT_OK_AND_ASSIGN(const SecretBytes secret, Credential()->Read());
  EXPECT_EQ(RevealedText(secret), "open sesame");
}

TEST_F(SecretSourceTest, RefusesACredentialThatOthersCanRead) {
  WriteCredential("open sesame", 0444);
  EXPECT_THAT(Credential()->Read().status(),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("0444")));
}

TEST_F(SecretSourceTest, SaysWhichCredentialTheUnitLacks) {
  EXPECT_THAT(Credential()->Read().status(),
              StatusIs(absl::StatusCode::kNotFound,
                       AllOf(HasSubstr("LoadCredential=ring"), HasSubstr("credentials/ring"))));
}

}  // namespace
}  // namespace kekd
