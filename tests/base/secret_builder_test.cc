#include "base/secret_builder.h"

#include <gtest/gtest.h>

#include <string>

namespace kekd {
namespace {

std::string Shown(const SecretBytes& secret) {
  return std::string(AsText(secret.Reveal(SecretAccessToken())));
}

TEST(SecretBuilderTest, GrowsAndGivesAway) {
  SecretBuilder builder;
  std::string expected;
  for (int i = 0; i < 3000; ++i) {
    builder.Append("ab");
    expected += "ab";
  }
  EXPECT_EQ(Shown(builder.Take()), expected);
  EXPECT_TRUE(builder.Take().empty());
  builder.Append("again");
  EXPECT_EQ(Shown(builder.Take()), "again");
}

// The vectors of RFC 4648, section 10.
TEST(SecretBuilderTest, WritesBase64) {
  const std::pair<const char*, const char*> vectors[] = {{"", ""},
                                                         {"f", "Zg=="},
                                                         {"fo", "Zm8="},
                                                         {"foo", "Zm9v"},
                                                         {"foob", "Zm9vYg=="},
                                                         {"fooba", "Zm9vYmE="},
                                                         {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, encoded] : vectors) {
    SecretBuilder builder;
    builder.Append("<");
    builder.AppendBase64(AsBytes(plain));
    builder.Append(">");
    EXPECT_EQ(Shown(builder.Take()), std::string("<") + encoded + ">");
  }
  SecretBuilder builder;
  builder.AppendBase64(AsBytes("\xfb\xff\xfe"));
  EXPECT_EQ(Shown(builder.Take()), "+//+");
}

}  // namespace
}  // namespace kekd
