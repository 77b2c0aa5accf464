#include "keystore/share_words.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/support/secrets.h"
#include "tests/support/status_matchers.h"

namespace kekd {
namespace {

using ::kekd::testing::RevealedHex;
using ::kekd::testing::RevealedText;
using ::kekd::testing::SecretFromHex;
using ::kekd::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

std::string Words(absl::string_view hex) { return RevealedText(EncodeWords(SecretFromHex(hex))); }

absl::StatusOr<std::string> Bytes(absl::string_view text, size_t size) {
  const absl::StatusOr<SecretBytes> bytes = DecodeWords(AsBytes(text), size);
  if (!bytes.ok()) return bytes.status();
  return RevealedHex(*bytes);
}

// The addresses of the proposal's own table (arXiv:0901.4016, section 3).
TEST(ShareWordsTest, WordsAreThePublishedOnes) {
  EXPECT_EQ(Words("7f000001"), " 1: lusab babad\n");  // 127.0.0.1
  EXPECT_EQ(Words("3f54dcc1"), " 1: gutih tugad\n");  // 63.84.220.193
  EXPECT_EQ(Words("3f760723"), " 1: gutuk bisog\n");  // 63.118.7.35
  EXPECT_EQ(Words("8c62c18d"), " 1: mudof sakat\n");  // 140.98.193.141
  EXPECT_EQ(Words("40ff06c8"), " 1: haguz biram\n");  // 64.255.6.200
  EXPECT_EQ(Words("801e342d"), " 1: mabiv gibot\n");  // 128.30.52.45
  EXPECT_EQ(Words("93437702"), " 1: natag lisaf\n");  // 147.67.119.2
  EXPECT_EQ(Words("d43afd44"), " 1: tibup zujah\n");  // 212.58.253.68
  EXPECT_EQ(Words("d82344d7"), " 1: tobog higil\n");  // 216.35.68.215
  EXPECT_EQ(Words("d844e815"), " 1: todah vobij\n");  // 216.68.232.21
  EXPECT_EQ(Words("c6518188"), " 1: sinid makam\n");  // 198.81.129.136
  EXPECT_EQ(Words("0c6e6ecc"), " 1: budov kuras\n");  // 12.110.110.204
}

TEST(ShareWordsTest, LinesAreNumbered) {
  std::string hex;
  for (int i = 0; i < 80; ++i) absl::StrAppend(&hex, "0000");
  const std::string text = Words(hex);
  EXPECT_THAT(text, HasSubstr(" 1: babab babab babab babab\n 2: babab "));
  EXPECT_THAT(text, HasSubstr("\n10: babab babab babab babab\n11: "));
  EXPECT_EQ(Words("000000000000000000ff"), " 1: babab babab babab babab\n 2: baguz\n");
  EXPECT_EQ(Words(""), "");
  EXPECT_EQ(LineOfWord(1), 1u);
  EXPECT_EQ(LineOfWord(4), 1u);
  EXPECT_EQ(LineOfWord(5), 2u);
}

TEST(ShareWordsTest, EveryWordIsReadAgain) {
  for (uint32_t word = 0; word <= 0xffff; ++word) {
    const uint8_t bytes[] = {static_cast<uint8_t>(word >> 8), static_cast<uint8_t>(word)};
    const SecretBytes text = EncodeWords(SecretBytes::CopyOf(bytes));
    const absl::StatusOr<SecretBytes> again =
        DecodeWords(text.Reveal(SecretAccessToken()), sizeof(bytes));
    ASSERT_TRUE(again.ok() && again->Reveal(SecretAccessToken()) == ByteView(bytes)) << word;
  }
}

TEST(ShareWordsTest, TakesWhatPeopleWrite) {
  const std::string hex = "7f0000013f54dcc1";
  for (const absl::string_view text :
       {"lusab babad gutih tugad", " 1: lusab babad gutih tugad\n", "LUSAB Babad guTIH tugad.",
        "lusab-babad-gutih-tugad", "1. lusab, babad\r\n2. gutih, tugad\r\n",
        "1\nlusab\n2\nbabad\n3\ngutih\n4\ntugad", "\tlusab\tbabad\n\n\ngutih\n\ntugad\n\n"}) {
    EXPECT_EQ(*Bytes(text, 8), hex) << text;
  }
}

TEST(ShareWordsTest, NamesTheFirstWordThatIsNone) {
  for (const absl::string_view wrong :
       {"gutxh", "gutih2", "guti", "gutihh", "aguti", "gateh", "gut1h", "g\xc3\xbctih", "!"}) {
    const std::string text = absl::StrCat("1: lusab babad\n2: ", wrong, " tugad");
    EXPECT_THAT(Bytes(text, 8),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         AllOf(HasSubstr("word 3 (in line 1)"), Not(HasSubstr(wrong)))))
        << wrong;
  }
  EXPECT_THAT(Bytes("lusab babad gutih tugad lusab 6 babac", 12),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("word 6 (in line 2)")));
}

TEST(ShareWordsTest, TellsHowManyWordsThereAre) {
  EXPECT_THAT(Bytes("lusab babad gutih", 8),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("3 words"), HasSubstr("has 4"), HasSubstr("missing"))));
  EXPECT_THAT(Bytes("lusab babad gutih tugad lusab", 8),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("5 words"), HasSubstr("too many"))));
  EXPECT_THAT(Bytes("", 8), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("0 words")));
  EXPECT_EQ(*Bytes("", 0), "");
}

TEST(ShareWordsTest, OtherLettersGiveEachOtherWordOnce) {
  for (const uint16_t word : {uint16_t{0}, uint16_t{0xffff}, uint16_t{0x3f54}}) {
    std::set<uint16_t> others;
    for (size_t which = 0; which < kOtherWords; ++which) {
      const uint16_t other = WithOneOtherLetter(word, which);
      const std::string before = Words(absl::StrCat(absl::Hex(word, absl::kZeroPad4)));
      const std::string after = Words(absl::StrCat(absl::Hex(other, absl::kZeroPad4)));
      int different = 0;
      for (size_t i = 0; i < before.size(); ++i) different += before[i] != after[i] ? 1 : 0;
      EXPECT_EQ(different, 1);
      others.insert(other);
    }
    EXPECT_EQ(others.size(), kOtherWords);
  }
}

}  // namespace
}  // namespace kekd
