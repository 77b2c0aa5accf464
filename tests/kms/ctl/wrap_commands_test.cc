#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <string>
#include <vector>

#include "base/file_system.h"
#include "keystore/file_keyring_store.h"
#include "kms/ctl/commands.h"
#include "kms/keyring/keyring_access.h"
#include "tests/kms/ctl/test_command.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace kekd {
namespace {

using ::kekd::testing::ReadTestFile;
using ::kekd::testing::StatusIs;
using ::kekd::testing::TestCommand;
using ::kekd::testing::TestFileExists;
using ::kekd::testing::WriteTestFile;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using Kind = UnlockConfig::Kind;

class WrapCommandsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    KEKD_ASSERT_OK(KeyringInit(command_.Context(), {}));
    WriteTestFile(passphrase_.value, "correct horse battery staple\n");
    ASSERT_EQ(chmod(passphrase_.value.c_str(), 0600), 0);
  }
  // What the next start would find with this way to unlock alone.
  absl::Status OpenWith(const UnlockConfig& unlock) {
    KeyringConfig config = command_.keyring();
    config.unlock = {unlock};
    return FileKeyringStore::Open(StoreOptions(FileSystem::System(), command_.config(), config),
                                  FileKeyringStore::Access::kReadOnly)
        .status();
  }
  absl::StatusOr<CommandResult> AddPassphrase() {
    return WrapAdd(command_.Context(), {.unlock = passphrase_, .label = "the safe"});
  }

  TestCommand command_;
  const UnlockConfig passphrase_ = {.kind = Kind::kPassphraseFile,
                                    .value = command_.folder().File("passphrase")};
  const UnlockConfig second_ = {.kind = Kind::kKeyFile,
                                .value = command_.folder().File("second.key")};
};

TEST_F(WrapCommandsTest, AddedPassphraseOpensTheRing) {
  KEKD_ASSERT_OK_AND_ASSIGN(const CommandResult added, AddPassphrase());
  EXPECT_THAT(added.output, AllOf(HasSubstr("added wrap 2"), HasSubstr("unlock")));
  KEKD_EXPECT_OK(OpenWith(passphrase_));
  KEKD_ASSERT_OK_AND_ASSIGN(const CommandResult listed,
                            WrapList(command_.Context(), {.check = true}));
  EXPECT_THAT(listed.output, AllOf(HasSubstr("passphrase (scrypt)"), HasSubstr("the safe"),
                                   HasSubstr("nothing configured")));
  KEKD_ASSERT_OK_AND_ASSIGN(const CommandResult json,
                            WrapList(command_.Context(OutputFormat::kJson), {}));
  EXPECT_THAT(json.output, AllOf(HasSubstr("\"kdf\": \"scrypt\""), HasSubstr("\"number\": 2")));
}

TEST_F(WrapCommandsTest, CheckSaysWhichConfiguredWayFailsAndWhy) {
  KEKD_ASSERT_OK(AddPassphrase());
  std::vector<UnlockConfig>& unlock = command_.config().keyrings.front().unlock;
  unlock.push_back(passphrase_);
  unlock.push_back(second_);
  WriteTestFile(passphrase_.value, "correct horse battery stable\n");
  KEKD_ASSERT_OK_AND_ASSIGN(const CommandResult listed,
                            WrapList(command_.Context(), {.check = true}));
  EXPECT_THAT(
      listed.output,
      AllOf(
          HasSubstr("nothing, see below"), Not(HasSubstr("nothing configured")),
          HasSubstr("opens none of them: passphrase file " + passphrase_.value + " does not open"),
          HasSubstr("opens none of them: key file " + second_.value + " does not exist")));
  KEKD_ASSERT_OK_AND_ASSIGN(const CommandResult json,
                            WrapList(command_.Context(OutputFormat::kJson), {.check = true}));
  EXPECT_THAT(json.output, AllOf(HasSubstr("\"failed\": ["),
                                 HasSubstr("\"unlock\": \"key file " + second_.value)));
}

TEST_F(WrapCommandsTest, WrongPassphraseIsTold) {
  KEKD_ASSERT_OK(AddPassphrase());
  WriteTestFile(passphrase_.value, "correct horse battery stable\n");
  EXPECT_THAT(OpenWith(passphrase_),
              StatusIs(absl::StatusCode::kDataLoss,
                       AllOf(HasSubstr(passphrase_.value), HasSubstr("does not open"))));
}

TEST_F(WrapCommandsTest, KeyFileMustBeThereAndNew) {
  EXPECT_THAT(WrapAdd(command_.Context(), {.unlock = second_}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("keyring new-key-file")));
  KEKD_ASSERT_OK(KeyringNewKeyFile(command_.Context(), {.path = second_.value}));
  const std::string content = ReadTestFile(second_.value);
  EXPECT_THAT(KeyringNewKeyFile(command_.Context(), {.path = second_.value}),
              StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_EQ(ReadTestFile(second_.value), content);
  KEKD_ASSERT_OK(WrapAdd(command_.Context(), {.unlock = second_}));
  KEKD_EXPECT_OK(OpenWith(second_));
  EXPECT_THAT(WrapAdd(command_.Context(), {.unlock = second_}),
              StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("wrap 2")));
}

TEST_F(WrapCommandsTest, RemovingNeedsWhatOpensTheOthers) {
  KEKD_ASSERT_OK(KeyringNewKeyFile(command_.Context(), {.path = second_.value}));
  KEKD_ASSERT_OK(WrapAdd(command_.Context(), {.unlock = second_}));
  KEKD_ASSERT_OK(AddPassphrase());
  EXPECT_THAT(WrapRemove(command_.Context(), {.numbers = {2}}),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("wrap 3")));
  KEKD_EXPECT_OK(OpenWith(second_));
  KEKD_ASSERT_OK_AND_ASSIGN(
      const CommandResult removed,
      WrapRemove(command_.Context(), {.numbers = {2}, .also = {passphrase_}}));
  EXPECT_THAT(removed.output, AllOf(HasSubstr("new ring key"), HasSubstr("generation 3")));
  EXPECT_THAT(OpenWith(second_), StatusIs(absl::StatusCode::kDataLoss));
  KEKD_EXPECT_OK(OpenWith(passphrase_));
  KEKD_EXPECT_OK(OpenWith(command_.keyring().unlock.front()));
  KEKD_EXPECT_OK(KeyCreate(command_.Context(), {.backend = "software"}));
}

TEST_F(WrapCommandsTest, PassphraseStaysUnderTheFunctionThatWasChosen) {
  KEKD_ASSERT_OK(
      WrapAdd(command_.Context(), {.unlock = passphrase_, .kdf = KdfFunction::kPbkdf2HmacSha512}));
  KEKD_ASSERT_OK(KeyringNewKeyFile(command_.Context(), {.path = second_.value}));
  KEKD_ASSERT_OK(WrapAdd(command_.Context(), {.unlock = second_}));
  KEKD_ASSERT_OK(WrapRemove(command_.Context(), {.numbers = {3}, .also = {passphrase_}}));
  KEKD_ASSERT_OK_AND_ASSIGN(const CommandResult listed,
                            WrapList(command_.Context(OutputFormat::kJson), {}));
  EXPECT_THAT(listed.output, HasSubstr("\"kdf\": \"pbkdf2\""));
}

TEST_F(WrapCommandsTest, SaysWhichCopiesAreLeftThatWhatWasRemovedOpens) {
  KEKD_ASSERT_OK(AddPassphrase());
  // A copy that can't be told to be the keyring's own is not removed.
  const std::string copy = command_.keyring().directory + "/keyring.1";
  WriteTestFile(copy, "something else");
  KEKD_ASSERT_OK_AND_ASSIGN(const CommandResult removed,
                            WrapRemove(command_.Context(), {.numbers = {2}}));
  EXPECT_EQ(removed.exit_code, kExitFailure);
  EXPECT_THAT(removed.note, HasSubstr(copy));
}

TEST_F(WrapCommandsTest, RefusesALabelThatCouldSteerATerminal) {
  EXPECT_THAT(WrapAdd(command_.Context(), {.unlock = passphrase_, .label = "\x1b[2J"}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--label")));
}

TEST_F(WrapCommandsTest, RefusesToRemoveTheLastOneAndUnknownOnes) {
  EXPECT_THAT(WrapRemove(command_.Context(), {.numbers = {1}}),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("last wrap")));
  EXPECT_THAT(WrapRemove(command_.Context(), {.numbers = {2}}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("wrap list")));
  // What kekd is to start with is what the configuration names.
  KEKD_ASSERT_OK(AddPassphrase());
  EXPECT_THAT(WrapRemove(command_.Context(), {.numbers = {1}, .also = {passphrase_}}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("unlock")));
  KEKD_EXPECT_OK(OpenWith(command_.keyring().unlock.front()));
}

}  // namespace
}  // namespace kekd
