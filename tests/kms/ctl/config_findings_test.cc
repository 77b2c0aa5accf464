#include "kms/ctl/config_findings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "tests/kms/ctl/test_command.h"
#include "tests/support/temp_directory.h"

namespace kekd {
namespace {

using ::kekd::testing::TestCommand;
using ::kekd::testing::WriteTestFile;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class ConfigFindingsTest : public ::testing::Test {
 protected:
  // Everything is there and safe.
  ConfigFindingsTest() {
    for (const char* name : {"state", "ring"}) {
      EXPECT_EQ(mkdir(command_.folder().File(name).c_str(), 0700), 0);
    }
    WriteTestFile(command_.folder().File("ring.key"), "any\n");
    Chmod("ring.key", 0600);
  }

  void Chmod(const char* name, mode_t mode) {
    EXPECT_EQ(chmod(command_.folder().File(name).c_str(), mode), 0) << name;
  }

  std::vector<std::string> Find() {
    return ConfigFindings(FileSystem::System(), command_.config());
  }

  TestCommand command_;
};

TEST_F(ConfigFindingsTest, FindsNothingWhereAllIsWell) { EXPECT_THAT(Find(), IsEmpty()); }

TEST_F(ConfigFindingsTest, FindsWhatIsMissing) {
  rmdir(command_.folder().File("state").c_str());
  rmdir(command_.folder().File("ring").c_str());
  unlink(command_.folder().File("ring.key").c_str());
  command_.config().admin_socket.path = command_.folder().File("none/admin.sock");
  EXPECT_THAT(Find(),
              ElementsAre(AllOf(HasSubstr("/state does not exist"), HasSubstr("keyring init")),
                          HasSubstr("/none does not exist"),
                          AllOf(HasSubstr("keyring prod"), HasSubstr("/ring does not exist")),
                          HasSubstr("the key file")));
}

TEST_F(ConfigFindingsTest, FindsWhatOthersCouldChangeOrRead) {
  Chmod("state", 0770);
  Chmod("ring", 0702);
  Chmod("ring.key", 0640);
  EXPECT_THAT(Find(), ElementsAre(AllOf(HasSubstr("/state has mode 0770"), HasSubstr("chmod go-w")),
                                  HasSubstr("/ring has mode 0702"),
                                  AllOf(HasSubstr("/ring.key has mode 0640"),
                                        HasSubstr("others than its owner have rights"))));
}

TEST_F(ConfigFindingsTest, SaysOnceWhatSeveralSocketsHaveInCommon) {
  Chmod("", 0777);
  EXPECT_THAT(Find(), ElementsAre(HasSubstr("the socket's folder")));
}

TEST_F(ConfigFindingsTest, LooksForNoFolderOfAnAbstractSocket) {
  command_.config().admin_socket.path = "@none";
  EXPECT_THAT(Find(), IsEmpty());
}

TEST_F(ConfigFindingsTest, LooksAtFilesOfPassphrasesAndAtNoCredentials) {
  using Kind = UnlockConfig::Kind;
  command_.config().keyrings.front().unlock = {
      {.kind = Kind::kPassphraseFile, .value = command_.folder().File("passphrase")},
      {.kind = Kind::kCredential, .value = "none"},
      {.kind = Kind::kPassphraseCredential, .value = "none"},
      {.kind = Kind::kPassphrasePrompt}};
  EXPECT_THAT(Find(), ElementsAre(HasSubstr("/passphrase does not exist")));
}

TEST_F(ConfigFindingsTest, FindsWhatIsOfTheWrongKind) {
  unlink(command_.folder().File("ring.key").c_str());
  EXPECT_EQ(mkdir(command_.folder().File("ring.key").c_str(), 0700), 0);
  command_.config().state_directory = command_.folder().File("kekd.yaml");
  EXPECT_THAT(Find(),
              ElementsAre(HasSubstr("kekd.yaml is no folder"), HasSubstr("ring.key is no file")));
}

TEST_F(ConfigFindingsTest, FindsStrangersThatOwnThings) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to give files away";
  const auto give = [&](const char* name) {
    EXPECT_EQ(chown(command_.folder().File(name).c_str(), 12345, 12345), 0);
  };
  give("state");
  EXPECT_THAT(Find(), ElementsAre(HasSubstr("/state belongs to uid 12345")));
  // As systemd has made it for kekd, before there is a keyring.
  EXPECT_THAT(ConfigFindings(FileSystem::System(), command_.config(), "12345"), IsEmpty());
  // Now it is kekd's user.
  give("ring");
  EXPECT_THAT(Find(), IsEmpty());
}

}  // namespace
}  // namespace kekd
