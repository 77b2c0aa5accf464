#include "kms/man/manual.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace kekd {
namespace {

using ::kekd::testing::StatusIs;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

TEST(ManualTest, ReadsAHelpText) {
  KEKD_ASSERT_OK_AND_ASSIGN(const std::string page, ManualFromHelp(R"(Usage: kekd --config FILE

kekd keeps keys,
and so on.

  --config FILE   the configuration,
                  which is YAML
  --help          print this

Environment:
  -x   no option

Exit codes: 0 ended; 1 failure:
of any kind.

Example: kekd --config a
)"));
  EXPECT_THAT(page, HasSubstr(".SH SYNOPSIS\n\\fBkekd \\-\\-config FILE\\fR\n"));
  EXPECT_THAT(page, HasSubstr(".SH DESCRIPTION\nkekd keeps keys, and so on.\n"));
  EXPECT_THAT(page,
              HasSubstr(".SH OPTIONS\n.TP\n\\fB\\-\\-config FILE\\fR\nthe configuration, which "
                        "is YAML\n.TP\n\\fB\\-\\-help\\fR\nprint this\n"));
  EXPECT_THAT(page, HasSubstr(".SH ENVIRONMENT\n.TP\n\\fB\\-x\\fR\nno option\n"));
  EXPECT_THAT(page,
              HasSubstr(".SH EXIT STATUS\n.TP\n\\fB0\\fR\nended\n.TP\n\\fB1\\fR\nfailure: of any "
                        "kind\n"));
  EXPECT_THAT(page, HasSubstr(".SH EXAMPLES\n.RS 4\n.EX\nkekd \\-\\-config a\n.EE\n.RE\n"));
}

TEST(ManualTest, RefusesWhatIsNoHelpText) {
  for (const char* text : {"", "kekd does this\n\nand that\n", "Usage: kekd\n"}) {
    EXPECT_THAT(ManualFromHelp(text), StatusIs(kInvalid)) << text;
  }
}

TEST(ManualTest, ReadsTheConfigurationPage) {
  KEKD_ASSERT_OK_AND_ASSIGN(const std::string page, ManualFromConfigurationPage(R"(# Configuration

One file, `kekd.yaml`,
**strict** ([why](why.md)).

- one
  item
- two

```yaml
a: 1

b: 'x'
```

| field | default | meaning |
|---|---|---|
| `a` | required | what `a` is |
| `b` | `"x"` | text |

## More

Text.
)"));
  EXPECT_THAT(page, HasSubstr(".SH DESCRIPTION\nOne file, \\fBkekd.yaml\\fR, \\fBstrict\\fR "
                              "(why).\n"));
  EXPECT_THAT(page, HasSubstr(".IP \\(bu 2\none item\n.IP \\(bu 2\ntwo\n"));
  EXPECT_THAT(page, HasSubstr(".EX\na: 1\n\nb: \\(aqx\\(aq\n.EE\n"));
  EXPECT_THAT(page, HasSubstr(".TP\n\\fBa\\fR\nwhat \\fBa\\fR is. Required.\n"));
  EXPECT_THAT(page, HasSubstr(".TP\n\\fBb\\fR\ntext. Default: \\fB\\(dqx\\(dq\\fR.\n"));
  EXPECT_THAT(page, HasSubstr(".SH MORE\nText.\n"));
  EXPECT_THAT(page, Not(HasSubstr("field")));
}

TEST(ManualTest, KeepsMarksThatHaveNoPartner) {
  KEKD_ASSERT_OK_AND_ASSIGN(const std::string page,
                            ManualFromConfigurationPage("a * b [c] `d **e\n"));
  EXPECT_THAT(page, HasSubstr("\na * b [c] \\(gad **e\n"));
}

TEST(ManualTest, RefusesWhatItWouldLose) {
  EXPECT_THAT(ManualFromConfigurationPage("```\na\n"), StatusIs(kInvalid, HasSubstr("fence")));
  EXPECT_THAT(ManualFromConfigurationPage("| a | b |\n|---|---|\n| 1 | 2 |\n"),
              StatusIs(kInvalid, HasSubstr("2 cells")));
}

}  // namespace
}  // namespace kekd
