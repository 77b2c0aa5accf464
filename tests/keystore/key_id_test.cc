#include "keystore/key_id.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "tests/keystore/test_ring.h"
#include "tests/support/status_matchers.h"

namespace kekd {
namespace {

using ::kekd::testing::StatusIs;
using ::kekd::testing::TestIdentity;
using ::kekd::testing::TestUuid;

std::string TestCanary() {
  std::string canary;
  for (int i = 0; i < 64; ++i) canary.push_back(static_cast<char>(i));
  return canary;
}

// Made independently, in Python:
//
//   import hashlib, struct
//   f = lambda b: struct.pack('>I', len(b)) + b
//   fields = [b'kekd/key_id/1', bytes.fromhex('00112233445566778899aabbccddeeff'),
//             bytes.fromhex('0f1e2d3c4b5a69788796a5b4c3d2e1f0'), struct.pack('>I', 7),
//             b'software', bytes(range(64))]
//   hashlib.sha256(b''.join(map(f, fields))).hexdigest()[:32]
TEST(KeyIdTest, IsPinned) {
  KEKD_ASSERT_OK_AND_ASSIGN(const KeyId key_id,
                            KeyId::Derive(TestIdentity(), 7, "software", AsBytes(TestCanary())));
  EXPECT_EQ(key_id.text(), "prod.7.dbb42df220a87b49e2f8696b0e018941");
}

TEST(KeyIdTest, DiffersWithEverythingItIsMadeFrom) {
  const RingIdentity ring = TestIdentity();
  RingIdentity other_name = ring;
  other_name.name = "test";
  RingIdentity other_cluster = ring;
  other_cluster.cluster_id = TestUuid(1);
  RingIdentity other_ring = ring;
  other_ring.ring_uuid = TestUuid(1);
  std::string other_canary = TestCanary();
  other_canary.back() = 'x';
  std::set<std::string> digests;
  const auto derive = [](const RingIdentity& identity, uint32_t version, absl::string_view backend,
                         absl::string_view canary) {
    return KeyId::Derive(identity, version, backend, AsBytes(canary))->text();
  };
  const std::string key_id = derive(ring, 7, "software", TestCanary());
  for (const std::string& other :
       {derive(other_name, 7, "software", TestCanary()),
        derive(other_cluster, 7, "software", TestCanary()),
        derive(other_ring, 7, "software", TestCanary()), derive(ring, 8, "software", TestCanary()),
        derive(ring, 7, "pkcs11", TestCanary()), derive(ring, 7, "software", other_canary)}) {
    EXPECT_NE(other, key_id);
    digests.insert(other);
  }
  EXPECT_EQ(digests.size(), 6u);
}

TEST(KeyIdTest, FitsKmsV2sLimitForTheLongestNames) {
  RingIdentity ring = TestIdentity();
  ring.name = std::string(63, 'a');
  KEKD_ASSERT_OK(ValidateKeyringName(ring.name));
  EXPECT_LE(KeyId::Derive(ring, 0xffffffff, "software", AsBytes("x"))->text().size(), 1024u);
}

TEST(KeyringNameTest, IsADnsLabel) {
  for (const char* good : {"a", "0", "prod", "prod-eu-1", "1a"}) {
    KEKD_EXPECT_OK(ValidateKeyringName(good));
  }
  KEKD_EXPECT_OK(ValidateKeyringName(std::string(63, 'a')));
  for (const std::string& bad :
       {std::string(), std::string(64, 'a'), std::string("-a"), std::string("a-"), std::string("A"),
        std::string("a.b"), std::string("a_b"), std::string("a b"), std::string("../a"),
        std::string("a\0", 2), std::string("\xc3\xa4")}) {
    EXPECT_THAT(ValidateKeyringName(bad), StatusIs(absl::StatusCode::kInvalidArgument)) << bad;
  }
}

}  // namespace
}  // namespace kekd
