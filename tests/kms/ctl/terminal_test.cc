#include "kms/ctl/terminal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/fakes/fake_clock.h"

namespace kekd {
namespace {

using ::kekd::testing::FakeClock;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(TerminalTest, PaintsTonesOnlyIfAsked) {
  EXPECT_EQ(Painted("ok", Tone::kGood, Colors::kOn), "\x1b[32mok\x1b[0m");
  EXPECT_EQ(Painted("ok", Tone::kWarning, Colors::kOn), "\x1b[33mok\x1b[0m");
  EXPECT_EQ(Painted("ok", Tone::kBad, Colors::kOn), "\x1b[31mok\x1b[0m");
  EXPECT_EQ(Painted("ok", Tone::kPlain, Colors::kOn), "ok");
  EXPECT_EQ(Painted("ok", Tone::kBad, Colors::kOff), "ok");
}

TEST(TerminalTest, HasColorsOnlyWhereTheyAreWanted) {
  EXPECT_EQ(ColorsFor({.is_terminal = true, .term = "xterm"}), Colors::kOn);
  EXPECT_EQ(ColorsFor({.is_terminal = true, .no_color = "", .term = "xterm"}), Colors::kOn);
  EXPECT_EQ(ColorsFor({.is_terminal = true, .no_color = "1", .term = "xterm"}), Colors::kOff);
  EXPECT_EQ(ColorsFor({.is_terminal = true, .term = "dumb"}), Colors::kOff);
  EXPECT_EQ(ColorsFor({.is_terminal = true, .term = ""}), Colors::kOff);
  EXPECT_EQ(ColorsFor({.is_terminal = true}), Colors::kOff);
  EXPECT_EQ(ColorsFor({.is_terminal = false, .term = "xterm"}), Colors::kOff);
}

TEST(TerminalTest, RewritesProgressOnlyOnATerminal) {
  EXPECT_EQ(ProgressStyleFor({.is_terminal = true, .term = "xterm"}), ProgressStyle::kRewrite);
  EXPECT_EQ(ProgressStyleFor({.is_terminal = true, .no_color = "1", .term = "xterm"}),
            ProgressStyle::kRewrite);
  EXPECT_EQ(ProgressStyleFor({.is_terminal = true, .term = "dumb"}), ProgressStyle::kLines);
  EXPECT_EQ(ProgressStyleFor({.is_terminal = false, .term = "xterm"}), ProgressStyle::kLines);
}

class ProgressTest : public ::testing::Test {
 protected:
  Progress::Options Options(ProgressStyle style) {
    return {.what = "counting",
            .total = 200,
            .style = style,
            .clock = &clock_,
            .write = [this](absl::string_view text) { written_.emplace_back(text); }};
  }

  FakeClock clock_;
  std::vector<std::string> written_;
};

TEST_F(ProgressTest, SaysNothingOfShortWork) {
  for (const ProgressStyle style :
       {ProgressStyle::kSilent, ProgressStyle::kLines, ProgressStyle::kRewrite}) {
    Progress progress(Options(style));
    progress.Update(1);
    clock_.Advance(absl::Milliseconds(499));
    progress.Update(199);
  }
  EXPECT_THAT(written_, IsEmpty());
}

TEST_F(ProgressTest, RewritesOneLineAndTakesItAway) {
  {
    Progress progress(Options(ProgressStyle::kRewrite));
    clock_.Advance(absl::Seconds(1));
    progress.Update(50);
    progress.Update(51);
    clock_.Advance(absl::Seconds(1));
    progress.Update(100);
  }
  EXPECT_THAT(written_,
              ElementsAre("\r\x1b[Kkekctl: counting: 50 of 200 (25%), 3s left",
                          "\r\x1b[Kkekctl: counting: 100 of 200 (50%), 2s left", "\r\x1b[K"));
}

TEST_F(ProgressTest, WritesALineEveryFewSecondsElsewhere) {
  {
    Progress progress(Options(ProgressStyle::kLines));
    clock_.Advance(absl::Seconds(5));
    progress.Update(0);
    clock_.Advance(absl::Seconds(4));
    progress.Update(10);
    clock_.Advance(absl::Seconds(1));
    progress.Update(200);
  }
  EXPECT_THAT(written_, ElementsAre("kekctl: counting: 0 of 200\n",
                                    "kekctl: counting: 200 of 200 (100%), 0s left\n"));
}

TEST_F(ProgressTest, IsSilentIfAskedToBe) {
  Progress progress(Options(ProgressStyle::kSilent));
  clock_.Advance(absl::Hours(1));
  progress.Update(100);
  EXPECT_THAT(written_, IsEmpty());
}

}  // namespace
}  // namespace kekd
