#include "kms/ctl/command_line.h"

#include <gtest/gtest.h>

#include <string>
#include <variant>
#include <vector>

#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace kekd {
namespace {

using ::kekd::testing::ReadTestFile;
using ::kekd::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

absl::StatusOr<CommandLine> Parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "kekctl");
  return ParseCommandLine(static_cast<int>(arguments.size()), arguments.data());
}

// Parses "--config c" and the arguments.
absl::StatusOr<CommandLine> ParseVerb(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), {"--config", "c"});
  return Parse(std::move(arguments));
}

template <typename T>
T VerbOf(const absl::StatusOr<CommandLine>& line) {
  EXPECT_THAT(line, ::kekd::testing::IsOk());
  if (!line.ok() || !std::holds_alternative<T>(line->verb)) {
    ADD_FAILURE() << "another verb";
    return T();
  }
  return std::get<T>(line->verb);
}

TEST(CommandLineTest, TakesCommonOptionsBeforeAndAfterTheVerb) {
  for (const std::vector<const char*>& arguments :
       {std::vector<const char*>{"--config", "c", "-o", "json", "status"},
        std::vector<const char*>{"status", "--output=json", "--config=c"}}) {
    KEKD_ASSERT_OK_AND_ASSIGN(const CommandLine line, Parse(arguments));
    EXPECT_EQ(line.config_path, "c");
    EXPECT_EQ(line.format, OutputFormat::kJson);
    EXPECT_TRUE(std::holds_alternative<StatusVerb>(line.verb));
  }
}

TEST(CommandLineTest, KnowsEveryVerb) {
  VerbOf<KeyringShowVerb>(ParseVerb({"keyring", "show"}));
  VerbOf<KeyringVerifyVerb>(ParseVerb({"keyring", "verify"}));
  VerbOf<KeyListVerb>(ParseVerb({"key", "list"}));
  VerbOf<ConfigCheckVerb>(ParseVerb({"config", "check"}));
  EXPECT_FALSE(VerbOf<KeyringInitVerb>(ParseVerb({"keyring", "init"})).cluster_id.has_value());
  EXPECT_EQ(VerbOf<KeyringAcceptRollbackVerb>(
                ParseVerb({"keyring", "accept-rollback", "--generation", "7"}))
                .generation,
            7u);
  EXPECT_EQ(VerbOf<KeyCreateVerb>(ParseVerb({"key", "create"})).backend, "software");
  EXPECT_EQ(VerbOf<KeyPromoteVerb>(ParseVerb({"key", "promote", "2"})).version, 2u);
  EXPECT_EQ(VerbOf<CheckVerb>(ParseVerb({"check"})).count, 100u);
  EXPECT_EQ(VerbOf<CheckVerb>(ParseVerb({"check", "--count", "0"})).count, 0u);
}

TEST(CommandLineTest, ReadsTheOptionsOfEncryptionConfig) {
  const auto verb = VerbOf<EncryptionConfigVerb>(
      ParseVerb({"encryption-config", "--resources", "secrets,configmaps", "--phase", "2",
                 "--provider-name", "p"}));
  EXPECT_THAT(verb.resources, ElementsAre("secrets", "configmaps"));
  EXPECT_EQ(verb.phase, 2);
  EXPECT_EQ(verb.provider_name, "p");
  EXPECT_FALSE(VerbOf<EncryptionConfigVerb>(ParseVerb({"encryption-config"})).phase.has_value());
}

TEST(CommandLineTest, TakesTheKeyringsName) {
  KEKD_ASSERT_OK_AND_ASSIGN(const CommandLine line, ParseVerb({"key", "list", "--keyring", "dev"}));
  EXPECT_EQ(line.keyring, "dev");
}

TEST(CommandLineTest, RefusesWhatIsNoCommandLine) {
  EXPECT_THAT(Parse({"status"}), StatusIs(kInvalid, HasSubstr("--config FILE is missing")));
  EXPECT_THAT(Parse({}), StatusIs(kInvalid, HasSubstr("a verb is missing")));
  EXPECT_THAT(ParseVerb({"key"}), StatusIs(kInvalid, HasSubstr("a verb is missing")));
  EXPECT_THAT(ParseVerb({"kye", "list"}), StatusIs(kInvalid, HasSubstr("\"kye\"")));
  EXPECT_THAT(ParseVerb({"status", "--verbose"}), StatusIs(kInvalid, HasSubstr("--verbose")));
  EXPECT_THAT(ParseVerb({"-o", "yaml", "status"}), StatusIs(kInvalid, HasSubstr("\"yaml\"")));
  EXPECT_THAT(ParseVerb({"key", "promote"}), StatusIs(kInvalid, HasSubstr("VERSION")));
  EXPECT_THAT(ParseVerb({"--config", "d", "status"}), StatusIs(kInvalid, HasSubstr("--config")));
  EXPECT_THAT(ParseVerb({"status", "extra"}), StatusIs(kInvalid, HasSubstr("extra")));
}

TEST(CommandLineTest, RefusesWhatIsNoNumber) {
  for (const char* number : {"0", "0x2", "two", "4294967296", "2 ", "+2"}) {
    EXPECT_THAT(ParseVerb({"key", "promote", number}), StatusIs(kInvalid)) << number;
  }
  EXPECT_THAT(ParseVerb({"key", "promote", "--", "-1"}), StatusIs(kInvalid));
  EXPECT_THAT(ParseVerb({"check", "--count", "1000001"}), StatusIs(kInvalid));
  EXPECT_THAT(ParseVerb({"encryption-config", "--phase", "3"}),
              StatusIs(kInvalid, HasSubstr("from 1 to 2")));
}

TEST(CommandLineTest, ReadsTheClusterId) {
  const char* uuid = "6f1d1c1e-0a52-4b8e-9d5c-0b6f2a7f1d10";
  const auto verb = VerbOf<KeyringInitVerb>(ParseVerb({"keyring", "init", "--cluster-id", uuid}));
  ASSERT_TRUE(verb.cluster_id.has_value());
  EXPECT_EQ(verb.cluster_id->ToString(), uuid);
  for (const char* bad : {"x", "00000000-0000-0000-0000-000000000000"}) {
    EXPECT_THAT(ParseVerb({"keyring", "init", "--cluster-id", bad}),
                StatusIs(kInvalid, HasSubstr("--cluster-id")));
  }
}

TEST(CommandLineTest, PrintsHelpAndVersionWithoutAConfiguration) {
  EXPECT_EQ(VerbOf<PrintText>(Parse({"--help"})).text,
            ReadTestFile(KEKD_TEST_DATA "/kekctl_help.txt"));
  EXPECT_THAT(VerbOf<PrintText>(Parse({"--version"})).text, HasSubstr("kekctl "));
}

TEST(CommandLineTest, ShowsAnExampleInTheHelpOfEveryVerb) {
  const std::vector<std::vector<const char*>> verbs = {
      {"keyring", "init"}, {"keyring", "show"},   {"keyring", "verify"},
      {"key", "list"},     {"key", "create"},     {"keyring", "accept-rollback"},
      {"status"},          {"key", "promote"},    {"check"},
      {"config", "check"}, {"encryption-config"},
  };
  for (std::vector<const char*> arguments : verbs) {
    const char* const last = arguments.back();
    arguments.push_back("--help");
    const std::string text = VerbOf<PrintText>(Parse(arguments)).text;
    EXPECT_THAT(text, HasSubstr("Example: kekctl --config /etc/kekd/kekd.yaml ")) << last;
    EXPECT_THAT(text, HasSubstr(last));
  }
}

}  // namespace
}  // namespace kekd
