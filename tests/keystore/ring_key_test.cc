#include "keystore/ring_key.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/hex.h"
#include "keystore/key_file.h"
#include "keystore/ring_key_wrapper.h"
#include "tests/keystore/test_ring.h"
#include "tests/support/secrets.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace kekd {
namespace {

using ::kekd::testing::RevealedText;
using ::kekd::testing::SecretFromText;
using ::kekd::testing::StatusIs;
using ::kekd::testing::TempDirectory;
using ::kekd::testing::TestIdentity;
using ::kekd::testing::TestUuid;
using ::testing::AllOf;
using ::testing::HasSubstr;

std::shared_ptr<const RingKey> NewRingKey(char byte, const Uuid& uuid = TestIdentity().ring_uuid) {
  return *RingKey::Create(SecretFromText(std::string(32, byte)), uuid, RandomSource::System());
}

// Pinned: docs/formats.md. Made independently, in Python:
//
//   import hmac, hashlib
//   h = lambda k, m: hmac.new(k, m, hashlib.sha256).digest()
//   salt = bytes.fromhex('0f1e2d3c4b5a69788796a5b4c3d2e1f0')
//   key = lambda info: h(h(salt, b'r' * 32), info + b'\x01')
//   h(key(b'kekd/record-mac/1'), b'record').hex()
//   h(key(b'kekd/high-water-mac/1'), b'record').hex()
TEST(RingKeyTest, MacsArePinned) {
  KEKD_ASSERT_OK_AND_ASSIGN(const Sha256Digest record,
                            NewRingKey('r')->RecordMac(AsBytes("record")));
  EXPECT_EQ(HexEncode(ByteView(record.data(), record.size())),
            "e0ab496c2a286702d800099438d1799620564fae118699a401c9a380eca226d5");
  KEKD_ASSERT_OK_AND_ASSIGN(const Sha256Digest high_water,
                            NewRingKey('r')->HighWaterMac(AsBytes("record")));
  EXPECT_EQ(HexEncode(ByteView(high_water.data(), high_water.size())),
            "12d3c791e3975eefc911461fc18b16aa51e88fd404743d5513baf2b178be2716");
}

TEST(RingKeyTest, DerivesOtherKeysForAnotherRing) {
  EXPECT_NE(*NewRingKey('r')->RecordMac(AsBytes("x")),
            *NewRingKey('r', TestUuid(1))->RecordMac(AsBytes("x")));
}

TEST(RingKeyTest, OpensAKekThatItWrapped) {
  const KeySpec spec = {TestIdentity(), 3};
  KEKD_ASSERT_OK_AND_ASSIGN(const Wrap wrap, NewRingKey('r')->WrapKek(SecretFromText("kek"), spec));
  EXPECT_EQ(wrap.type, WrapType::kRingKey);
  KEKD_ASSERT_OK_AND_ASSIGN(const SecretBytes kek, NewRingKey('r')->UnwrapKek(wrap, spec));
  EXPECT_EQ(RevealedText(kek), "kek");
}

TEST(RingKeyTest, WrapOfAKekIsBoundToItsPlace) {
  const auto ring_key = NewRingKey('r');
  const KeySpec spec = {TestIdentity(), 3};
  KEKD_ASSERT_OK_AND_ASSIGN(const Wrap wrap, ring_key->WrapKek(SecretFromText("kek"), spec));
  KeySpec other_version = spec;
  other_version.version = 4;
  KeySpec other_cluster = spec;
  other_cluster.ring.cluster_id = TestUuid(1);
  KeySpec other_ring = spec;
  other_ring.ring.ring_uuid = TestUuid(1);
  for (const KeySpec& other : {other_version, other_cluster, other_ring}) {
    EXPECT_THAT(ring_key->UnwrapKek(wrap, other), StatusIs(absl::StatusCode::kDataLoss));
  }
  EXPECT_THAT(NewRingKey('x')->UnwrapKek(wrap, spec), StatusIs(absl::StatusCode::kDataLoss));
  Wrap empty;
  EXPECT_THAT(ring_key->UnwrapKek(empty, spec), StatusIs(absl::StatusCode::kDataLoss));
}

TEST(RingKeyTest, HasExactly32Bytes) {
  for (const size_t size : {0u, 31u, 33u}) {
    EXPECT_THAT(RingKey::Create(SecretBytes(size), TestUuid(1), RandomSource::System()),
                StatusIs(absl::StatusCode::kDataLoss));
  }
}

class OpenRingKeyTest : public ::testing::Test {
 protected:
  std::unique_ptr<RingKeyWrapper> Wrapper(absl::string_view name) {
    return ::kekd::testing::KeyFileWrapper(folder_.File(name));
  }
  std::unique_ptr<RingKeyWrapper> NewWrapper(absl::string_view name) {
    KEKD_EXPECT_OK(CreateKeyFile(FileSystem::System(), folder_.File(name), std::nullopt,
                                 std::nullopt, RandomSource::System()));
    return Wrapper(name);
  }
  absl::Status Open(const std::vector<Wrap>& wraps) {
    return OpenRingKey(wraps, wrappers_, TestIdentity(), RandomSource::System()).status();
  }

  TempDirectory folder_;
  std::vector<std::unique_ptr<RingKeyWrapper>> wrappers_;
};

TEST_F(OpenRingKeyTest, AnyOneWrapOpensIt) {
  const auto first = NewWrapper("first");
  const auto second = NewWrapper("second");
  KEKD_ASSERT_OK_AND_ASSIGN(const Wrap one, first->WrapRingKey(*NewRingKey('r'), TestIdentity()));
  KEKD_ASSERT_OK_AND_ASSIGN(const Wrap two, second->WrapRingKey(*NewRingKey('r'), TestIdentity()));
  wrappers_.push_back(Wrapper("absent"));
  wrappers_.push_back(Wrapper("second"));
  KEKD_EXPECT_OK(Open({one, two}));
  KEKD_EXPECT_OK(Open({two, one}));
  EXPECT_THAT(Open({one}), StatusIs(absl::StatusCode::kNotFound,
                                    AllOf(HasSubstr("absent"), HasSubstr("second"))));
}

TEST_F(OpenRingKeyTest, SaysWhenThereIsNothingToOpenItWith) {
  EXPECT_THAT(Open({Wrap()}), StatusIs(absl::StatusCode::kFailedPrecondition));
  wrappers_.push_back(NewWrapper("a"));
  EXPECT_THAT(Open({}), StatusIs(absl::StatusCode::kNotFound, HasSubstr("no wrap of type")));
}

}  // namespace
}  // namespace kekd
