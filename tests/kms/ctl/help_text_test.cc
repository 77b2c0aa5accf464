#include "kms/ctl/help_text.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "kms/config/exit_code.h"
#include "tests/support/temp_directory.h"

namespace kekd {
namespace {

using ::kekd::testing::ReadTestFile;
using ::kekd::testing::WriteTestFile;

// The help of everything, as a user would ask for it.
std::string AllHelp() {
  const CommandTree& tree = KekctlCommandTree();
  std::string text = absl::StrCat("$ kekctl --help\n", TopHelp(tree));
  for (const VerbSection& section : tree.sections) {
    for (const GroupDescription& group : section.groups) {
      absl::StrAppend(&text, "\n$ kekctl ", group.path, " --help\n", GroupHelp(tree, group));
    }
    for (const VerbDescription& verb : section.verbs) {
      absl::StrAppend(&text, "\n$ kekctl ", verb.path, " --help\n", VerbHelp(tree, verb));
    }
  }
  return text;
}

TEST(HelpTextTest, IsTheSameAsInTheGoldenFile) {
  const std::string golden = KEKD_TEST_DATA "/kekctl_help.txt";
  const std::string is = AllHelp();
  const std::string was = ReadTestFile(golden);
  if (is == was) return;
  const std::string path = ::testing::TempDir() + "kekctl_help.txt";
  WriteTestFile(path, is);
  ADD_FAILURE() << "read the difference, and if it is meant:\n  cp " << path << " " << golden;
}

TEST(HelpTextTest, FitsEightyColumns) {
  for (const absl::string_view line : absl::StrSplit(AllHelp(), '\n')) {
    EXPECT_LE(line.size(), 80u) << line;
    EXPECT_FALSE(!line.empty() && line.back() == ' ') << line;
  }
}

TEST(HelpTextTest, HasEveryExitCode) {
  std::set<int> codes;
  for (const auto& [code, meaning] : ExitCodeMeanings()) codes.insert(code);
  for (int code = kExitOk; code <= kExitPermission; ++code)
    EXPECT_TRUE(codes.contains(code)) << code;
}

TEST(HelpTextTest, ShowsWhatIsNeededAndWhatIsNot) {
  const VerbDescription verb = {
      .path = "a b",
      .arguments = {{.name = "ONE"}, {.name = "TWO", .required = false}},
      .options = {{.name = "--needed", .value = "N", .required = true}, {.name = "--flag"}}};
  EXPECT_EQ(Synopsis(verb), "a b ONE [TWO] --needed N [OPTIONS]");
  EXPECT_EQ(Synopsis({.path = "c", .config = ConfigUse::kNone}), "c");
}

TEST(HelpTextTest, ShowsOptions) {
  EXPECT_EQ(OptionSyntax({.name = "--output", .short_name = "-o", .value = "FORMAT"}),
            "-o, --output FORMAT");
  EXPECT_EQ(OptionSyntax({.name = "--flag"}), "--flag");
  EXPECT_EQ(OptionHelp({.name = "--n", .value = "N", .help = "a number", .default_value = "5"}),
            "a number (default: 5)");
  EXPECT_EQ(OptionHelp({.name = "--n", .help = "a number", .required = true, .repeatable = true}),
            "a number (needed) (may be given several times)");
}

TEST(HelpTextTest, WrapsBetweenWords) {
  EXPECT_EQ(WrapText("aaa bbb ccc", 2, 9), "aaa bbb\n  ccc");
  EXPECT_EQ(WrapText("", 2, 9), "");
  EXPECT_EQ(WrapText("longerthanthis a", 0, 5), "longerthanthis\na");
}

}  // namespace
}  // namespace kekd
