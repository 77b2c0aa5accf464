#include "kms/ctl/encryption_config.h"

#include <gtest/gtest.h>

#include <string>

#include "kms/ctl/commands.h"
#include "tests/kms/ctl/test_command.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace kekd {
namespace {

using ::kekd::testing::ReadTestFile;
using ::kekd::testing::StatusIs;
using ::kekd::testing::TestCommand;
using ::testing::HasSubstr;
using ::testing::Not;

EncryptionConfigOptions Options() {
  return {.provider_name = "kekd-prod",
          .endpoint = "unix:///run/kekd/prod.sock",
          .resources = {"secrets", "*.example.com"},
          .phase = {}};
}

TEST(EncryptionConfigTest, PrintsBothPhasesAsTheGoldenFile) {
  EXPECT_EQ(EncryptionConfigYaml(Options()),
            ReadTestFile(KEKD_TEST_DATA "/encryption_config.yaml"));
}

TEST(EncryptionConfigTest, PrintsOneDocumentForOnePhase) {
  EncryptionConfigOptions options = Options();
  std::string both;
  for (const int phase : {1, 2}) {
    options.phase = phase;
    const std::string one = EncryptionConfigYaml(options);
    EXPECT_THAT(one, Not(HasSubstr("---")));
    both += (phase == 1 ? "" : "---\n") + one;
  }
  EXPECT_EQ(both, EncryptionConfigYaml(Options()));
}

TEST(EncryptionConfigTest, QuotesNamesThatYamlWouldTakeForSomethingElse) {
  for (const char* name : {"1", "true", "1e3", "no", "Prod", "-", "a_b"}) {
    EncryptionConfigOptions options = Options();
    options.provider_name = name;
    KEKD_EXPECT_OK(ValidateEncryptionConfig(options));
    EXPECT_THAT(EncryptionConfigYaml(options),
                HasSubstr(std::string("      name: \"") + name + "\"\n"));
  }
}

TEST(EncryptionConfigTest, RefusesProviderNamesThatEtcdValuesCouldNotCarry) {
  for (const std::string& name : {std::string("a:b"), std::string(), std::string("a b"),
                                  std::string("a\"b"), std::string(254, 'a')}) {
    EncryptionConfigOptions options = Options();
    options.provider_name = name;
    EXPECT_THAT(ValidateEncryptionConfig(options),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("provider name")));
  }
}

TEST(EncryptionConfigTest, RefusesWhatIsNoResource) {
  for (const char* resource : {"", "Secrets", "a b", "a\nb", "secrets/status"}) {
    EncryptionConfigOptions options = Options();
    options.resources = {resource};
    EXPECT_THAT(ValidateEncryptionConfig(options), StatusIs(absl::StatusCode::kInvalidArgument));
  }
  EncryptionConfigOptions options = Options();
  options.resources = {"secrets", "configmaps", "secrets"};
  EXPECT_THAT(ValidateEncryptionConfig(options),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("second time")));
}

TEST(EncryptionConfigTest, NamesProviderAndEndpointAfterTheKeyring) {
  const TestCommand command;
  KEKD_ASSERT_OK_AND_ASSIGN(
      const CommandResult result,
      PrintEncryptionConfig(command.Context(),
                            {.resources = {"secrets"}, .phase = 1, .provider_name = ""}));
  EXPECT_THAT(result.output, HasSubstr("name: kekd-prod\n"));
  EXPECT_THAT(result.output,
              HasSubstr("endpoint: unix://" + command.folder().File("kekd.sock") + "\n"));
}

}  // namespace
}  // namespace kekd
