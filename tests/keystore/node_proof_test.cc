#include "keystore/node_proof.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "tests/keystore/test_ring.h"
#include "tests/support/secrets.h"
#include "tests/support/status_matchers.h"

namespace kekd {
namespace {

using ::kekd::testing::SecretFromText;
using ::kekd::testing::StatusIs;
using ::kekd::testing::TestIdentity;
using ::testing::HasSubstr;

std::shared_ptr<const RingKey> RingKeyOf(char byte) {
  return *RingKey::Create(SecretFromText(std::string(32, byte)), TestIdentity().ring_uuid,
                          RandomSource::System());
}

const NodeProof kProof = {"cp2.example.com", KeyId("prod.4.00ff"),
                          absl::FromUnixMillis(1'800'000'000'123)};

TEST(NodeProofTest, IsReadAsItWasSigned) {
  KEKD_ASSERT_OK_AND_ASSIGN(const std::string line, SignNodeProof(kProof, *RingKeyOf('r')));
  KEKD_ASSERT_OK_AND_ASSIGN(const NodeProof proof, VerifyNodeProof(line, *RingKeyOf('r')));
  EXPECT_EQ(proof.node, kProof.node);
  EXPECT_EQ(proof.key_id, kProof.key_id);
  EXPECT_EQ(proof.time, kProof.time);
}

// It outlives the kekd that made it by the time it takes to carry it.
TEST(NodeProofTest, HasTheBytesOfTheFormat) {
  KEKD_ASSERT_OK_AND_ASSIGN(const std::string line, SignNodeProof(kProof, *RingKeyOf('r')));
  EXPECT_EQ(line,
            "kekd-proof:1:prod.4.00ff:cp2.example.com:1800000000123:"
            "f0aae16a999dd99c4da749793cc65e5d778df016f991c0ee1d09e327e4305bae");
}

TEST(NodeProofTest, OfAnotherRingKeyOrAlteredIsRefused) {
  KEKD_ASSERT_OK_AND_ASSIGN(const std::string line, SignNodeProof(kProof, *RingKeyOf('r')));
  EXPECT_THAT(VerifyNodeProof(line, *RingKeyOf('x')),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("cp2.example.com")));
  for (size_t i = 0; i < line.size(); ++i) {
    std::string altered = line;
    altered[i] = altered[i] == '1' ? '2' : '1';
    EXPECT_FALSE(VerifyNodeProof(altered, *RingKeyOf('r')).ok()) << altered;
    EXPECT_FALSE(VerifyNodeProof(line.substr(0, i), *RingKeyOf('r')).ok()) << i;
  }
  EXPECT_FALSE(VerifyNodeProof(line + "0", *RingKeyOf('r')).ok());
  EXPECT_THAT(VerifyNodeProof("proved, I swear", *RingKeyOf('r')),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("kekctl rotate prove")));
}

TEST(NodeProofTest, IsOfANodeThatHasANodesName) {
  for (const char* name : {"", "a:b", "two words", "caf\xc3\xa9"}) {
    EXPECT_THAT(SignNodeProof({name, kProof.key_id, kProof.time}, *RingKeyOf('r')),
                StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

}  // namespace
}  // namespace kekd
