#include "kms/ctl/encryption_config.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kms/ctl/commands.h"
#include "tests/kms/ctl/test_command.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace kekd {
namespace {

using ::kekd::testing::ReadTestFile;
using ::kekd::testing::StatusIs;
using ::kekd::testing::TestCommand;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

EncryptionConfigOptions Options() {
  return {.rules = {{.resources = {"secrets", "*.example.com"},
                     .provider_name = "kekd-prod",
                     .endpoint = "unix:///run/kekd/prod.sock"}},
          .phase = {}};
}

EncryptionConfigOptions OneRule(std::vector<std::string> resources) {
  EncryptionConfigOptions options = Options();
  options.rules.front().resources = std::move(resources);
  return options;
}

// One rule a resource, in this order.
EncryptionConfigOptions Rules(const std::vector<std::string>& resources) {
  EncryptionConfigOptions options;
  for (const std::string& resource : resources) {
    options.rules.push_back({.resources = {resource},
                             .provider_name = "p" + std::to_string(options.rules.size()),
                             .endpoint = "unix:///run/kekd/prod.sock"});
  }
  return options;
}

// "resources=name@endpoint" of each rule.
std::vector<std::string> Described(const EncryptionConfigOptions& options) {
  std::vector<std::string> described;
  for (const EncryptionRule& rule : options.rules) {
    described.push_back(absl::StrCat(absl::StrJoin(rule.resources, ","), "=", rule.provider_name,
                                     "@", rule.endpoint));
  }
  return described;
}

// Two keyrings, a and b, on sockets of their names.
Config TwoRings() {
  Config config;
  for (const char* const name : {"a", "b"}) {
    KeyringConfig keyring;
    keyring.name = name;
    keyring.socket.path = absl::StrCat("/run/kekd/", name, ".sock");
    config.keyrings.push_back(keyring);
  }
  return config;
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
    options.rules.front().provider_name = name;
    KEKD_EXPECT_OK(ValidateEncryptionConfig(options));
    EXPECT_THAT(EncryptionConfigYaml(options),
                HasSubstr(std::string("      name: \"") + name + "\"\n"));
  }
}

TEST(EncryptionConfigTest, RefusesProviderNamesThatEtcdValuesCouldNotCarry) {
  for (const std::string& name : {std::string("a:b"), std::string(), std::string("a b"),
                                  std::string("a\"b"), std::string(254, 'a')}) {
    EncryptionConfigOptions options = Options();
    options.rules.front().provider_name = name;
    EXPECT_THAT(ValidateEncryptionConfig(options),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("provider name")));
  }
}

TEST(EncryptionConfigTest, RefusesWhatIsNoResource) {
  for (const char* resource : {"", "Secrets", "a b", "a\nb", "secrets/status", ".apps",
                               "deployments..apps", "sec*", "a.*b", "-a", "deployments.apps."}) {
    EXPECT_THAT(ValidateEncryptionConfig(OneRule({resource})),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("as kube-apiserver does")))
        << resource;
  }
}

TEST(EncryptionConfigTest, RefusesWhatTheApiServerNeverEncrypts) {
  const std::vector<std::pair<const char*, const char*>> refusals = {
      {"*", "write \"*.\" for everything in the core group"},
      {"secrets.*", "across all groups"},
      {"events.events.k8s.io", "stored as \"events\""},
      {"*.events.k8s.io", "stored as \"events\""},
      {"ingresses.extensions", "has removed that group"},
      {"apiserveripinfo", "never encrypts"},
      {"serviceipallocations", "never encrypts"},
      {"servicenodeportallocations", "never encrypts"},
  };
  for (const auto& [resource, why] : refusals) {
    EXPECT_THAT(ValidateEncryptionConfig(OneRule({resource})),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(why)))
        << resource;
  }
}

TEST(EncryptionConfigTest, TakesEveryResourceThatTheApiServerTakes) {
  for (const char* resource : {"secrets", "secrets.", "deployments.apps", "*.", "*.apps", "*.*",
                               "widgets.a.example.com", "*.a.example.com", "events"}) {
    KEKD_EXPECT_OK(ValidateEncryptionConfig(OneRule({resource}))) << resource;
  }
}

TEST(EncryptionConfigTest, RefusesOverlapsInOneList) {
  EXPECT_THAT(ValidateEncryptionConfig(OneRule({"secrets", "configmaps", "secrets."})),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("second time")));
  for (const auto& resources : std::vector<std::vector<std::string>>{{"secrets", "*."},
                                                                     {"*.", "secrets"},
                                                                     {"deployments.apps", "*.apps"},
                                                                     {"*.*", "secrets"},
                                                                     {"*.apps", "*.*"}}) {
    EXPECT_THAT(ValidateEncryptionConfig(OneRule(resources)),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("use --per-resource")));
  }
  KEKD_EXPECT_OK(ValidateEncryptionConfig(OneRule({"secrets", "*.apps", "events"})));
}

TEST(EncryptionConfigTest, RefusesRulesThatAnEarlierOneMasks) {
  KEKD_EXPECT_OK(
      ValidateEncryptionConfig(Rules({"secrets", "deployments.apps", "*.", "*.apps", "*.*"})));
  for (const auto& resources : std::vector<std::vector<std::string>>{
           {"*.", "secrets"}, {"*.*", "*."}, {"*.apps", "deployments.apps"}}) {
    EXPECT_THAT(ValidateEncryptionConfig(Rules(resources)),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("which masks it")));
  }
  EXPECT_THAT(ValidateEncryptionConfig(Rules({"secrets", "secrets"})),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("second time")));
}

TEST(EncryptionConfigTest, RefusesANameTwiceAndMoreEntriesThanConnections) {
  EncryptionConfigOptions options = Rules({"secrets", "configmaps"});
  options.rules[1].provider_name = options.rules[0].provider_name;
  EXPECT_THAT(ValidateEncryptionConfig(options),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("each name once")));

  std::vector<std::string> many;
  for (size_t i = 0; i < kMaxRulesPerEndpoint; ++i) many.push_back(absl::StrCat("r", i));
  KEKD_EXPECT_OK(ValidateEncryptionConfig(Rules(many)));
  many.push_back("one-more");
  EXPECT_THAT(ValidateEncryptionConfig(Rules(many)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("entries on one socket")));
}

TEST(EncryptionConfigTest, GivesEachResourceAnEntryWildcardsLast) {
  KEKD_ASSERT_OK_AND_ASSIGN(
      const EncryptionConfigOptions options,
      MakeEncryptionConfig(TwoRings(), "b",
                           {.resources = {"*.*", "secrets", "*.apps", "deployments.apps", "*."},
                            .phase = 2,
                            .provider_name = "",
                            .per_resource = true,
                            .map = {}}));
  KEKD_EXPECT_OK(ValidateEncryptionConfig(options));
  EXPECT_THAT(Described(options),
              ElementsAre("secrets=kekd-b-secrets@unix:///run/kekd/b.sock",
                          "deployments.apps=kekd-b-deployments.apps@unix:///run/kekd/b.sock",
                          "*.apps=kekd-b-all.apps@unix:///run/kekd/b.sock",
                          "*.=kekd-b-all@unix:///run/kekd/b.sock",
                          "*.*=kekd-b-all.all@unix:///run/kekd/b.sock"));
}

TEST(EncryptionConfigTest, MapsEachResourceToTheSocketOfItsKeyring) {
  const EncryptionConfigVerb verb = {.resources = {"secrets"},
                                     .phase = {},
                                     .provider_name = "",
                                     .per_resource = false,
                                     .map = {{"*.*", "b"}, {"secrets", "a"}, {"configmaps", "b"}}};
  KEKD_ASSERT_OK_AND_ASSIGN(const EncryptionConfigOptions options,
                            MakeEncryptionConfig(TwoRings(), "", verb));
  EXPECT_THAT(Described(options),
              ElementsAre("secrets=kekd-a-secrets@unix:///run/kekd/a.sock",
                          "configmaps=kekd-b-configmaps@unix:///run/kekd/b.sock",
                          "*.*=kekd-b-all.all@unix:///run/kekd/b.sock"));

  EncryptionConfigVerb named = verb;
  named.provider_name = "mine";
  KEKD_ASSERT_OK_AND_ASSIGN(const EncryptionConfigOptions others,
                            MakeEncryptionConfig(TwoRings(), "", named));
  EXPECT_EQ(others.rules[0].provider_name, "mine-secrets");
}

TEST(EncryptionConfigTest, RefusesMapsThatContradictTheRest) {
  EncryptionConfigVerb verb = {.resources = {},
                               .phase = {},
                               .provider_name = "",
                               .per_resource = false,
                               .map = {{"secrets", "c"}}};
  EXPECT_THAT(MakeEncryptionConfig(TwoRings(), "", verb),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("no keyring \"c\"; it has: a, b")));
  verb.map = {{"secrets", "a"}};
  EXPECT_THAT(MakeEncryptionConfig(TwoRings(), "a", verb),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("leave --keyring out")));
  verb.per_resource = true;
  EXPECT_THAT(MakeEncryptionConfig(TwoRings(), "", verb),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("leave --per-resource out")));
}

TEST(EncryptionConfigTest, PrintsEveryRuleInBothFormats) {
  const TestCommand command;
  for (const int phase : {1, 2}) {
    const EncryptionConfigVerb verb = {.resources = {"secrets", "*.apps"},
                                       .phase = phase,
                                       .provider_name = "",
                                       .per_resource = true,
                                       .map = {}};
    KEKD_ASSERT_OK_AND_ASSIGN(const CommandResult yaml,
                              PrintEncryptionConfig(command.Context(), verb));
    KEKD_ASSERT_OK_AND_ASSIGN(const CommandResult json,
                              PrintEncryptionConfig(command.Context(OutputFormat::kJson), verb));
    for (const char* const name : {"kekd-prod-secrets", "kekd-prod-all.apps"}) {
      EXPECT_THAT(yaml.output, HasSubstr(absl::StrCat("      name: ", name, "\n")));
      EXPECT_THAT(json.output, HasSubstr(absl::StrCat("\"name\": \"", name, "\"")));
    }
    const auto first = [](const std::string& text, const char* a, const char* b) {
      return text.find(a) < text.find(b);
    };
    EXPECT_EQ(first(yaml.output, "- identity", "- kms"), phase == 1);
    EXPECT_EQ(first(json.output, "\"identity\"", "\"kms\""), phase == 1);
  }
}

TEST(EncryptionConfigTest, NamesProviderAndEndpointAfterTheKeyring) {
  const TestCommand command;
  KEKD_ASSERT_OK_AND_ASSIGN(const CommandResult result,
                            PrintEncryptionConfig(command.Context(), {.resources = {"secrets"},
                                                                      .phase = 1,
                                                                      .provider_name = "",
                                                                      .per_resource = false,
                                                                      .map = {}}));
  EXPECT_THAT(result.output, HasSubstr("name: kekd-prod\n"));
  EXPECT_THAT(result.output,
              HasSubstr("endpoint: unix://" + command.folder().File("kekd.sock") + "\n"));
}

}  // namespace
}  // namespace kekd
