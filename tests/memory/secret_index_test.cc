#include "tests/memory/secret_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/bytes.h"
#include "base/hex.h"

namespace kekd::testing {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Ge;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr absl::string_view kSecret = "\x01secret of 32 bytes, all of it\xff\xfe";
// Place, size, kind and form.
using Hit = std::tuple<size_t, size_t, std::string, std::string>;

std::vector<Hit> Search(const SecretIndex& index, absl::string_view memory) {
  std::vector<Hit> hits;
  index.Search(AsBytes(memory),
               [&](size_t offset, size_t size, const SecretIndex::Pattern& pattern) {
                 hits.emplace_back(offset, size, pattern.kind, std::string(pattern.form));
               });
  return hits;
}

class SecretIndexTest : public ::testing::Test {
 protected:
  SecretIndexTest() {
    index_.Add("kek", AsBytes(kSecret));
    index_.Build();
  }
  SecretIndex index_;
};

TEST_F(SecretIndexTest, FindsEachEightBytesAtEachAddress) {
  for (size_t address = 0; address < 17; ++address) {
    for (size_t from = 0; from + 8 <= kSecret.size(); ++from) {
      const std::string memory =
          absl::StrCat(std::string(address, '.'), kSecret.substr(from, 8), "....");
      EXPECT_THAT(Search(index_, memory), ElementsAre(Hit(address, 8, "kek", "raw")));
    }
  }
}

TEST_F(SecretIndexTest, FindsAllWindowsOfAWholeSecret) {
  EXPECT_THAT(Search(index_, kSecret), SizeIs(kSecret.size() - 7));
}

TEST_F(SecretIndexTest, FindsNothingInLess) {
  EXPECT_THAT(Search(index_, kSecret.substr(0, 7)), IsEmpty());
  EXPECT_THAT(Search(index_, absl::StrCat("0", kSecret.substr(3, 7), "0")), IsEmpty());
  EXPECT_THAT(Search(index_, std::string(4096, '\0')), IsEmpty());
  EXPECT_THAT(Search(index_, ""), IsEmpty());
}

TEST_F(SecretIndexTest, FindsDigitsOfEitherCase) {
  const std::string digits = HexEncode(AsBytes(kSecret.substr(5, 8)));
  EXPECT_THAT(Search(index_, "0x" + digits), ElementsAre(Hit(2, 16, "kek", "hex")));
  EXPECT_THAT(Search(index_, absl::AsciiStrToUpper(HexEncode(AsBytes(kSecret)))),
              Contains(Hit(0, 16, "kek", "hex")));
}

TEST_F(SecretIndexTest, FindsBase64WhereverTheSecretLiesInWhatWasEncoded) {
  for (size_t before = 0; before < 5; ++before) {
    const std::string encoded = absl::Base64Escape(absl::StrCat(std::string(before, 'x'), kSecret));
    const std::vector<Hit> hits = Search(index_, encoded);
    EXPECT_THAT(hits, SizeIs(Ge(7u))) << before;
    for (const Hit& hit : hits) EXPECT_EQ(std::get<3>(hit), "base64");
  }
}

TEST_F(SecretIndexTest, FindsWhatHashesMakeOfAKey) {
  std::string words(kSecret);
  for (size_t i = 0; i + 4 <= words.size(); i += 4) std::reverse(&words[i], &words[i] + 4);
  EXPECT_THAT(Search(index_, absl::StrCat("...", words.substr(8, 8))),
              ElementsAre(Hit(3, 8, "kek", "32-bit words")));
  for (const auto& [pad, form] :
       {std::pair(0x36, "HMAC's inner key"), {0x5c, "HMAC's outer key"}}) {
    std::string padded(kSecret.substr(11, 8));
    for (char& c : padded) c = static_cast<char>(c ^ pad);
    EXPECT_THAT(Search(index_, padded), ElementsAre(Hit(0, 8, "kek", form)));
  }
}

TEST_F(SecretIndexTest, TellsSecretsApart) {
  SecretIndex index;
  index.Add("one", AsBytes("abcdefghijkl"));
  index.Add("two", AsBytes("efghijklmnop"));
  index.Build();
  EXPECT_EQ(index.secrets(), 2u);
  EXPECT_THAT(Search(index, "efghijkl"),
              ::testing::UnorderedElementsAre(Hit(0, 8, "one", "raw"), Hit(0, 8, "two", "raw")));
}

TEST_F(SecretIndexTest, TakesZerosInASecretForNone) {
  SecretIndex index;
  index.Add("sparse", AsBytes(absl::string_view("abcd\0\0\0\0\0\0\0\0efgh", 16)));
  index.Build();
  EXPECT_THAT(Search(index, std::string(64, '\0')), IsEmpty());
}

}  // namespace
}  // namespace kekd::testing
