#include "base/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_split.h"

namespace kekd {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

class LogTest : public ::testing::Test {
 protected:
  ~LogTest() override { ConfigureLog(LogLevel::kInfo, LogFormat::kText); }

  // What `call` writes to standard error.
  template <typename Call>
  static std::string Logged(Call call) {
    ::testing::internal::CaptureStderr();
    call();
    return ::testing::internal::GetCapturedStderr();
  }
};

TEST_F(LogTest, WritesOneTextLineWithTimeLevelEventAndFields) {
  const std::string line = Logged([] {
    LogWarning("key created", {{"version", 7}, {"key_id", "prod.7.00ff"}});
  });
  EXPECT_THAT(line, MatchesRegex("[0-9]+-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9]"
                                 "[.][0-9][0-9][0-9]Z warning key created version=7 "
                                 "key_id=prod[.]7[.]00ff\n"));
}

TEST_F(LogTest, WritesNothingBelowItsLevel) {
  ConfigureLog(LogLevel::kWarning, LogFormat::kText);
  EXPECT_EQ(Logged([] { LogInfo("quiet"); }), "");
  EXPECT_NE(Logged([] { LogError("loud"); }), "");
  EXPECT_FALSE(LogEnabled(LogLevel::kInfo));
  EXPECT_TRUE(LogEnabled(LogLevel::kWarning));
}

// A peer must neither forge a line nor speak to the operator's terminal.
TEST_F(LogTest, TextHoldsNoControlByteOfAValue) {
  std::string value;
  for (int c = 0; c < 256; ++c) value.push_back(static_cast<char>(c));
  value +=
      "\xc2\x9b"
      "31m";  // U+009B, a terminal's one-character ESC [
  const std::string line = Logged([&] { LogInfo("event", {{"value", value}}); });
  ASSERT_THAT(line, EndsWith("\n"));
  for (const char c : line.substr(0, line.size() - 1)) {
    ASSERT_TRUE(c >= ' ' && c < 0x7f) << "byte " << static_cast<int>(static_cast<uint8_t>(c));
  }
}

TEST_F(LogTest, TextQuotesWhatCouldBeTakenForAnotherField) {
  EXPECT_THAT(Logged([] {
                LogInfo("e", {{"a", "x level=error"}});
              }),
              HasSubstr("a=\"x level=error\"\n"));
  EXPECT_THAT(Logged([] {
                LogInfo("e", {{"a", "x\" b=\"y"}});
              }),
              HasSubstr("a=\"x\\\" b=\\\"y\"\n"));
  EXPECT_THAT(Logged([] { LogInfo("e", {{"a", "x\ny"}}); }), HasSubstr("a=\"x\\ny\"\n"));
  EXPECT_THAT(Logged([] { LogInfo("e", {{"a", ""}}); }), HasSubstr("a=\"\"\n"));
  EXPECT_THAT(Logged([] {
                LogInfo("e", {{"a", "plain/path-1.2"}});
              }),
              HasSubstr("a=plain/path-1.2\n"));
}

TEST_F(LogTest, JsonIsValidWhateverTheValue) {
  ConfigureLog(LogLevel::kInfo, LogFormat::kJson);
  std::string value = "\"\\\x1b[31m\n\xff\xc0\x80\xc2\x9b";
  value.push_back('\0');
  const std::string line = Logged([&] { LogInfo("event", {{"value", value}, {"n", 3}}); });
  const nlohmann::json parsed = nlohmann::json::parse(line, nullptr, false);
  ASSERT_FALSE(parsed.is_discarded()) << line;
  EXPECT_EQ(parsed["level"], "info");
  EXPECT_EQ(parsed["event"], "event");
  EXPECT_EQ(parsed["n"], "3");
  EXPECT_THAT(parsed["value"].get<std::string>(), HasSubstr("\"\\\x1b[31m\n"));
  for (const char c : line.substr(0, line.size() - 1)) ASSERT_TRUE(c >= ' ' && c < 0x7f) << line;
}

TEST_F(LogTest, LinesOfManyThreadsStayWhole) {
  constexpr size_t kThreads = 8;
  constexpr size_t kLines = 50;
  const std::string written = Logged([] {
    std::vector<std::jthread> threads;
    for (size_t i = 0; i < kThreads; ++i) {
      threads.emplace_back([] {
        for (size_t n = 0; n < kLines; ++n) LogInfo("event", {{"v", std::string(200, 'x')}});
      });
    }
  });
  const std::vector<std::string> lines = absl::StrSplit(written, '\n', absl::SkipEmpty());
  EXPECT_EQ(lines.size(), kThreads * kLines);
  for (const std::string& line : lines) {
    EXPECT_THAT(line, EndsWith(" info event v=" + std::string(200, 'x')));
    EXPECT_EQ(std::count(line.begin(), line.end(), '='), 1);
  }
}

}  // namespace
}  // namespace kekd
