#include "keystore/backup_share.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "base/hex.h"
#include "keystore/digest.h"
#include "tests/keystore/test_ring.h"
#include "tests/support/secrets.h"
#include "tests/support/status_matchers.h"

namespace kekd {
namespace {

using ::kekd::testing::FromHex;
using ::kekd::testing::RevealedHex;
using ::kekd::testing::RevealedText;
using ::kekd::testing::SecretFromText;
using ::kekd::testing::StatusIs;
using ::kekd::testing::TestUuid;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr absl::string_view kSecret = "thirty-two bytes are one secret.";

class BackupShareTest : public ::testing::Test {
 protected:
  static std::vector<BackupShare> Shares(uint32_t threshold, uint32_t total,
                                         const Uuid& id = TestUuid(1)) {
    std::vector<ShamirShare> parts =
        *SplitSecret(SecretFromText(kSecret), threshold, total, RandomSource::System());
    std::vector<BackupShare> shares;
    for (ShamirShare& part : parts) {
      BackupShare& share = shares.emplace_back();
      share.threshold = threshold;
      share.total = total;
      share.id = std::string(AsText(id.bytes().first(BackupShare::kIdBytes)));
      share.source = absl::StrCat("share file /mnt/", uint32_t{part.index});
      share.secret = std::move(part);
    }
    return shares;
  }
  static std::string File(const BackupShare& share) {
    return RevealedText(*ShareFileContent(share, "prod", absl::FromUnixSeconds(1'767'000'000)));
  }
  static std::string Words(const BackupShare& share) { return RevealedText(*ShareWords(share)); }
  static absl::StatusOr<BackupShare> Parse(absl::string_view text) {
    return ParseShare(AsBytes(text), "share file /mnt/x");
  }
  static absl::Status Combined(const std::vector<BackupShare>& shares, uint32_t threshold,
                               uint32_t total, const Uuid& id = TestUuid(1)) {
    const absl::StatusOr<SecretBytes> secret = CombineBackupShares(shares, id, threshold, total);
    if (secret.ok()) {
      EXPECT_EQ(RevealedText(*secret), kSecret);
    }
    return secret.status();
  }
  static std::vector<BackupShare> Some(std::vector<BackupShare> shares,
                                       const std::vector<size_t>& chosen) {
    std::vector<BackupShare> some;
    for (const size_t i : chosen) {
      BackupShare& share = some.emplace_back();
      share.threshold = shares[i].threshold;
      share.total = shares[i].total;
      share.id = shares[i].id;
      share.source = absl::StrCat(shares[i].source, " (", some.size(), ")");
      share.secret = {shares[i].secret.index, shares[i].secret.value.Clone()};
    }
    return some;
  }
};

TEST_F(BackupShareTest, EitherFormIsReadAgain) {
  const std::vector<BackupShare> shares = Shares(3, 5);
  for (const BackupShare& share : shares) {
    for (const std::string& text : {File(share), Words(share)}) {
      KEKD_ASSERT_OK_AND_ASSIGN(const BackupShare again, Parse(text));
      EXPECT_EQ(again.threshold, 3u);
      EXPECT_EQ(again.total, 5u);
      EXPECT_EQ(again.secret.index, share.secret.index);
      EXPECT_EQ(again.id, share.id);
      EXPECT_EQ(again.source, "share file /mnt/x");
      EXPECT_EQ(RevealedHex(again.secret.value), RevealedHex(share.secret.value));
    }
  }
}

TEST_F(BackupShareTest, FileSaysWhatItIs) {
  const std::string file = File(Shares(3, 5)[1]);
  const std::vector<std::string> lines = absl::StrSplit(file, '\n');
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_THAT(lines[0],
              ::testing::MatchesRegex(
                  "# share 2 of 5 of backup [0-9a-f]{16} of keyring prod, made on 2025-12-29. Any "
                  "3 of them open the backup: keep them apart"));
  EXPECT_THAT(lines[1], ::testing::MatchesRegex("kekd-share-1 [0-9a-f]{96}"));
  EXPECT_EQ(lines[2], "");
}

TEST_F(BackupShareTest, FileIsTakenWithoutItsHeaderAndWithLineEndsOfOthers) {
  const std::string file = File(Shares(2, 2)[0]);
  const std::string line = file.substr(file.find('\n') + 1);
  KEKD_EXPECT_OK(Parse(line));
  KEKD_EXPECT_OK(Parse(line.substr(0, line.size() - 1)));
  KEKD_EXPECT_OK(Parse(absl::StrReplaceAll(file, {{"\n", "\r\n"}})));
  KEKD_EXPECT_OK(Parse(absl::StrCat("\n  # a note\n", line, "\n\n# another\n")));
  KEKD_EXPECT_OK(Parse(absl::StrCat("# from the safe\n", Words(Shares(2, 2)[0]))));
}

TEST_F(BackupShareTest, DamagedFileIsToldFromATextThatIsNone) {
  const std::string file = File(Shares(2, 2)[0]);
  for (size_t i = file.find("share-1 ") + 8; i + 1 < file.size(); ++i) {
    std::string damaged = file;
    damaged[i] = damaged[i] == '0' ? '1' : '0';
    EXPECT_THAT(Parse(damaged),
                StatusIs(absl::StatusCode::kDataLoss,
                         AllOf(HasSubstr("share file /mnt/x: "), HasSubstr("check digits"))))
        << i;
  }
  EXPECT_THAT(Parse(file.substr(0, file.size() - 3)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("96")));
  EXPECT_THAT(Parse(absl::StrCat(file, "and more")), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Parse(absl::StrReplaceAll(file, {{"share-1 ", "share-1  "}})),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Parse(absl::StrReplaceAll(file, {{"share-1", "share-2"}})),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("newer kekd")));
  for (const absl::string_view nothing : {"", "\n \n", "# only a comment\n"}) {
    EXPECT_THAT(Parse(nothing), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("empty")));
  }
}

TEST_F(BackupShareTest, MalformedWordIsNamedByItsPlace) {
  std::vector<std::string> words = absl::StrSplit(Words(Shares(2, 2)[0]), ' ', absl::SkipEmpty());
  // [0] is "1:"; a line's last word carries its end and the next number.
  words[2] = "lusax";
  EXPECT_THAT(Parse(absl::StrJoin(words, " ")),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("word 2 (in line 1)")));
}

TEST_F(BackupShareTest, WrongLetterIsFoundByTheCheck) {
  const std::string good = Words(Shares(2, 2)[0]);
  size_t word = 0;
  for (size_t i = 0; i < good.size(); ++i) {
    const bool begins_word = good[i] >= 'a' && good[i] <= 'z' && (i == 0 || good[i - 1] == ' ');
    if (begins_word) ++word;
    if (good[i] < 'a' || good[i] > 'z') continue;
    const bool vowel = absl::string_view("aiou").find(good[i]) != absl::string_view::npos;
    std::string typed = good;
    typed[i] = vowel ? (good[i] == 'a' ? 'o' : 'a') : (good[i] == 'b' ? 'd' : 'b');
    EXPECT_THAT(Parse(typed),
                StatusIs(absl::StatusCode::kDataLoss,
                         HasSubstr(absl::StrCat("word ", word, " (in line ", (word + 3) / 4,
                                                ") seems to have a wrong letter"))))
        << i;
  }
  EXPECT_EQ(word, 24u);
}

TEST_F(BackupShareTest, ExchangedNeighboursAreFoundByTheCheck) {
  const std::string good = Words(Shares(2, 2)[0]);
  const size_t third = 4 + 2 * 6;  // after "1: " and two words
  std::string typed = good;
  std::swap_ranges(typed.begin() + third, typed.begin() + third + 5, typed.begin() + third + 6);
  ASSERT_NE(typed, good);
  EXPECT_THAT(Parse(typed),
              StatusIs(absl::StatusCode::kDataLoss,
                       HasSubstr("word 3 (in line 1) and the next seem to be exchanged")));
}

TEST_F(BackupShareTest, SeveralWrongWordsAreAnErrorWithoutAPlace) {
  std::string typed = Words(Shares(2, 2)[0]);
  for (const size_t at : {size_t{4}, size_t{10}}) typed[at] = typed[at] == 'b' ? 'd' : 'b';
  EXPECT_THAT(Parse(typed), StatusIs(absl::StatusCode::kDataLoss,
                                     AllOf(HasSubstr("more than one"), Not(HasSubstr("word 1")))));
}

// A share of the right form and check digits whose numbers nobody writes.
std::string WithCheck(std::string hex) {
  const std::string bytes = absl::StrCat("kekd/backup-share-check/1", FromHex(hex));
  const Sha256Digest digest = *Sha256(AsBytes(bytes));
  return absl::StrCat("kekd-share-1 ", hex, HexEncode(ByteView(digest.data(), 4)));
}

TEST_F(BackupShareTest, RefusesNumbersThatNoShareHas) {
  const std::string rest(2 * 40, '7');
  KEKD_EXPECT_OK(Parse(WithCheck(absl::StrCat("01020301", rest))));
  for (const absl::string_view numbers :
       {"00020301", "01010301", "01040301", "01021101", "01020300", "01020304"}) {
    EXPECT_THAT(Parse(WithCheck(absl::StrCat(numbers, rest))),
                StatusIs(absl::StatusCode::kDataLoss, HasSubstr("numbers")))
        << numbers;
  }
  EXPECT_THAT(Parse(WithCheck(absl::StrCat("02020301", rest))),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("format 2")));
}

TEST_F(BackupShareTest, AnyThresholdSharesAndMoreGiveTheSecret) {
  const std::vector<size_t> all = {0, 1, 2, 3, 4};
  KEKD_EXPECT_OK(Combined(Some(Shares(3, 5), {0, 1, 2}), 3, 5));
  KEKD_EXPECT_OK(Combined(Some(Shares(3, 5), {4, 0, 2}), 3, 5));
  KEKD_EXPECT_OK(Combined(Some(Shares(3, 5), all), 3, 5));
}

TEST_F(BackupShareTest, TooFewSharesAreCounted) {
  EXPECT_THAT(Combined({}, 3, 5), StatusIs(absl::StatusCode::kInvalidArgument,
                                           HasSubstr("0 shares were given, and 3 of the 5")));
  EXPECT_THAT(Combined(Some(Shares(3, 5), {4}), 3, 5),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("1 share was given")));
  EXPECT_THAT(Combined(Some(Shares(3, 5), {0, 3}), 3, 5),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("2 shares were given, and 3 of the 5 are needed")));
}

TEST_F(BackupShareTest, SameShareTwiceIsNamed) {
  EXPECT_THAT(Combined(Some(Shares(3, 5), {0, 1, 1}), 3, 5),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("share 2 is there twice: share file /mnt/2 (2) and share file "
                                 "/mnt/2 (3)")));
}

TEST_F(BackupShareTest, ShareOfAnotherBackupIsNamed) {
  const Uuid other = *Uuid::Random(RandomSource::System());
  std::vector<BackupShare> shares = Some(Shares(3, 5), {0, 1});
  std::vector<BackupShare> foreign = Some(Shares(3, 5, other), {2});
  shares.push_back(std::move(foreign[0]));
  EXPECT_THAT(Combined(shares, 3, 5),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("share file /mnt/3 (1) is a share of another backup"),
                             HasSubstr(HexEncode(other.bytes().first(8))))));
  // Also with the backup's id but other numbers: somebody has meddled.
  EXPECT_THAT(Combined(Some(Shares(3, 5), {0, 1, 2}), 3, 6),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("another backup")));
}

}  // namespace
}  // namespace kekd
