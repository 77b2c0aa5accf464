#include "cluster/recovery/json_text.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

namespace kekd {
namespace {

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
