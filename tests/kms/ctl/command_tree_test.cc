#include "kms/ctl/command_tree.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "kms/ctl/command_line.h"
#include "tests/support/status_matchers.h"

namespace kekd {
namespace {

using ::testing::ElementsAre;

std::vector<const VerbDescription*> AllVerbs() {
  std::vector<const VerbDescription*> verbs;
  for (const VerbSection& section : KekctlCommandTree().sections) {
    for (const VerbDescription& verb : section.verbs) verbs.push_back(&verb);
  }
  return verbs;
}

void ExpectClause(const std::string& text, const std::string& where) {
  ASSERT_FALSE(text.empty()) << where;
  EXPECT_FALSE(absl::EndsWith(text, ".")) << where << ": " << text;
  // All but names ("EncryptionConfiguration") and numbers.
  EXPECT_FALSE(absl::ascii_isupper(text[0]) && absl::ascii_islower(text[1]))
      << where << ": " << text;
}

TEST(CommandTreeTest, FindsVerbsGroupsAndWhatFollows) {
  const CommandTree& tree = KekctlCommandTree();
  ASSERT_NE(tree.FindVerb("key promote"), nullptr);
  EXPECT_EQ(tree.FindVerb("key"), nullptr);
  ASSERT_NE(tree.FindGroup("key"), nullptr);
  EXPECT_EQ(tree.FindGroup("key promote"), nullptr);
  EXPECT_THAT(tree.NextWords("key"), ElementsAre("list", "show", "create", "adopt", "promote"));
  EXPECT_THAT(tree.NextWords("key promote"), ElementsAre());
}

TEST(CommandTreeTest, HasThreeLevels) {
  const CommandTree tree = {.sections = {{.title = "A",
                                          .groups = {{.path = "a"}, {.path = "a b"}},
                                          .verbs = {{.path = "a b c"}, {.path = "a d"}}}}};
  EXPECT_THAT(tree.NextWords(""), ElementsAre("a"));
  EXPECT_THAT(tree.NextWords("a"), ElementsAre("b", "d"));
  EXPECT_THAT(tree.NextWords("a b"), ElementsAre("c"));
  EXPECT_EQ(ParentPath("a b c"), "a b");
  EXPECT_EQ(ParentPath("a"), "");
  EXPECT_EQ(LastWord("a b c"), "c");
  EXPECT_EQ(ChildPath("a b", "c"), "a b c");
}

TEST(CommandTreeTest, EveryVerbIsDescribed) {
  std::set<std::string> paths;
  for (const VerbDescription* const verb : AllVerbs()) {
    EXPECT_TRUE(paths.insert(verb->path).second) << verb->path << " is there twice";
    EXPECT_NE(verb->read, nullptr) << verb->path;
    ExpectClause(verb->summary, verb->path);
    EXPECT_TRUE(absl::EndsWith(verb->description, ".")) << verb->path;
    EXPECT_FALSE(verb->examples.empty()) << verb->path;
    for (std::string group = ParentPath(verb->path); !group.empty(); group = ParentPath(group)) {
      EXPECT_NE(KekctlCommandTree().FindGroup(group), nullptr) << group;
    }
  }
}

TEST(CommandTreeTest, NoOptionOfAVerbHidesACommonOne) {
  for (const VerbDescription* const verb : AllVerbs()) {
    std::set<std::string> names;
    for (const OptionDescription& option : KekctlCommandTree().common_options) {
      names.insert({option.name, option.short_name});
    }
    names.erase("");
    for (const OptionDescription& option : verb->options) {
      EXPECT_TRUE(absl::StartsWith(option.name, "--")) << verb->path << option.name;
      EXPECT_TRUE(names.insert(option.name).second) << verb->path << option.name;
      if (!option.short_name.empty()) {
        EXPECT_EQ(option.short_name.size(), 2u) << verb->path << option.name;
        EXPECT_TRUE(names.insert(option.short_name).second) << verb->path << option.short_name;
      }
      ExpectClause(option.help, verb->path + option.name);
    }
  }
}

TEST(CommandTreeTest, NoNeededArgumentFollowsOneThatIsNot) {
  for (const VerbDescription* const verb : AllVerbs()) {
    bool optional_seen = false;
    for (const ArgumentDescription& argument : verb->arguments) {
      EXPECT_FALSE(optional_seen && argument.required) << verb->path;
      optional_seen = optional_seen || !argument.required;
      ExpectClause(argument.help, verb->path + argument.name);
    }
  }
}

// Proves as well that no reader asks for what its description does not have.
TEST(CommandTreeTest, EveryExampleIsACommandLineOfItsVerb) {
  for (const VerbDescription* const verb : AllVerbs()) {
    for (const std::string& example : verb->examples) {
      const std::string command = example.substr(0, example.find_first_of("<>|"));
      const std::vector<std::string> words = absl::StrSplit(command, ' ', absl::SkipEmpty());
      std::vector<const char*> arguments = {"kekctl"};
      for (const std::string& word : words) arguments.push_back(word.c_str());
      const absl::StatusOr<CommandLine> line =
          ParseCommandLine(static_cast<int>(arguments.size()), arguments.data());
      KEKD_EXPECT_OK(line) << example;
      EXPECT_TRUE(absl::StrContains(example, verb->path)) << example;
    }
  }
}

}  // namespace
}  // namespace kekd
