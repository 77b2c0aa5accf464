// The formats that outlive us, as files that an earlier kekd wrote (write_golden_files.cc). They
// are never made again: a reader takes every format it ever wrote. A new format gets files of its
// own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "keystore/ciphertext.h"
#include "keystore/envelope_key_backend.h"
#include "keystore/high_water.h"
#include "keystore/key_file.h"
#include "keystore/keyring_record.h"
#include "keystore/open_keyring.h"
#include "keystore/ring_key_wrapper.h"
#include "keystore/secret_source.h"
#include "keystore/software_key_backend.h"
#include "tests/keystore/one_key_device.h"
#include "tests/keystore/test_ring.h"
#include "tests/support/secrets.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace kekd {
namespace {

using ::kekd::testing::ReadTestFile;
using ::kekd::testing::RevealedText;
using ::kekd::testing::TempDirectory;
using ::kekd::testing::TestIdentity;
using ::kekd::testing::TestUuid;
using ::kekd::testing::WriteTestFile;

constexpr absl::string_view kPlaintext = "the seed that an API server once encrypted";

absl::Time At(int64_t seconds) { return absl::FromUnixSeconds(1'767'000'000 + seconds); }

// The parameter is the record's format.
class GoldenFilesTest : public ::testing::TestWithParam<uint16_t> {
 protected:
  static std::string GoldenPath(absl::string_view name) {
    return absl::StrCat(KEKD_TEST_DATA, "/keyring_v", GetParam(), ".", name);
  }
  void SetUp() override {
    // A checkout gives the key file the umask's mode.
    WriteTestFile(key_file_, ReadTestFile(GoldenPath("key")));
    ASSERT_EQ(chmod(key_file_.c_str(), 0600), 0);
    record_ = ReadTestFile(GoldenPath("record"));
    KEKD_ASSERT_OK_AND_ASSIGN(const UnverifiedRecord unverified, UnverifiedRecord::Parse(record_));
    std::vector<std::unique_ptr<RingKeyWrapper>> wrappers;
    wrappers.push_back(::kekd::testing::KeyFileWrapper(key_file_));
    KEKD_ASSERT_OK_AND_ASSIGN(const OpenedRingKey opened,
                              OpenRingKey(unverified.ring_key_wraps(), wrappers,
                                          unverified.identity(), RandomSource::System()));
    EXPECT_EQ(opened.wrap_number, 1u);
    ring_key_ = opened.ring_key;
    KEKD_ASSERT_OK_AND_ASSIGN(const Keyring keyring, unverified.Verify(*ring_key_));
    keyring_ = std::make_shared<const Keyring>(keyring);
  }

  TempDirectory folder_;
  const std::string key_file_ = folder_.File("key");
  std::string record_;
  std::shared_ptr<const RingKey> ring_key_;
  std::shared_ptr<const Keyring> keyring_;
};

TEST_P(GoldenFilesTest, RecordHoldsWhatWasWritten) {
  EXPECT_EQ(keyring_->identity(), TestIdentity());
  EXPECT_EQ(keyring_->generation(), 9u);
  EXPECT_EQ(keyring_->creation_time(), At(0));
  EXPECT_EQ(keyring_->format(), GetParam());
  EXPECT_EQ(keyring_->FindWrap(1)->reference, "/etc/kekd/prod.key");
  const bool digests = GetParam() > 1;
  EXPECT_EQ(
      keyring_->applied_requests(),
      (std::vector<AppliedRequest>{{TestUuid(1), 8, 2, digests ? std::string(32, 'd') : ""},
                                   {TestUuid(2), 9, 1, digests ? std::string(32, 'e') : ""}}));

  ASSERT_EQ(keyring_->versions().size(), GetParam() > 2 ? 5u : 4u);
  const KeyVersion& first = *keyring_->Find(1);
  constexpr const char* kFirst[] = {
      "prod.1.11baad21ce45cb9431f95406b5930c38", "prod.1.e7b0f6d25f124acb6de4f3051af95e6a",
      "prod.1.e7b0f6d25f124acb6de4f3051af95e6a", "prod.1.e7b0f6d25f124acb6de4f3051af95e6a"};
  EXPECT_EQ(first.key_id.text(), kFirst[GetParam() - 1]);
  EXPECT_EQ(first.state, KeyState::kDeactivated);
  EXPECT_EQ(first.creation_time, At(1));
  EXPECT_EQ(first.activation_time, At(10));
  EXPECT_EQ(first.deactivation_time, At(20));
  EXPECT_EQ(first.compromise_time, At(40));
  EXPECT_EQ(first.material.custody, Custody::kEnvelope);
  EXPECT_EQ(first.material.algorithm, Algorithm::kXaes256Gcm);
  ASSERT_EQ(first.material.wraps.size(), 1u);
  EXPECT_EQ(first.material.wraps[0].type, WrapType::kRingKey);
  const KeyVersion& second = *keyring_->Find(2);
  constexpr const char* kSecond[] = {
      "prod.2.3c6d70d990b36ab187415c902283bf66", "prod.2.55106f85abe48ef1bd9ed4af6129d45b",
      "prod.2.55106f85abe48ef1bd9ed4af6129d45b", "prod.2.55106f85abe48ef1bd9ed4af6129d45b"};
  EXPECT_EQ(second.key_id.text(), kSecond[GetParam() - 1]);
  EXPECT_EQ(&second, keyring_->Primary());
  EXPECT_EQ(second.deactivation_time, absl::InfiniteFuture());
  const KeyVersion& third = *keyring_->Find(3);
  EXPECT_EQ(third.state, KeyState::kDestroyed);
  EXPECT_EQ(third.destruction_time, At(30));
  EXPECT_EQ(third.backend, "pkcs11");
  EXPECT_EQ(third.material.custody, Custody::kDevice);
  EXPECT_EQ(third.material.algorithm, Algorithm::kAes256Gcm);
  EXPECT_EQ(third.material.key_reference, "fake:key-1");
  EXPECT_EQ(keyring_->Find(4)->state, KeyState::kPreActivation);
  EXPECT_EQ(keyring_->Find(4)->activation_time, absl::InfiniteFuture());
  if (GetParam() < 3) return;
  const KeyVersion& fifth = *keyring_->Find(5);
  EXPECT_EQ(fifth.backend, "pkcs11");
  EXPECT_EQ(fifth.material.custody, Custody::kEnvelope);
  EXPECT_EQ(fifth.material.algorithm, Algorithm::kXaes256Gcm);
  EXPECT_EQ(fifth.material.key_reference, "device:key");
  ASSERT_EQ(fifth.material.wraps.size(), 1u);
  EXPECT_EQ(fifth.material.wraps[0].type, WrapType::kPkcs11);
  EXPECT_EQ(fifth.material.wraps[0].reference, "pkcs11:token=golden");
}

TEST_P(GoldenFilesTest, TellsOfTheRotationThatRuns) {
  ASSERT_EQ(keyring_->rotation().has_value(), GetParam() > 3);
  if (GetParam() < 4) return;
  const RotationRecord& rotation = *keyring_->rotation();
  EXPECT_EQ(rotation.from, 2u);
  EXPECT_EQ(rotation.to, 4u);
  EXPECT_EQ(rotation.step, RotationStep::kProve);
  EXPECT_EQ(rotation.who, "alice@cp1");
  EXPECT_EQ(rotation.reason, "the yearly one");
  EXPECT_EQ(rotation.nodes, (std::vector<std::string>{"cp1", "cp2"}));
  EXPECT_EQ(rotation.proved, (std::vector<ProvedNode>{{"cp2", At(52)}}));
  EXPECT_EQ(rotation.begin_time, At(50));
  EXPECT_EQ(rotation.step_time, At(51));
}

TEST_P(GoldenFilesTest, WrapsAreThoseOfTheFormat) {
  if (GetParam() == 1) {
    EXPECT_EQ(keyring_->ring_key_wraps().size(), 1u);
    EXPECT_EQ(keyring_->next_wrap_number(), 2u);
    EXPECT_EQ(keyring_->ring_key_number(), 1u);
    return;
  }
  ASSERT_EQ(keyring_->ring_key_wraps().size(), 2u);
  EXPECT_EQ(keyring_->next_wrap_number(), 4u);
  EXPECT_EQ(keyring_->ring_key_number(), 2u);
  KEKD_EXPECT_OK(ring_key_->UnwrapFormer(keyring_->former_ring_key()));
  const Wrap& passphrase = *keyring_->FindWrap(3);
  EXPECT_EQ(passphrase.type, WrapType::kPassphrase);
  EXPECT_EQ(passphrase.reference, "the safe in room 4");
  EXPECT_EQ(passphrase.creation_time, At(3));
  EXPECT_EQ(passphrase.kdf->log2_n, 17u);
  const std::string path = folder_.File("passphrase");
  WriteTestFile(path, ReadTestFile(GoldenPath("passphrase")));
  ASSERT_EQ(chmod(path.c_str(), 0600), 0);
  std::vector<std::unique_ptr<RingKeyWrapper>> wrappers;
  wrappers.push_back(CreatePassphraseWrapper(
      CreateFileSecretSource(FileSystem::System(), "passphrase file", path, std::nullopt), "",
      KdfFunction::kScrypt, RandomSource::System()));
  KEKD_ASSERT_OK_AND_ASSIGN(
      const OpenedRingKey opened,
      OpenRingKey(keyring_->ring_key_wraps(), wrappers, TestIdentity(), RandomSource::System()));
  EXPECT_TRUE(SecretBytes::ConstantTimeEquals(opened.ring_key->secret(), ring_key_->secret()));
}

TEST_P(GoldenFilesTest, RecordIsWrittenAgainByteForByte) {
  KEKD_ASSERT_OK_AND_ASSIGN(const std::string again, EncodeRecord(*keyring_, *ring_key_));
  EXPECT_TRUE(again == record_);
}

TEST_P(GoldenFilesTest, KeysOfTheRecordStillOpen) {
  BackendSet backends;
  backends.Add(CreateSoftwareKeyBackend(ring_key_, RandomSource::System()));
  backends.Add(CreateEnvelopeKeyBackend(::kekd::testing::CreateOneKeyDevice(), WrapType::kPkcs11,
                                        RandomSource::System()));
  const auto opened = OpenKeyring::Open(keyring_, backends, nullptr, absl::InfiniteFuture());
  for (const uint32_t number : {1u, 2u, 4u}) KEKD_ASSERT_OK(opened->Find(number)->status);
  if (GetParam() > 2) {
    KEKD_ASSERT_OK(opened->Find(5)->status);
  }

  const std::string bytes = ReadTestFile(GoldenPath("ciphertext"));
  KEKD_ASSERT_OK_AND_ASSIGN(const Ciphertext ciphertext, Ciphertext::Parse(AsBytes(bytes)));
  EXPECT_EQ(ciphertext.algorithm, Algorithm::kXaes256Gcm);
  ASSERT_EQ(ciphertext.version, 2u);
  const OpenKeyring::Entry& entry = *opened->Find(ciphertext.version);
  KEKD_ASSERT_OK_AND_ASSIGN(
      const SecretBytes plaintext,
      entry.key->Decrypt(ciphertext.sealed,
                         AsBytes(CiphertextAssociatedData(
                             keyring_->identity(), ciphertext.algorithm, entry.version->key_id)),
                         absl::InfiniteFuture()));
  EXPECT_EQ(RevealedText(plaintext), kPlaintext);
}

TEST_P(GoldenFilesTest, HighWaterFileHoldsWhatWasWritten) {
  KEKD_ASSERT_OK_AND_ASSIGN(const HighWater high_water,
                            ReadHighWater(FileSystem::System(), GoldenPath("high-water"),
                                          TestIdentity().ring_uuid, *ring_key_));
  EXPECT_EQ(high_water.highest, 11u);
  EXPECT_EQ(high_water.accepted, 9u);
  const std::string again = folder_.File("high-water");
  KEKD_ASSERT_OK(WriteHighWater(FileSystem::System(), again, TestIdentity().ring_uuid, *ring_key_,
                                high_water, {}));
  EXPECT_TRUE(ReadTestFile(again) == ReadTestFile(GoldenPath("high-water")));
}

INSTANTIATE_TEST_SUITE_P(Formats, GoldenFilesTest, ::testing::Values(1, 2, 3, 4));

}  // namespace
}  // namespace kekd
