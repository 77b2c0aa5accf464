#include "kms/ctl/command_line.h"

#include <gtest/gtest.h>

#include <string>
#include <variant>
#include <vector>

#include "tests/support/status_matchers.h"

namespace kekd {
namespace {

using ::kekd::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

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
        std::vector<const char*>{"status", "--output=json", "--config=c"},
        std::vector<const char*>{"-ojson", "status", "--config", "c"}}) {
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
  EXPECT_EQ(VerbOf<KeyCreateVerb>(ParseVerb({"key", "create"})).backend, "");
  EXPECT_EQ(VerbOf<KeyCreateVerb>(ParseVerb({"key", "create"})).custody, std::nullopt);
  EXPECT_EQ(VerbOf<KeyCreateVerb>(ParseVerb({"key", "create", "--custody", "envelope"})).custody,
            Custody::kEnvelope);
  EXPECT_EQ(VerbOf<KeyringInitVerb>(ParseVerb({"keyring", "init", "--custody", "device"})).custody,
            Custody::kDevice);
  const KeyAdoptVerb adopt = VerbOf<KeyAdoptVerb>(
      ParseVerb({"key", "adopt", "--backend", "pkcs11", "--object", "pkcs11:a"}));
  EXPECT_EQ(adopt.backend, "pkcs11");
  EXPECT_EQ(adopt.object, "pkcs11:a");
  EXPECT_FALSE(adopt.allow_extractable);
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

TEST(CommandLineTest, ReadsRulesForSeveralResources) {
  const auto each = VerbOf<EncryptionConfigVerb>(
      ParseVerb({"encryption-config", "--per-resource", "--resources", "secrets,*.*"}));
  EXPECT_TRUE(each.per_resource);
  EXPECT_THAT(each.resources, ElementsAre("secrets", "*.*"));

  const auto mapped = VerbOf<EncryptionConfigVerb>(
      ParseVerb({"encryption-config", "--map", "secrets=a", "--map", "*.apps=b"}));
  ASSERT_EQ(mapped.map.size(), 2u);
  EXPECT_EQ(mapped.map[1].resource, "*.apps");
  EXPECT_EQ(mapped.map[1].keyring, "b");
  for (const char* bad : {"secrets", "secrets=", "=a", "secrets=a=b"}) {
    EXPECT_THAT(ParseVerb({"encryption-config", "--map", bad}),
                StatusIs(kInvalid, HasSubstr("RESOURCE=KEYRING")));
  }
  EXPECT_THAT(ParseVerb({"encryption-config", "--map", "secrets=a", "--resources", "secrets"}),
              StatusIs(kInvalid, HasSubstr("leave --resources out")));
}

TEST(CommandLineTest, TakesTheKeyringsName) {
  for (const std::vector<const char*>& arguments :
       {std::vector<const char*>{"key", "list", "--keyring", "dev"},
        std::vector<const char*>{"key", "--keyring", "dev", "list"},
        std::vector<const char*>{"--keyring=dev", "key", "list"}}) {
    KEKD_ASSERT_OK_AND_ASSIGN(const CommandLine line, ParseVerb(arguments));
    EXPECT_EQ(line.keyring, "dev");
  }
  EXPECT_THAT(ParseVerb({"--keyring", "dev", "status"}),
              StatusIs(kInvalid, HasSubstr("\"status\" takes no --keyring")));
}

TEST(CommandLineTest, TakesTheUsualConfigurationIfNoneIsGiven) {
  KEKD_ASSERT_OK_AND_ASSIGN(const CommandLine line, Parse({"status"}));
  EXPECT_EQ(line.config_path, "/etc/kekd/kekd.yaml");
  EXPECT_TRUE(line.config_is_default);
  EXPECT_EQ(line.config_use, ConfigUse::kRequired);
  KEKD_ASSERT_OK_AND_ASSIGN(const CommandLine given, ParseVerb({"status"}));
  EXPECT_FALSE(given.config_is_default);
}

TEST(CommandLineTest, RefusesWhatIsNoCommandLine) {
  const auto refused = [](const char* text) { return StatusIs(kInvalid, HasSubstr(text)); };
  EXPECT_THAT(Parse({}), refused("a verb is missing"));
  EXPECT_THAT(ParseVerb({"key"}),
              refused("a verb is missing after \"key\": list, show, create, adopt or"));
  EXPECT_THAT(ParseVerb({"-o", "yaml", "status"}),
              refused("--output must be table or json, and is \"yaml\""));
  EXPECT_THAT(ParseVerb({"key", "promote"}), refused("VERSION is missing"));
  EXPECT_THAT(ParseVerb({"key", "promote", "2", "3"}), refused("no further argument, and \"3\""));
  EXPECT_THAT(ParseVerb({"status", "extra"}), refused("no argument, and \"extra\""));
  EXPECT_THAT(ParseVerb({"--config", "d", "status"}), refused("--config is given twice"));
  EXPECT_THAT(ParseVerb({"check", "--count", "1", "--count=2"}), refused("--count is given twice"));
  EXPECT_THAT(ParseVerb({"check", "--count"}), refused("--count needs a value: --count N"));
  EXPECT_THAT(ParseVerb({"check", "--count="}), refused("--count needs a value"));
  EXPECT_THAT(ParseVerb({"--count", "1", "check"}), refused("unknown option \"--count\""));
  EXPECT_THAT(ParseVerb({"keyring", "accept-rollback"}), refused("--generation N is missing"));
  EXPECT_THAT(ParseVerb({"status", "--help=yes"}), refused("--help takes no value"));
}

TEST(CommandLineTest, SaysWhatWasProbablyMeant) {
  const auto refused = [](const char* text) { return StatusIs(kInvalid, HasSubstr(text)); };
  EXPECT_THAT(Parse({"keyrng", "show"}),
              refused("unknown verb \"keyrng\"; did you mean \"keyring\"?"));
  EXPECT_THAT(Parse({"keyrng", "--help"}), refused("did you mean \"keyring\"?"));
  EXPECT_THAT(Parse({"key", "promte"}),
              refused("unknown verb \"key promte\"; did you mean \"promote\"?"));
  EXPECT_THAT(Parse({"backup"}),
              refused("unknown verb \"backup\"; did you mean \"keyring backup\"?"));
  EXPECT_THAT(Parse({"new-wrap"}), refused("did you mean \"keyring wrap\"?"));
  EXPECT_THAT(Parse({"key", "verify"}), refused("did you mean \"keyring verify\"?"));
  EXPECT_THAT(Parse({"help", "keyrng"}), refused("did you mean \"keyring\"?"));
  EXPECT_THAT(Parse({"key", "xyzzy"}), refused("there is list, show, create, adopt or promote"));
  EXPECT_THAT(Parse({"check", "--cuont=5"}),
              refused("unknown option \"--cuont\"; did you mean \"--count\"?"));
  EXPECT_THAT(Parse({"--confg", "c", "check"}), refused("did you mean \"--config\"?"));
  EXPECT_THAT(Parse({"status", "--frobnicate"}), refused("there is --config, --output or --help"));
  EXPECT_THAT(Parse({"status", "-x\x1b[2J"}), refused("unknown option \"-x\""));
  EXPECT_THAT(Parse({"\x1b[2J"}), refused("unknown verb \"\\x1b[2J\""));
}

TEST(CommandLineTest, LetsVerbsWithoutAConfigurationBe) {
  KEKD_ASSERT_OK_AND_ASSIGN(const CommandLine line, ParseVerb({"completion", "bash"}));
  EXPECT_EQ(line.config_use, ConfigUse::kNone);
  EXPECT_THAT(Parse({"completion", "bash", "-o", "json"}),
              StatusIs(kInvalid, HasSubstr("takes no --output")));
  EXPECT_THAT(Parse({"completion", "tcsh"}),
              StatusIs(kInvalid, HasSubstr("SHELL must be bash, zsh or fish, and is \"tcsh\"")));
}

TEST(CommandLineTest, TakesEverythingAfterTwoDashesForAnArgument) {
  EXPECT_EQ(VerbOf<KeyPromoteVerb>(ParseVerb({"key", "promote", "--", "2"})).version, 2u);
  EXPECT_THAT(ParseVerb({"key", "promote", "--", "--help"}),
              StatusIs(kInvalid, HasSubstr("VERSION must be a number")));
}

TEST(CommandLineTest, RefusesWhatIsNoNumber) {
  for (const char* number : {"0", "0x2", "two", "4294967296", "2 ", "+2"}) {
    EXPECT_THAT(ParseVerb({"key", "promote", number}), StatusIs(kInvalid)) << number;
  }
  EXPECT_THAT(ParseVerb({"key", "promote", "--", "-1"}), StatusIs(kInvalid));
  EXPECT_THAT(ParseVerb({"check", "--count", "1000001"}), StatusIs(kInvalid));
  EXPECT_THAT(ParseVerb({"encryption-config", "--phase", "3"}),
              StatusIs(kInvalid, HasSubstr("--phase must be 1 or 2")));
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

TEST(CommandLineTest, PrintsTheVersion) {
  EXPECT_THAT(VerbOf<PrintText>(Parse({"--version"})).text, StartsWith("kekctl "));
  EXPECT_THAT(VerbOf<PrintText>(Parse({"status", "--version"})).text, StartsWith("kekctl "));
}

TEST(CommandLineTest, PrintsTheHelpOfTheVerbThatIsNamed) {
  const std::string help = VerbOf<PrintText>(Parse({"key", "promote", "--help"})).text;
  EXPECT_THAT(help, StartsWith("Usage: kekctl key promote VERSION"));
  EXPECT_EQ(VerbOf<PrintText>(Parse({"-h", "key", "promote", "2"})).text, help);
  EXPECT_THAT(VerbOf<PrintText>(Parse({"key", "--help"})).text,
              StartsWith("Usage: kekctl key VERB"));
  EXPECT_THAT(VerbOf<PrintText>(Parse({"--help"})).text,
              StartsWith("Usage: kekctl [OPTIONS] VERB"));
}

}  // namespace
}  // namespace kekd
