#include "keystore/keyring_record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/length_prefixed.h"
#include "kekd/keyring/v1/keyring.pb.h"
#include "tests/keystore/test_ring.h"
#include "tests/support/secrets.h"
#include "tests/support/status_matchers.h"

namespace kekd {
namespace {

using ::kekd::testing::EmptyTestKeyring;
using ::kekd::testing::SecretFromText;
using ::kekd::testing::StatusIs;
using ::kekd::testing::TestIdentity;
using ::kekd::testing::TestUuid;
using ::kekd::testing::TestVersion;
using ::kekd::testing::WithOneMore;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr size_t kHeaderBytes = 38;
constexpr size_t kMacBytes = 32;
const absl::Time kNow = absl::FromUnixMillis(1'800'000'000'123);

// One of each: state, custody, algorithm, times, mark, request.
Keyring FullRing() {
  Keyring ring = EmptyTestKeyring();
  for (int i = 0; i < 3; ++i) ring = WithOneMore(ring);
  KeyVersion device = TestVersion(4);
  device.backend = "pkcs11";
  device.material.custody = Custody::kDevice;
  device.material.algorithm = Algorithm::kAes256Gcm;
  device.material.key_reference = "pkcs11:object=kek";
  device.material.wraps.clear();
  ring = *ring.WithNewVersion(device);
  KeyVersion wrapped = TestVersion(5);
  wrapped.backend = "pkcs11";
  wrapped.material.key_reference = "pkcs11:object=wrapping";
  wrapped.material.wraps[0].type = WrapType::kPkcs11;
  ring = *ring.WithNewVersion(wrapped);
  ring = *ring.WithPromoted(1, kNow);
  ring = *ring.WithPromoted(2, kNow + absl::Seconds(1));
  ring = *ring.WithCompromised(1, kNow + absl::Seconds(2));
  ring = *ring.WithDestroyed(3, kNow + absl::Seconds(3));
  return ring.WithApplied(TestUuid(9), 2, std::string(32, 'd')).WithGeneration(0x0102030405060708);
}

class KeyringRecordTest : public ::testing::Test {
 protected:
  static std::shared_ptr<const RingKey> NewRingKey(char byte) {
    return *RingKey::Create(SecretFromText(std::string(32, byte)), TestIdentity().ring_uuid,
                            RandomSource::System());
  }

  // What a reader makes of the bytes.
  absl::StatusOr<Keyring> Decode(const std::string& bytes) const {
    const absl::StatusOr<UnverifiedRecord> record = UnverifiedRecord::Parse(bytes);
    if (!record.ok()) return record.status();
    return record->Verify(*ring_key_);
  }

  // A record with this body that the ring key's owner signed.
  std::string Signed(const std::string& body, uint16_t format = Keyring::kFormat) const {
    std::string record = "kekdring";
    AppendU16(record, format);
    const Uuid ring_uuid = TestIdentity().ring_uuid;
    record.append(ring_uuid.bytes().begin(), ring_uuid.bytes().end());
    AppendU64(record, 1);
    AppendU32(record, static_cast<uint32_t>(body.size()));
    record += body;
    const Sha256Digest mac = *ring_key_->RecordMac(AsBytes(record));
    record.append(mac.begin(), mac.end());
    return record;
  }

  std::string BodyOf(const std::string& record) const {
    return record.substr(kHeaderBytes, record.size() - kHeaderBytes - kMacBytes);
  }

  const std::shared_ptr<const RingKey> ring_key_ = NewRingKey('r');
};

TEST_F(KeyringRecordTest, DecodesWhatItEncoded) {
  const Keyring ring = FullRing();
  KEKD_ASSERT_OK_AND_ASSIGN(const std::string bytes, EncodeRecord(ring, *ring_key_));
  KEKD_ASSERT_OK_AND_ASSIGN(const Keyring decoded, Decode(bytes));
  EXPECT_EQ(decoded.identity(), ring.identity());
  EXPECT_EQ(decoded.generation(), ring.generation());
  EXPECT_EQ(decoded.creation_time(), ring.creation_time());
  EXPECT_EQ(decoded.ring_key_wraps(), ring.ring_key_wraps());
  EXPECT_EQ(decoded.versions(), ring.versions());
  EXPECT_EQ(decoded.applied_requests(), ring.applied_requests());
  KEKD_ASSERT_OK_AND_ASSIGN(const std::string again, EncodeRecord(decoded, *ring_key_));
  EXPECT_EQ(again, bytes);
}

TEST_F(KeyringRecordTest, TellsWhatIsNeededToFindTheRingKeyBeforeItIsVerified) {
  KEKD_ASSERT_OK_AND_ASSIGN(const std::string bytes, EncodeRecord(FullRing(), *ring_key_));
  KEKD_ASSERT_OK_AND_ASSIGN(const UnverifiedRecord record, UnverifiedRecord::Parse(bytes));
  EXPECT_EQ(record.identity(), TestIdentity());
  EXPECT_EQ(record.generation(), 0x0102030405060708u);
  EXPECT_EQ(record.ring_key_wraps(), FullRing().ring_key_wraps());
}

TEST_F(KeyringRecordTest, RefusesEveryFlippedBit) {
  KEKD_ASSERT_OK_AND_ASSIGN(const std::string bytes, EncodeRecord(FullRing(), *ring_key_));
  for (size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    std::string flipped = bytes;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    const absl::Status status = Decode(flipped).status();
    EXPECT_TRUE(absl::IsDataLoss(status) || absl::IsUnimplemented(status))
        << "bit " << bit << ": " << status;
  }
}

TEST_F(KeyringRecordTest, RefusesEveryTruncationAndAnyByteMore) {
  KEKD_ASSERT_OK_AND_ASSIGN(const std::string bytes, EncodeRecord(FullRing(), *ring_key_));
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_THAT(Decode(bytes.substr(0, size)), StatusIs(absl::StatusCode::kDataLoss)) << size;
  }
  EXPECT_THAT(Decode(bytes + '\0'), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(Decode(bytes + bytes), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(KeyringRecordTest, RefusesARecordOfAnotherRingKey) {
  KEKD_ASSERT_OK_AND_ASSIGN(const std::string bytes, EncodeRecord(FullRing(), *NewRingKey('x')));
  EXPECT_THAT(Decode(bytes), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("HMAC")));
}

TEST_F(KeyringRecordTest, NamesBothFormatsOfANewerOne) {
  EXPECT_THAT(Decode(Signed("what only a newer kekd can read", 5)),
              StatusIs(absl::StatusCode::kUnimplemented,
                       AllOf(HasSubstr("format 5"), HasSubstr("up to 4"), HasSubstr("newer"))));
  EXPECT_THAT(Decode(Signed("", 0)), StatusIs(absl::StatusCode::kDataLoss));
}

// A field that this kekd does not know would be lost by its next commit.
TEST_F(KeyringRecordTest, RefusesUnknownFieldsAtEveryLevel) {
  KEKD_ASSERT_OK_AND_ASSIGN(const std::string bytes, EncodeRecord(FullRing(), *ring_key_));
  const std::string body = BodyOf(bytes);
  KEKD_ASSERT_OK(Decode(Signed(body)));               // the tool of this test makes good records
  EXPECT_THAT(Decode(Signed(body + "\xa0\x06\x01")),  // field 100, varint 1
              StatusIs(absl::StatusCode::kDataLoss));

  keyring::v1::KeyringBody parsed;
  ASSERT_TRUE(parsed.ParseFromString(body));
  auto* version = parsed.mutable_versions(0);
  version->GetReflection()->MutableUnknownFields(version)->AddVarint(100, 1);
  EXPECT_THAT(Decode(Signed(parsed.SerializeAsString())), StatusIs(absl::StatusCode::kDataLoss));

  ASSERT_TRUE(parsed.ParseFromString(body));
  auto* wrap = parsed.mutable_versions(0)->mutable_wraps(0);
  wrap->GetReflection()->MutableUnknownFields(wrap)->AddLengthDelimited(100, "x");
  EXPECT_THAT(Decode(Signed(parsed.SerializeAsString())), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(KeyringRecordTest, RefusesASecondEncodingOfTheSameRing) {
  KEKD_ASSERT_OK_AND_ASSIGN(const std::string bytes, EncodeRecord(FullRing(), *ring_key_));
  const std::string body = BodyOf(bytes);
  ASSERT_EQ(body.substr(0, 6), "\x0a\x04prod");
  // The name twice, the name last, a length in two bytes instead of one.
  EXPECT_THAT(Decode(Signed(body.substr(0, 6) + body)), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(Decode(Signed(body.substr(6) + body.substr(0, 6))),
              StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(Decode(Signed(std::string("\x0a\x84\x00prod", 7) + body.substr(6))),
              StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(KeyringRecordTest, RefusesValuesThatBreakTheRules) {
  KEKD_ASSERT_OK_AND_ASSIGN(const std::string bytes, EncodeRecord(FullRing(), *ring_key_));
  keyring::v1::KeyringBody good;
  ASSERT_TRUE(good.ParseFromString(BodyOf(bytes)));
  const auto expect_refused = [&](const keyring::v1::KeyringBody& body, absl::StatusCode code) {
    EXPECT_THAT(Decode(Signed(body.SerializeAsString())), StatusIs(code));
  };
  constexpr auto kDataLoss = absl::StatusCode::kDataLoss;
  auto body = good;
  body.mutable_versions(0)->set_number(2);
  expect_refused(body, kDataLoss);
  body = good;
  body.mutable_versions(0)->set_state(keyring::v1::STATE_UNSPECIFIED);
  expect_refused(body, kDataLoss);
  body = good;
  body.mutable_versions(0)->set_custody(static_cast<keyring::v1::Custody>(9));
  expect_refused(body, kDataLoss);
  body = good;
  body.mutable_ring_key_wraps(0)->set_type(static_cast<keyring::v1::WrapType>(9));
  expect_refused(body, kDataLoss);
  body = good;
  body.set_cluster_id("short");
  expect_refused(body, kDataLoss);
  body = good;
  body.mutable_applied_requests(0)->set_request_id("short");
  expect_refused(body, kDataLoss);
  body = good;
  body.mutable_versions(0)->set_algorithm(200);
  expect_refused(body, absl::StatusCode::kUnimplemented);
}

// Whoever can write to the folder must not be able to exhaust the memory of who reads it.
TEST_F(KeyringRecordTest, RefusesMoreFieldsThanARingMayHaveBeforeItParsesThem) {
  const auto expect_refused = [&](const std::string& body) {
    EXPECT_THAT(UnverifiedRecord::Parse(Signed(body)),
                StatusIs(absl::StatusCode::kDataLoss, HasSubstr("more fields than")));
  };
  const auto repeat = [](const std::string& bytes, size_t count) {
    std::string all;
    for (size_t i = 0; i < count; ++i) all += bytes;
    return all;
  };
  expect_refused(repeat(std::string("\x22\x00", 2), Keyring::kMaxWraps + 1));
  expect_refused(repeat(std::string("\x2a\x00", 2), Keyring::kMaxVersions + 1));
  expect_refused(repeat(std::string("\x2a\x00", 2), (kMaxRecordBytes - 100) / 2));
  expect_refused(repeat(std::string("\x32\x00", 2), Keyring::kMaxAppliedRequests + 1));
  // The wraps of one version: 65 empty ones, field 9.
  expect_refused("\x2a\x82\x01" + repeat(std::string("\x4a\x00", 2), Keyring::kMaxWraps + 1));
  // Unknown fields, which protobuf would keep: groups, and a version as a number.
  expect_refused(repeat("\x7b\x7c", 1000));
  expect_refused(repeat(std::string("\x28\x00", 2), 1000));
  // Lengths that lead out of the body, and out of the version.
  expect_refused("\x2a\x7f");
  expect_refused(std::string("\x2a\x02\x4a\x7f\x0a\x00", 6));
}

TEST_F(KeyringRecordTest, RefusesARecordThatIsLargerThanAny) {
  const std::string name(kMaxRecordBytes, 'x');
  keyring::v1::KeyringBody body;
  body.set_name(name);
  EXPECT_THAT(UnverifiedRecord::Parse(Signed(body.SerializeAsString())),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("of the largest")));
}

TEST_F(KeyringRecordTest, HasRoomForAFullRing) {
  Keyring::Parts parts = EmptyTestKeyring().parts();
  parts.identity.name = std::string(63, 'r');
  for (uint32_t number = 1; number <= Keyring::kMaxVersions; ++number) {
    KeyVersion version = TestVersion(number);
    version.canary = absl::StrCat(std::string(70, 'c'), absl::Dec(number, absl::kZeroPad8));
    version.key_id =
        *KeyId::Derive(parts.identity, number, version.backend, AsBytes(version.canary));
    version.material.wraps[0].blob = std::string(72, 'w');
    version.state = number < Keyring::kMaxVersions ? KeyState::kDeactivated : KeyState::kActive;
    version.activation_time = version.deactivation_time = version.compromise_time = kNow;
    parts.versions.push_back(std::move(version));
  }
  KEKD_ASSERT_OK_AND_ASSIGN(const Keyring ring, Keyring::Create(std::move(parts)));
  KEKD_ASSERT_OK_AND_ASSIGN(const std::string bytes, EncodeRecord(ring, *ring_key_));
  EXPECT_LT(bytes.size(), kMaxRecordBytes / 2);
  KEKD_ASSERT_OK_AND_ASSIGN(const Keyring decoded, Decode(bytes));
  EXPECT_EQ(decoded.versions(), ring.versions());
}

// What could not be read again must not be written: the ring would be lost.
TEST_F(KeyringRecordTest, WritesNoRecordThatItCouldNotRead) {
  Keyring::Parts parts = FullRing().parts();
  parts.ring_key_wraps[0].reference = "/etc/kekd/sch\xf6n.key";  // Latin-1, no UTF-8
  KEKD_ASSERT_OK_AND_ASSIGN(const Keyring ring, Keyring::Create(parts));
  EXPECT_FALSE(EncodeRecord(ring, *ring_key_).ok());
}

}  // namespace
}  // namespace kekd
