#include "kms/ctl/roff.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "kms/ctl/command_tree.h"
#include "kms/ctl/man_page.h"

namespace kekd {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(RoffTest, KeepsCharactersWhatTheyAre) {
  EXPECT_EQ(RoffText("a-b 'c' \"d\" `e` f^~\\n"),
            "a\\-b \\(aqc\\(aq \\(dqd\\(dq \\(gae\\(ga f\\(ha\\(ti\\en");
  EXPECT_EQ(RoffText("…é€"), "\\[u2026]\\[u00E9]\\[u20AC]");
  EXPECT_EQ(RoffText("\U0001f511"), "\\[u1F511]");
  EXPECT_EQ(RoffBold("-o"), "\\fB\\-o\\fR");
  EXPECT_EQ(RoffItalic("N"), "\\fIN\\fR");
}

TEST(RoffTest, TakesNoTextForARequest) {
  RoffPage page("a", "1", "b");
  page.Paragraph(RoffText(".so /etc/passwd"));
  page.Example({"'quoted", ".TH"});
  EXPECT_THAT(page.text(), HasSubstr("\n\\&.so /etc/passwd\n"));
  EXPECT_THAT(page.text(), HasSubstr("\n\\(aqquoted\n\\&.TH\n"));
}

TEST(RoffTest, BeginsAPage) {
  EXPECT_THAT(RoffPage("kekd.yaml", "5", "what it is").text(), StartsWith(".TH KEKD.YAML 5 \""));
  EXPECT_THAT(RoffPage("kekd.yaml", "5", "what it is").text(),
              EndsWith(".SH NAME\nkekd.yaml \\- what it is\n"));
}

TEST(ManPageTest, HasEveryVerbAndOption) {
  const std::string page = KekctlManPage(KekctlCommandTree());
  for (const VerbSection& section : KekctlCommandTree().sections) {
    for (const VerbDescription& verb : section.verbs) {
      EXPECT_THAT(page, HasSubstr(absl::StrCat(".SS ", RoffText("kekctl " + verb.path), "\n")));
      for (const OptionDescription& option : verb.options) {
        EXPECT_THAT(page, HasSubstr(RoffBold(option.name))) << verb.path;
      }
    }
  }
}

}  // namespace
}  // namespace kekd
