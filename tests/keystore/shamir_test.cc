#include "keystore/shamir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/fakes/fake_random_source.h"
#include "tests/support/secrets.h"
#include "tests/support/status_matchers.h"

namespace kekd {
namespace {

using ::kekd::testing::FakeRandomSource;
using ::kekd::testing::FromHex;
using ::kekd::testing::RevealedHex;
using ::kekd::testing::RevealedText;
using ::kekd::testing::SecretFromHex;
using ::kekd::testing::SecretFromText;
using ::kekd::testing::StatusIs;
using ::testing::HasSubstr;

constexpr absl::string_view kSecret = "thirty-two bytes are one secret.";

// Those of `shares` whose bit is set in `chosen`.
std::vector<ShamirShare> Choose(const std::vector<ShamirShare>& shares, uint32_t chosen) {
  std::vector<ShamirShare> some;
  for (size_t i = 0; i < shares.size(); ++i) {
    if ((chosen >> i & 1) != 0) some.push_back({shares[i].index, shares[i].value.Clone()});
  }
  return some;
}

// Reckoned in Python with logarithm tables of the generator 3, which share no line with ours:
//   exp, log = [0] * 512, [0] * 256
//   x = 1
//   for i in range(255):
//       exp[i], log[x] = x, i
//       x ^= x << 1
//       if x & 0x100: x ^= 0x11b
//   for i in range(255, 512): exp[i] = exp[i - 255]
//   mul = lambda a, b: 0 if a == 0 or b == 0 else exp[log[a] + log[b]]
//   share = lambda n: bytes(mul(mul(b, n) ^ a, n) ^ s for s, a, b in zip(
//       bytes.fromhex("00015380ff"), bytes.fromhex("a1b2c3d4e5"), bytes.fromhex("0011fe807f")))
TEST(ShamirTest, SharesAreTheKnownOnes) {
  FakeRandomSource random;
  random.Queue(FromHex("a1b2c3d4e5 0011fe807f"));
  KEKD_ASSERT_OK_AND_ASSIGN(const std::vector<ShamirShare> shares,
                            SplitSecret(SecretFromHex("00015380ff"), 3, 16, random));
  ASSERT_EQ(shares.size(), 16u);
  EXPECT_EQ(RevealedHex(shares[0].value), "a1a26ed465");
  EXPECT_EQ(RevealedHex(shares[1].value), "593a1b05c9");
  EXPECT_EQ(RevealedHex(shares[2].value), "f899265153");
  EXPECT_EQ(RevealedHex(shares[3].value), "b2f40b25f7");
  EXPECT_EQ(RevealedHex(shares[4].value), "135736716d");
  EXPECT_EQ(RevealedHex(shares[15].value), "fe640640c8");
  for (size_t i = 0; i < shares.size(); ++i) EXPECT_EQ(shares[i].index, i + 1);
}

// FIPS 197, section 4.2: {57} times {83} is {c1}, {57} times {13} is {fe}. A share at x of a secret
// 0 with the one coefficient a is a times x.
TEST(ShamirTest, MultipliesAsAes) {
  FakeRandomSource random;
  random.Queue(FromHex("5783"));
  KEKD_ASSERT_OK_AND_ASSIGN(const std::vector<ShamirShare> shares,
                            SplitSecret(SecretFromHex("0000"), 2, 16, random));
  // {57}·{0e} and {83}·{0e} from the vectors by distributivity: {0e} = {02} + {04} + {08}, and
  // section 4.2.1 gives {57}·{02} = {ae}, {57}·{04} = {47}, {57}·{08} = {8e}, {57}·{10} = {07}.
  EXPECT_EQ(RevealedHex(shares[0x02 - 1].value).substr(0, 2), "ae");
  EXPECT_EQ(RevealedHex(shares[0x04 - 1].value).substr(0, 2), "47");
  EXPECT_EQ(RevealedHex(shares[0x08 - 1].value).substr(0, 2), "8e");
  EXPECT_EQ(RevealedHex(shares[0x10 - 1].value).substr(0, 2), "07");
  EXPECT_EQ(RevealedHex(shares[0x0e - 1].value).substr(0, 2), "67");  // ae ^ 47 ^ 8e
}

TEST(ShamirTest, EveryChoiceOfThresholdSharesGivesTheSecret) {
  for (uint32_t total = 2; total <= 7; ++total) {
    for (uint32_t threshold = 2; threshold <= total; ++threshold) {
      KEKD_ASSERT_OK_AND_ASSIGN(
          const std::vector<ShamirShare> shares,
          SplitSecret(SecretFromText(kSecret), threshold, total, RandomSource::System()));
      for (uint32_t chosen = 0; chosen < (1u << total); ++chosen) {
        const auto count = static_cast<uint32_t>(std::popcount(chosen));
        if (count == 0) continue;
        KEKD_ASSERT_OK_AND_ASSIGN(const SecretBytes secret, CombineShares(Choose(shares, chosen)));
        // Also more of them than are needed; and with less, something else comes out.
        EXPECT_EQ(RevealedText(secret) == kSecret, count >= threshold)
            << threshold << " of " << total << ", chosen " << chosen;
      }
    }
  }
}

TEST(ShamirTest, EveryThresholdOfSixteenWorks) {
  for (uint32_t threshold = 2; threshold <= kMaxShares; ++threshold) {
    KEKD_ASSERT_OK_AND_ASSIGN(
        const std::vector<ShamirShare> shares,
        SplitSecret(SecretFromText(kSecret), threshold, kMaxShares, RandomSource::System()));
    // The last ones, in falling order.
    std::vector<ShamirShare> chosen = Choose(shares, 0xffffu << (kMaxShares - threshold));
    std::reverse(chosen.begin(), chosen.end());
    KEKD_ASSERT_OK_AND_ASSIGN(const SecretBytes secret, CombineShares(chosen));
    EXPECT_EQ(RevealedText(secret), kSecret);
  }
}

// What k-1 shares leave open: for every secret there is exactly one polynomial through them. So
// with the others' values fixed, the missing share's 256 values give 256 different secrets.
TEST(ShamirTest, OneShareLessIsConsistentWithEverySecret) {
  for (const uint32_t threshold : {2u, 3u, 5u}) {
    KEKD_ASSERT_OK_AND_ASSIGN(
        const std::vector<ShamirShare> shares,
        SplitSecret(SecretFromHex("5a"), threshold, threshold, RandomSource::System()));
    std::set<std::string> secrets;
    for (uint32_t value = 0; value < 256; ++value) {
      std::vector<ShamirShare> tried = Choose(shares, (1u << threshold) - 1);
      tried.back().value.RevealMutable(SecretAccessToken())[0] = static_cast<uint8_t>(value);
      KEKD_ASSERT_OK_AND_ASSIGN(const SecretBytes secret, CombineShares(tried));
      secrets.insert(RevealedHex(secret));
    }
    EXPECT_EQ(secrets.size(), 256u);
  }
}

// And the shares themselves are spread the same way for two secrets: over all 256 coefficients,
// each value of a share comes once.
TEST(ShamirTest, OneShareOfTwoIsSpreadEvenlyForEachSecret) {
  for (const absl::string_view secret : {"00", "01", "ff"}) {
    std::vector<std::set<std::string>> seen(3);
    for (uint32_t coefficient = 0; coefficient < 256; ++coefficient) {
      FakeRandomSource random;
      random.Queue(std::string(1, static_cast<char>(coefficient)));
      KEKD_ASSERT_OK_AND_ASSIGN(const std::vector<ShamirShare> shares,
                                SplitSecret(SecretFromHex(secret), 2, 3, random));
      for (size_t i = 0; i < 3; ++i) seen[i].insert(RevealedHex(shares[i].value));
    }
    for (const std::set<std::string>& values : seen) EXPECT_EQ(values.size(), 256u);
  }
}

TEST(ShamirTest, RefusesNumbersThatWontDo) {
  for (const auto& [threshold, total] : std::vector<std::pair<uint32_t, uint32_t>>{
           {0, 0}, {0, 3}, {1, 1}, {1, 3}, {4, 3}, {2, 17}, {17, 17}, {2, 0xffffffff}}) {
    EXPECT_THAT(SplitSecret(SecretFromText(kSecret), threshold, total, RandomSource::System()),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("can't be made")));
  }
}

TEST(ShamirTest, RefusesSharesThatDontGoTogether) {
  const auto share = [](uint8_t index, absl::string_view hex) {
    return ShamirShare{index, SecretFromHex(hex)};
  };
  const auto combined = [&](std::vector<ShamirShare> shares) {
    return CombineShares(shares).status();
  };
  std::vector<ShamirShare> shares;
  EXPECT_THAT(combined({}), StatusIs(absl::StatusCode::kInvalidArgument));
  shares.push_back(share(0, "aa"));
  shares.push_back(share(1, "bb"));
  EXPECT_THAT(combined(std::move(shares)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("index 0")));
  shares.clear();
  shares.push_back(share(3, "aa"));
  shares.push_back(share(3, "bb"));
  EXPECT_THAT(combined(std::move(shares)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("share 3 was given twice")));
  shares.clear();
  shares.push_back(share(1, "aa"));
  shares.push_back(share(2, "bbbb"));
  EXPECT_THAT(combined(std::move(shares)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("one length")));
}

TEST(ShamirTest, FailureOfTheRandomSourceIsAnError) {
  FakeRandomSource random;
  random.QueueFailure();
  EXPECT_THAT(SplitSecret(SecretFromText(kSecret), 2, 3, random),
              StatusIs(absl::StatusCode::kInternal));
}

}  // namespace
}  // namespace kekd
