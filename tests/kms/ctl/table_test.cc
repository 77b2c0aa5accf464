#include "kms/ctl/table.h"

#include <gtest/gtest.h>

namespace kekd {
namespace {

TEST(TableTest, LinesColumnsUpWithoutBlanksAtTheEnd) {
  Table table({"NAME", "N"});
  table.Add({"größer", "1"});
  table.Add({"a", ""});
  EXPECT_EQ(table.ToString(), "NAME    N\ngrößer  1\na       -\n");
}

TEST(TableTest, EscapesWhatWouldSteerTheTerminal) {
  Table table({"NAME"});
  table.Add({"a\x1b[2J\nb"});
  EXPECT_EQ(table.ToString(), "NAME\na\\x1b[2J\\x0ab\n");
  EXPECT_EQ(Printable("\"it's\" C:\\x"), "\"it's\" C:\\x");
  EXPECT_EQ(Printable("\xff…\x7f"), "\\xff…\\x7f");
  EXPECT_EQ(Printable("\xc2\x9b"), "\\xc2\\x9b");
  EXPECT_EQ(Printable("\xe2\x80"), "\\xe2\\x80");
  EXPECT_EQ(Printable("a\u202eb"), "a\\xe2\\x80\\xaeb");
  for (const char* turns : {"\u061c", "\u200e", "\u200f", "\u202a", "\u2066", "\u2069"}) {
    EXPECT_EQ(Printable(turns)[0], '\\') << turns;
  }
  for (const char* plain : {"\u200d", "\u2010", "\u2029", "\u202f", "\u2065", "\u206a", "\u061b"}) {
    EXPECT_EQ(Printable(plain), plain);
  }
}

TEST(TableTest, ColorsDontMoveColumns) {
  Table table({"NAME", "STATE", "N"});
  table.Add({"a", "ok", "1"});
  table.SetTone(1, Tone::kGood);
  EXPECT_EQ(table.ToString(Colors::kOn), "NAME  STATE  N\na     \x1b[32mok\x1b[0m     1\n");
  EXPECT_EQ(table.ToString(), "NAME  STATE  N\na     ok     1\n");
}

TEST(TableTest, FormatsTimes) {
  const absl::Time time = absl::FromUnixSeconds(1700000000);
  const int64_t millis = absl::ToUnixMillis(time);
  EXPECT_EQ(FormatMillis(millis), "2023-11-14T22:13:20Z");
  EXPECT_EQ(FormatMillis(0), "");
  EXPECT_EQ(FormatMillisWithAge(millis, time + absl::Minutes(192)),
            "2023-11-14T22:13:20Z (3h12m ago)");
  EXPECT_EQ(FormatMillisWithAge(0, time), "-");
  EXPECT_EQ(FormatMillisAsAge(millis, time + absl::Minutes(192)), "3h12m ago");
  EXPECT_EQ(FormatMillisAsAge(0, time), "-");
}

TEST(TableTest, FormatsAges) {
  EXPECT_EQ(FormatAge(absl::Seconds(-5)), "0s");
  EXPECT_EQ(FormatAge(absl::Seconds(59)), "59s");
  EXPECT_EQ(FormatAge(absl::Seconds(60)), "1m");
  EXPECT_EQ(FormatAge(absl::Hours(23)), "23h0m");
  EXPECT_EQ(FormatAge(absl::Hours(24 * 17 + 4)), "17d4h");
}

TEST(TableTest, FormatsLatencies) {
  EXPECT_EQ(FormatLatency(absl::Microseconds(85)), "85us");
  EXPECT_EQ(FormatLatency(absl::Microseconds(1250)), "1.25ms");
}

}  // namespace
}  // namespace kekd
