#include "kms/config/config.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "tests/kms/config/minimal_config.h"
#include "tests/support/status_matchers.h"

namespace kekd {
namespace {

using ::kekd::testing::kMinimalConfig;
using ::kekd::testing::MinimalConfigWith;
using ::kekd::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

constexpr char kSecond[] = R"(- name: dev
  directory: /var/lib/kekd/dev
  unlock:
  - keyFile: /etc/kekd/dev.key
  socket:
    path: /run/kekd/dev.sock
)";

absl::StatusOr<Config> Parse(absl::string_view yaml) { return ParseConfig(yaml, "kekd.yaml"); }

TEST(ConfigTest, HasDocumentedDefaults) {
  KEKD_ASSERT_OK_AND_ASSIGN(const Config config, Parse(kMinimalConfig));
  EXPECT_EQ(config.state_directory, "/var/lib/kekd/state");
  EXPECT_EQ(config.admin_socket.path, "/run/kekd/admin.sock");
  EXPECT_EQ(config.log_level, LogLevel::kInfo);
  EXPECT_EQ(config.log_format, LogFormat::kText);
  EXPECT_EQ(config.memory_locking, MemoryLocking::kRequired);
  ASSERT_EQ(config.keyrings.size(), 1u);
  const KeyringConfig& keyring = config.keyrings[0];
  EXPECT_EQ(keyring.name, "prod");
  EXPECT_EQ(keyring.directory, "/var/lib/kekd/prod");
  ASSERT_EQ(keyring.unlock.size(), 1u);
  EXPECT_EQ(keyring.unlock[0].value, "/etc/kekd/prod.key");
  EXPECT_EQ(keyring.socket.path, "/run/kekd/prod.sock");
  EXPECT_EQ(keyring.socket.mode, mode_t{0600});
  EXPECT_THAT(keyring.socket.allowed_users, IsEmpty());
  EXPECT_THAT(keyring.socket.allowed_groups, IsEmpty());
}

TEST(ConfigTest, ReadsEveryField) {
  KEKD_ASSERT_OK_AND_ASSIGN(const Config config,
                            Parse(absl::StrCat(kMinimalConfig,
                                               "    mode: \"0660\"\n"
                                               "    allowedUsers: [root, 1000, \"1001\"]\n"
                                               "    allowedGroups: [root, 27]\n"
                                               "log: {level: warning, format: json}\n"
                                               "memory: {locking: preferred}\n")));
  const SocketConfig& socket = config.keyrings.at(0).socket;
  EXPECT_EQ(socket.mode, mode_t{0660});
  EXPECT_THAT(socket.allowed_users, ElementsAre(0u, 1000u, 1001u));
  EXPECT_THAT(socket.allowed_groups, ElementsAre(0u, 27u));
  EXPECT_EQ(config.log_level, LogLevel::kWarning);
  EXPECT_EQ(config.log_format, LogFormat::kJson);
  EXPECT_EQ(config.memory_locking, MemoryLocking::kPreferred);
}

TEST(ConfigTest, TakesTheShortFormForOneKeyring) {
  const std::string yaml =
      absl::StrReplaceAll(kMinimalConfig, {{"keyrings:\n- name", "keyring:\n  name"}});
  KEKD_ASSERT_OK_AND_ASSIGN(const Config config, Parse(yaml));
  EXPECT_EQ(config.keyrings.at(0).name, "prod");
  EXPECT_THAT(Parse(absl::StrCat(yaml, "keyrings: []\n")),
              StatusIs(kInvalid, HasSubstr("not both")));
}

TEST(ConfigTest, RefusesUnknownFieldWithItsPlaceAndTheFieldThatWasMeant) {
  EXPECT_THAT(
      Parse(MinimalConfigWith("    path: /run/kekd/prod.sock", "    pathe: /run/kekd/prod.sock")),
      StatusIs(kInvalid, ::testing::StrEq("kekd.yaml:13:5: unknown field \"pathe\" in "
                                          "keyrings[0].socket; did you mean \"path\"?")));
  EXPECT_THAT(Parse(MinimalConfigWith("stateDirectory", "statedirectory")),
              StatusIs(kInvalid, AllOf(StartsWith("kekd.yaml:3:1: unknown field"),
                                       HasSubstr("did you mean \"stateDirectory\"?"))));
  EXPECT_THAT(Parse(absl::StrCat(kMinimalConfig, "telemetry: {}\n")),
              StatusIs(kInvalid, AllOf(HasSubstr("unknown field \"telemetry\""),
                                       HasSubstr("known are apiVersion"))));
}

TEST(ConfigTest, RefusesDuplicateFieldWithLine) {
  EXPECT_THAT(Parse(absl::StrCat(kMinimalConfig, "kind: KekdConfiguration\n")),
              StatusIs(kInvalid, StartsWith("kekd.yaml:14:1: ")));
}

TEST(ConfigTest, RefusesAnotherApiVersionAndKind) {
  EXPECT_THAT(Parse(MinimalConfigWith("kekd.dev/v1", "kekd.dev/v2")),
              StatusIs(kInvalid, HasSubstr("must be \"kekd.dev/v1\"")));
  EXPECT_THAT(Parse(MinimalConfigWith("KekdConfiguration", "EncryptionConfiguration")),
              StatusIs(kInvalid, HasSubstr("must be \"KekdConfiguration\"")));
}

TEST(ConfigTest, RefusesMissingFields) {
  const std::pair<const char*, const char*> cases[] = {
      {"apiVersion: kekd.dev/v1\n", "apiVersion"},
      {"stateDirectory: /var/lib/kekd/state\n", "stateDirectory"},
      {"    path: /run/kekd/admin.sock\n", "socket"},
      {"  directory: /var/lib/kekd/prod\n", "directory"},
      {"  unlock:\n  - keyFile: /etc/kekd/prod.key\n", "unlock"},
      {"  socket:\n    path: /run/kekd/prod.sock\n", "socket"},
  };
  for (const auto& [text, field] : cases) {
    EXPECT_THAT(Parse(MinimalConfigWith(text, "")),
                StatusIs(kInvalid, HasSubstr(absl::StrCat("\"", field, "\" is missing"))));
  }
  EXPECT_THAT(Parse(absl::StrCat(
                  std::string(kMinimalConfig).substr(0, std::string(kMinimalConfig).find("- name")),
                  "  []\n")),
              StatusIs(kInvalid, HasSubstr("at least one keyring")));
  EXPECT_THAT(Parse(MinimalConfigWith("  - keyFile: /etc/kekd/prod.key\n", "    []\n")),
              StatusIs(kInvalid, HasSubstr("at least one way")));
}

TEST(ConfigTest, RefusesValuesOfTheWrongShape) {
  EXPECT_THAT(Parse("[]\n"), StatusIs(kInvalid, HasSubstr("must be a mapping")));
  EXPECT_THAT(Parse("text\n"), StatusIs(kInvalid, HasSubstr("and is a single value")));
  EXPECT_THAT(Parse(MinimalConfigWith("name: prod", "name: [prod]")),
              StatusIs(kInvalid, HasSubstr("keyrings[0].name: must be a single value")));
  EXPECT_THAT(Parse(absl::StrCat(kMinimalConfig, "    allowedUsers: root\n")),
              StatusIs(kInvalid, HasSubstr("allowedUsers: must be a list")));
  EXPECT_THAT(Parse(MinimalConfigWith("name: prod", "name: \"\"")),
              StatusIs(kInvalid, HasSubstr("must not be empty")));
  EXPECT_THAT(Parse(MinimalConfigWith("/etc/kekd/prod.key", "\"/etc/a\\nb\"")),
              StatusIs(kInvalid, HasSubstr("control characters")));
  EXPECT_THAT(Parse(MinimalConfigWith("/etc/kekd/prod.key", "\"/etc/a\\0b\"")),
              StatusIs(kInvalid, HasSubstr("control characters")));
}

TEST(ConfigTest, RefusesKeyringNamesThatAreNoDnsLabels) {
  for (const char* name : {"Prod", "a_b", "-a", "a.b", "'a b'"}) {
    EXPECT_THAT(Parse(MinimalConfigWith("name: prod", absl::StrCat("name: ", name))),
                StatusIs(kInvalid, StartsWith("kekd.yaml:8:9: keyrings[0].name: ")))
        << name;
  }
}

TEST(ConfigTest, RefusesPathsThatMayMeanAnotherPlace) {
  EXPECT_THAT(Parse(MinimalConfigWith("/var/lib/kekd/prod", "prod")),
              StatusIs(kInvalid, HasSubstr("must be an absolute path")));
  EXPECT_THAT(Parse(MinimalConfigWith("/etc/kekd/prod.key", "/etc/../prod.key")),
              StatusIs(kInvalid, HasSubstr("\"..\"")));
  EXPECT_THAT(Parse(MinimalConfigWith("/var/lib/kekd/state", "/")),
              StatusIs(kInvalid, HasSubstr("\"/\"")));
  EXPECT_THAT(Parse(MinimalConfigWith("/run/kekd/prod.sock", "prod.sock")),
              StatusIs(kInvalid, HasSubstr("must be an absolute path")));
}

TEST(ConfigTest, KeepsPathsInOneSpelling) {
  KEKD_ASSERT_OK_AND_ASSIGN(
      const Config config,
      Parse(MinimalConfigWith("/var/lib/kekd/prod", "//var/./lib/kekd/prod/")));
  EXPECT_EQ(config.keyrings.at(0).directory, "/var/lib/kekd/prod");
}

TEST(ConfigTest, RefusesAKeyringAndAStateFolderThatOverlap) {
  for (const char* directory : {"/var/lib/kekd/state", "/var/lib/kekd/state/",
                                "/var/lib/kekd/state/prod", "/var/lib/kekd", "/var"}) {
    EXPECT_THAT(
        Parse(MinimalConfigWith("/var/lib/kekd/prod", directory)),
        StatusIs(kInvalid, AllOf(StartsWith("kekd.yaml:9:14: "), HasSubstr("stateDirectory"))))
        << directory;
  }
  KEKD_EXPECT_OK(Parse(MinimalConfigWith("/var/lib/kekd/prod", "/var/lib/kekd/state2")));
}

TEST(ConfigTest, RefusesAKeyFileInTheKeyringsFolder) {
  EXPECT_THAT(Parse(MinimalConfigWith("/etc/kekd/prod.key", "/var/lib/kekd/prod/key")),
              StatusIs(kInvalid, HasSubstr("keep it elsewhere")));
}

TEST(ConfigTest, RefusesTheSameNameFolderOrSocketTwice) {
  const std::string two = absl::StrCat(kMinimalConfig, kSecond);
  KEKD_EXPECT_OK(Parse(two));
  const std::pair<const char*, const char*> cases[] = {
      {"name: dev", "name: prod"},
      {"/var/lib/kekd/dev", "/var/lib/kekd/prod"},
      {"/var/lib/kekd/dev", "/var/lib/kekd/prod/dev"},
      {"/run/kekd/dev.sock", "/run/kekd/prod.sock"},
      {"/run/kekd/dev.sock", "/run//kekd/prod.sock"},
  };
  for (const auto& [from, to] : cases) {
    EXPECT_THAT(Parse(absl::StrReplaceAll(two, {{from, to}})),
                StatusIs(kInvalid, AllOf(HasSubstr("keyrings[1]."), HasSubstr("keyrings[0]."))))
        << to;
  }
  EXPECT_THAT(Parse(MinimalConfigWith("/run/kekd/prod.sock", "/run/kekd/admin.sock")),
              StatusIs(kInvalid, HasSubstr("admin.socket.path already")));
}

TEST(ConfigTest, BoundsTheLengthOfASocketPath) {
  const std::string longest = absl::StrCat("/", std::string(kMaxSocketPathBytes - 1, 'x'));
  KEKD_EXPECT_OK(Parse(MinimalConfigWith("/run/kekd/prod.sock", longest)));
  EXPECT_THAT(Parse(MinimalConfigWith("/run/kekd/prod.sock", absl::StrCat(longest, "x"))),
              StatusIs(kInvalid, AllOf(HasSubstr("108 bytes"), HasSubstr("107"))));
}

TEST(ConfigTest, TakesAbstractSockets) {
  KEKD_ASSERT_OK_AND_ASSIGN(const Config config,
                            Parse(MinimalConfigWith("/run/kekd/prod.sock", "\"@kekd\"")));
  EXPECT_EQ(config.keyrings.at(0).socket.path, "@kekd");
  EXPECT_THAT(Parse(MinimalConfigWith("/run/kekd/prod.sock", "\"@\"")),
              StatusIs(kInvalid, HasSubstr("needs a name")));
  EXPECT_THAT(Parse(MinimalConfigWith("/run/kekd/prod.sock", "\"@kekd\"\n    mode: \"0600\"")),
              StatusIs(kInvalid, HasSubstr("has no mode")));
}

TEST(ConfigTest, TakesOnlyTwoModes) {
  KEKD_EXPECT_OK(Parse(absl::StrCat(kMinimalConfig, "    mode: 0660\n")));
  for (const char* mode : {"0666", "600", "384", "rw", "0o600"}) {
    EXPECT_THAT(Parse(absl::StrCat(kMinimalConfig, "    mode: ", mode, "\n")),
                StatusIs(kInvalid, HasSubstr("must be \"0600\" or \"0660\"")))
        << mode;
  }
}

TEST(ConfigTest, RefusesUnknownUsersAndGroups) {
  EXPECT_THAT(Parse(absl::StrCat(kMinimalConfig, "    allowedUsers: [root, no-such-user]\n")),
              StatusIs(kInvalid, AllOf(HasSubstr("allowedUsers[1]"), HasSubstr("no-such-user"))));
  EXPECT_THAT(Parse(absl::StrCat(kMinimalConfig, "    allowedGroups: [no-such-group]\n")),
              StatusIs(kInvalid, HasSubstr("no group \"no-such-group\"")));
  for (const char* id : {"-1", "4294967295", "4294967296"}) {
    EXPECT_THAT(Parse(absl::StrCat(kMinimalConfig, "    allowedUsers: [\"", id, "\"]\n")),
                StatusIs(kInvalid, HasSubstr("no user")))
        << id;
  }
}

TEST(ConfigTest, RefusesUnknownWords) {
  EXPECT_THAT(Parse(absl::StrCat(kMinimalConfig, "log: {level: verbose}\n")),
              StatusIs(kInvalid, HasSubstr("one of debug, info, warning, error")));
  EXPECT_THAT(Parse(absl::StrCat(kMinimalConfig, "memory: {locking: off}\n")),
              StatusIs(kInvalid, HasSubstr("one of required, preferred")));
}

TEST(ConfigTest, FindsKeyringsByName) {
  KEKD_ASSERT_OK_AND_ASSIGN(const Config one, Parse(kMinimalConfig));
  KEKD_ASSERT_OK_AND_ASSIGN(const KeyringConfig* only, one.FindKeyring(""));
  EXPECT_EQ(only->name, "prod");
  EXPECT_THAT(one.FindKeyring("dev"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("it has: prod")));
  KEKD_ASSERT_OK_AND_ASSIGN(const Config two, Parse(absl::StrCat(kMinimalConfig, kSecond)));
  KEKD_ASSERT_OK_AND_ASSIGN(const KeyringConfig* dev, two.FindKeyring("dev"));
  EXPECT_EQ(dev->directory, "/var/lib/kekd/dev");
  EXPECT_THAT(two.FindKeyring(""), StatusIs(kInvalid, HasSubstr("prod, dev")));
}

TEST(ConfigTest, MakesTheEndpointThatKubeApiserverTakes) {
  EXPECT_EQ(SocketConfig{.path = "/run/kekd/prod.sock"}.Endpoint(), "unix:///run/kekd/prod.sock");
  EXPECT_EQ(SocketConfig{.path = "@kekd"}.Endpoint(), "unix:///@kekd");
  // It is a URL: what would end its path is written as its number.
  EXPECT_EQ(SocketConfig{.path = "/a b/100%?#.sock"}.Endpoint(), "unix:///a%20b/100%25%3F%23.sock");
}

}  // namespace
}  // namespace kekd
