// Shamir's secret sharing over GF(2^8).
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "keystore/shamir.h"
#include "tests/fakes/fake_random_source.h"
#include "tests/support/secrets.h"
#include "tests/support/status_matchers.h"
#include "tests/vectors/vector_file.h"

namespace kekd {
namespace {

using ::kekd::testing::PublishedVector;
using ::kekd::testing::ReadVectors;
using ::kekd::testing::RevealedHex;

// `count` shares from the index `first` on, round after 16.
std::vector<ShamirShare> SharesOf(const PublishedVector& vector, uint32_t first, uint32_t count) {
  std::vector<ShamirShare> shares;
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t index = (first + i - 1) % kMaxShares + 1;
    shares.push_back({static_cast<uint8_t>(index), vector.Secret(absl::StrCat("share", index))});
  }
  return shares;
}

TEST(ShamirVectorsTest, CombinesSharesThatAnotherImplementationMade) {
  uint32_t threshold = kMinShareThreshold;
  for (const PublishedVector& vector : ReadVectors("shamir.slip39.txt", 7)) {
    for (uint32_t first = 1; first <= kMaxShares; ++first) {
      KEKD_ASSERT_OK_AND_ASSIGN(const SecretBytes secret,
                                CombineShares(SharesOf(vector, first, threshold)));
      EXPECT_EQ(RevealedHex(secret), vector.Text("secret")) << vector << " from " << first;
      // One more share than is needed does no harm; one less gives something else.
      KEKD_ASSERT_OK_AND_ASSIGN(const SecretBytes more,
                                CombineShares(SharesOf(vector, first, threshold + 1)));
      EXPECT_EQ(RevealedHex(more), vector.Text("secret")) << vector << " from " << first;
      if (threshold == kMinShareThreshold) continue;
      KEKD_ASSERT_OK_AND_ASSIGN(const SecretBytes less,
                                CombineShares(SharesOf(vector, first, threshold - 1)));
      EXPECT_NE(RevealedHex(less), vector.Text("secret")) << vector << " from " << first;
    }
    ++threshold;
  }
}

}  // namespace
}  // namespace kekd
