#include "base/utf8.h"

#include <gtest/gtest.h>

#include <string>

namespace kekd {
namespace {

TEST(Utf8Test, TellsItFromOtherBytes) {
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

TEST(Utf8Test, KnowsHowLongACharacterIs) {
  EXPECT_EQ(Utf8CharacterBytes(""), 0u);
  EXPECT_EQ(Utf8CharacterBytes("ab"), 1u);
  EXPECT_EQ(Utf8CharacterBytes("\xe2\x82\xac."), 3u);
  EXPECT_EQ(Utf8CharacterBytes("\xe2\x82"), 0u);
}

}  // namespace
}  // namespace kekd
