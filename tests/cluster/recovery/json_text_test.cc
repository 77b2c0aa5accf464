#include "cluster/recovery/json_text.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

namespace kekd {
namespace {

TEST(JsonTextTest, TellsUtf8) {
  for (const std::string good : {"", "plain", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80",
                                 "\xed\x9f\xbf", "\xee\x80\x80", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_TRUE(IsUtf8(good)) << good;
  }
  for (const std::string bad :
       {"\x80", "\xc0\xaf", "\xc1\xbf", "\xe0\x80\x80", "\xed\xa0\x80", "\xf0\x80\x80\x80",
        "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "\xe2\x82", "a\xc3", "\xe2\x28\xa1"}) {
    EXPECT_FALSE(IsUtf8(bad));
  }
}

// Another's parser reads back what was written, whatever character it is.
TEST(JsonTextTest, WritesStringsThatAParserReadsBack) {
  std::string text;
  for (int c = 0; c < 128; ++c) text.push_back(static_cast<char>(c));
  text += "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80";
  for (const std::string& each : {text, std::string(), std::string("\"\\"), std::string("\n\n")}) {
    SecretBuilder out;
    AppendJsonString(each, out);
    const SecretBytes written = out.Take();
    EXPECT_EQ(nlohmann::json::parse(AsText(written.Reveal(SecretAccessToken()))), each);
  }
}

}  // namespace
}  // namespace kekd
