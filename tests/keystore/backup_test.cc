#include "keystore/backup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/length_prefixed.h"
#include "kekd/backup/v1/backup.pb.h"
#include "keystore/canary.h"
#include "keystore/canonical_message.h"
#include "keystore/digest.h"
#include "keystore/envelope_key_backend.h"
#include "keystore/keyring_record.h"
#include "keystore/software_key_backend.h"
#include "tests/fakes/fake_key_backend.h"
#include "tests/fakes/fake_random_source.h"
#include "tests/keystore/one_key_device.h"
#include "tests/keystore/test_ring.h"
#include "tests/support/secrets.h"
#include "tests/support/status_matchers.h"

namespace kekd {
namespace {

using ::kekd::testing::FakeKeyBackend;
using ::kekd::testing::FakeRandomSource;
using ::kekd::testing::RevealedHex;
using ::kekd::testing::SecretFromText;
using ::kekd::testing::StatusIs;
using ::kekd::testing::TestIdentity;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr absl::string_view kPassphrase = "correct horse battery staple";

// A passphrase that a test gives.
class TextSource final : public SecretSource {
 public:
  explicit TextSource(absl::string_view text) : text_(text) {}
  std::string Describe() const override { return "passphrase file /mnt/words"; }
  absl::StatusOr<SecretBytes> Read() const override {
    if (text_.empty()) return absl::NotFoundError("passphrase file /mnt/words does not exist");
    return SecretFromText(text_);
  }

 private:
  const std::string text_;
};

class BackupTest : public ::testing::Test {
 protected:
  BackupTest() { Build({"software", "software"}); }

  // A keyring with versions of these backends, the first active, and its record.
  void Build(const std::vector<std::string>& backends) {
    const std::unique_ptr<KeyBackend> software =
        CreateSoftwareKeyBackend(ring_key_, RandomSource::System());
    const std::unique_ptr<KeyBackend> wrapping = CreateEnvelopeKeyBackend(
        testing::CreateOneKeyDevice(), WrapType::kPkcs11, RandomSource::System());
    Keyring keyring = testing::EmptyTestKeyring();
    for (const std::string& backend : backends) {
      const bool wrapped = backend == "wrapped";
      const absl::StatusOr<KeyVersion> version =
          MakeKeyVersion({TestIdentity(), keyring.NextVersionNumber()},
                         backend == "software" ? *software
                         : wrapped             ? *wrapping
                                               : static_cast<KeyBackend&>(device_),
                         RandomSource::System(), now_, absl::InfiniteFuture(),
                         wrapped ? std::optional<Custody>(Custody::kEnvelope) : std::nullopt);
      keyring = *keyring.WithNewVersion(*version);
    }
    keyring_ = std::make_unique<Keyring>(keyring.WithPromoted(1, now_)->WithGeneration(7));
    record_ = *EncodeRecord(*keyring_, *ring_key_);
  }

  absl::StatusOr<NewBackup> Make(const BackupProtection& protection) {
    return MakeBackup(AsBytes(record_), *ring_key_, protection, "0.1.0", now_,
                      RandomSource::System());
  }
  NewBackup WithPassphrase() { return *Make(BackupPassphrase{&passphrase_}); }
  NewBackup WithShares() { return *Make(ShareNumbers{2, 3}); }

  static absl::StatusOr<OpenedBackup> Open(absl::string_view bytes, const BackupUnlock& unlock) {
    return OpenBackup(AsBytes(bytes), unlock, RandomSource::System());
  }
  // What a backup of record_ gives back.
  absl::StatusOr<OpenedBackup> OpenWithShares() {
    const NewBackup backup = WithShares();
    return Open(backup.bytes, absl::MakeConstSpan(backup.shares));
  }

  // The same bytes with an SHA-256 that fits: as somebody would alter them on purpose.
  static std::string Resigned(std::string bytes) {
    bytes.resize(bytes.size() - 32);
    if (!FinishBackup(bytes).ok()) abort();
    return bytes;
  }
  // The backup with its header exchanged, sizes and SHA-256 fitting.
  static std::string WithHeader(const std::string& bytes, absl::string_view header) {
    const uint32_t old_size = ReadU32(AsBytes(bytes).data() + 10);
    std::string changed = bytes.substr(0, 10);
    AppendU32(changed, static_cast<uint32_t>(header.size()));
    changed += bytes.substr(14, 4);
    changed.append(header.data(), header.size());
    changed += bytes.substr(18 + old_size);
    return Resigned(changed);
  }
  static backup::v1::BackupHeader HeaderOf(const std::string& bytes) {
    backup::v1::BackupHeader header;
    if (!header.ParseFromString(bytes.substr(18, ReadU32(AsBytes(bytes).data() + 10)))) abort();
    return header;
  }

  const absl::Time now_ = absl::FromUnixSeconds(1'767'000'000);
  FakeKeyBackend device_{FakeKeyBackend::NewDevice(), "pkcs11", RandomSource::System()};
  const SecretBytes passphrase_ = SecretFromText(kPassphrase);
  const TextSource source_{kPassphrase};
  const std::shared_ptr<const RingKey> ring_key_ = *RingKey::Create(
      SecretFromText(std::string(32, 'r')), TestIdentity().ring_uuid, RandomSource::System());
  std::unique_ptr<Keyring> keyring_;
  std::string record_;
};

TEST_F(BackupTest, PassphraseOpensWhatWasBackedUp) {
  const NewBackup backup = WithPassphrase();
  EXPECT_TRUE(backup.shares.empty());
  KEKD_ASSERT_OK_AND_ASSIGN(const OpenedBackup opened, Open(backup.bytes, &source_));
  EXPECT_EQ(opened.record, record_);
  EXPECT_EQ(RevealedHex(opened.ring_key->secret()), RevealedHex(ring_key_->secret()));
  EXPECT_EQ(opened.keyring->generation(), 7u);
  EXPECT_EQ(opened.header.ring, TestIdentity());
  EXPECT_EQ(opened.header.generation, 7u);
  EXPECT_EQ(opened.header.highest_version, 2u);
  EXPECT_EQ(opened.header.record_format, ReadU16(AsBytes(record_).data() + 8));
  EXPECT_EQ(opened.header.creation_time, now_);
  EXPECT_EQ(opened.header.kekd_version, "0.1.0");
  EXPECT_EQ(opened.header.backup_id, backup.header.backup_id);
  EXPECT_EQ(DescribeProtection(opened.header), "a passphrase");
}

TEST_F(BackupTest, AnyTwoOfThreeSharesOpenIt) {
  const NewBackup backup = WithShares();
  ASSERT_EQ(backup.shares.size(), 3u);
  EXPECT_EQ(DescribeProtection(backup.header), "any 2 of 3 shares");
  for (const std::pair<size_t, size_t> chosen :
       {std::pair(0, 1), std::pair(2, 0), std::pair(1, 2)}) {
    std::vector<BackupShare> some;
    for (const size_t i : {chosen.first, chosen.second}) {
      some.push_back(
          *ParseShare(ShareWords(backup.shares[i])->Reveal(SecretAccessToken()), "share"));
    }
    KEKD_ASSERT_OK_AND_ASSIGN(const OpenedBackup opened,
                              Open(backup.bytes, absl::MakeConstSpan(some)));
    EXPECT_EQ(opened.record, record_);
  }
}

TEST_F(BackupTest, NoTwoBackupsAreAlike) {
  const NewBackup a = WithShares();
  const NewBackup b = WithShares();
  EXPECT_FALSE(a.header.backup_id == b.header.backup_id);
  EXPECT_NE(a.bytes, b.bytes);
  // And the ring key is in none of them.
  EXPECT_EQ(a.bytes.find(std::string(8, 'r')), std::string::npos);
}

TEST_F(BackupTest, WrongPassphraseIsToldFromDamage) {
  const NewBackup backup = WithPassphrase();
  const TextSource wrong("correct horse battery stable");
  EXPECT_THAT(Open(backup.bytes, &wrong),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("passphrase file /mnt/words does not open the backup"),
                             HasSubstr("2025-12-29"))));
  const TextSource missing("");
  EXPECT_THAT(Open(backup.bytes, &missing), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(BackupTest, TheOtherWayToOpenIsNamed) {
  const NewBackup by_shares = WithShares();
  EXPECT_THAT(Open(by_shares.bytes, &source_),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("opened by any 2 of 3 shares, not by a passphrase")));
  EXPECT_THAT(Open(WithPassphrase().bytes, absl::MakeConstSpan(by_shares.shares)),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("opened by a passphrase, not by shares")));
}

TEST_F(BackupTest, SharesOfAnotherBackupOfTheSameRingAreNamed) {
  const NewBackup backup = WithShares();
  const NewBackup other = WithShares();
  EXPECT_THAT(Open(backup.bytes, absl::MakeConstSpan(other.shares)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("another backup")));
  EXPECT_THAT(Open(backup.bytes, absl::MakeConstSpan(backup.shares).first(1)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("1 share was given")));
}

TEST_F(BackupTest, AlteredShareOfTheRightBackupDoesNotOpenIt) {
  NewBackup backup = WithShares();
  backup.shares[1].secret.value.RevealMutable(SecretAccessToken())[5] ^= 1;
  EXPECT_THAT(Open(backup.bytes, absl::MakeConstSpan(backup.shares).first(2)),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("altered")));
}

TEST_F(BackupTest, AlteredShareIsNamedWhereTheOthersOpenIt) {
  for (size_t altered = 0; altered < 3; ++altered) {
    SCOPED_TRACE(altered);
    NewBackup backup = WithShares();
    KEKD_EXPECT_OK(Open(backup.bytes, absl::MakeConstSpan(backup.shares)));
    backup.shares[altered].secret.value.RevealMutable(SecretAccessToken())[5] ^= 1;
    EXPECT_THAT(Open(backup.bytes, absl::MakeConstSpan(backup.shares)),
                StatusIs(absl::StatusCode::kDataLoss,
                         HasSubstr(absl::StrCat("share ", altered + 1, " does not fit"))));
    // Two altered ones of three can't be told.
    backup.shares[(altered + 1) % 3].secret.value.RevealMutable(SecretAccessToken())[5] ^= 1;
    EXPECT_THAT(Open(backup.bytes, absl::MakeConstSpan(backup.shares)),
                StatusIs(absl::StatusCode::kDataLoss, HasSubstr("altered one of them")));
  }
}

TEST_F(BackupTest, EveryDamagedByteIsNoticedWithoutOpening) {
  const std::string good = WithShares().bytes;
  KEKD_ASSERT_OK(ParseBackup(AsBytes(good)));
  for (size_t i = 0; i < good.size(); ++i) {
    std::string damaged = good;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x10);
    const absl::Status status = ParseBackup(AsBytes(damaged)).status();
    // The two bytes of the format may name a newer one.
    ASSERT_TRUE(absl::IsDataLoss(status) || (absl::IsUnimplemented(status) && (i == 8 || i == 9)))
        << i << ": " << status;
  }
}

TEST_F(BackupTest, EveryTruncationIsNoticed) {
  const std::string good = WithShares().bytes;
  for (size_t size = 0; size < good.size(); ++size) {
    const absl::Status status = ParseBackup(AsBytes(good.substr(0, size))).status();
    ASSERT_TRUE(absl::IsDataLoss(status)) << size << ": " << status;
  }
  EXPECT_THAT(ParseBackup(AsBytes(good.substr(0, good.size() - 1))),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("cut off")));
  EXPECT_THAT(ParseBackup(AsBytes(good + "x")),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("1 bytes too many")));
  EXPECT_THAT(ParseBackup(AsBytes("")), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("empty")));
  EXPECT_THAT(ParseBackup(AsBytes(record_)),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("no backup of a keyring")));
}

// Whoever has no passphrase can make the SHA-256 fit, but nothing else.
TEST_F(BackupTest, AlterationOnPurposeDoesNotOpen) {
  const NewBackup backup = WithShares();
  const auto unlock = absl::MakeConstSpan(backup.shares);
  const std::string& good = backup.bytes;
  for (size_t i = 18; i < good.size() - 32; ++i) {
    std::string altered = good;
    altered[i] = static_cast<char>(altered[i] ^ 1);
    const absl::Status status = Open(Resigned(altered), unlock).status();
    ASSERT_TRUE(absl::IsDataLoss(status) || absl::IsInvalidArgument(status)) << i << status;
  }
  backup::v1::BackupHeader header = HeaderOf(good);
  header.set_generation(8);
  EXPECT_THAT(Open(WithHeader(good, SerializeCanonical(header)), unlock),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("altered")));
}

TEST_F(BackupTest, HeadersThatNobodyWritesAreDamage) {
  const std::string good = WithPassphrase().bytes;
  const auto parsed = [&](absl::string_view header) {
    return ParseBackup(AsBytes(WithHeader(good, header))).status();
  };
  const backup::v1::BackupHeader header = HeaderOf(good);
  KEKD_EXPECT_OK(parsed(SerializeCanonical(header)));
  const std::string bytes = header.SerializeAsString();
  for (const std::string& bad : {bytes + std::string("\xf8\x01\x01", 3),  // an unknown field
                                 bytes + std::string("\x28\x07", 2),      // a field twice
                                 bytes.substr(18) + bytes.substr(0, 18),  // another order
                                 std::string(), bytes.substr(0, bytes.size() - 1)}) {
    EXPECT_THAT(parsed(bad), StatusIs(absl::StatusCode::kDataLoss));
  }
  const auto changed = [&](auto change) {
    backup::v1::BackupHeader copy = header;
    change(copy);
    return parsed(SerializeCanonical(copy));
  };
  for (const absl::Status& status : {
           changed([](auto& h) { h.set_backup_id("short"); }),
           changed([](auto& h) { h.set_keyring("Not A Label"); }),
           changed([](auto& h) { h.set_generation(0); }),
           changed([](auto& h) { h.set_highest_version(10001); }),
           changed([](auto& h) { h.set_record_format(0); }),
           changed([](auto& h) { h.set_kekd_version(std::string(65, '1')); }),
           changed([](auto& h) { h.clear_passphrase(); }),
           changed([](auto& h) { h.mutable_passphrase()->set_log2_n(40); }),
           changed([](auto& h) { h.mutable_passphrase()->set_salt("short"); }),
           changed([](auto& h) {
             h.mutable_shares()->set_threshold(5);
             h.mutable_shares()->set_total(4);
           }),
       }) {
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kDataLoss));
  }
  EXPECT_THAT(changed([](auto& h) { h.mutable_passphrase()->set_function(9); }),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("newer kekd")));
}

TEST_F(BackupTest, SizesThatWouldNotFitInMemoryAreRefused) {
  std::string bytes = WithShares().bytes;
  for (const size_t at : {size_t{10}, size_t{14}}) {
    std::string huge = bytes;
    for (size_t i = 0; i < 4; ++i) huge[at + i] = '\xff';
    EXPECT_THAT(ParseBackup(AsBytes(huge)),
                StatusIs(absl::StatusCode::kDataLoss, HasSubstr("larger than")));
  }
}

TEST_F(BackupTest, NewerFormatIsNamed) {
  std::string bytes = WithShares().bytes;
  bytes[9] = 2;
  EXPECT_THAT(ParseBackup(AsBytes(bytes)),
              StatusIs(absl::StatusCode::kUnimplemented,
                       AllOf(HasSubstr("format 2"), HasSubstr("formats up to 1"))));
}

TEST_F(BackupTest, NothingIsBackedUpThatCouldNotBeOpened) {
  const std::shared_ptr<const RingKey> other = *RingKey::Create(
      SecretFromText(std::string(32, 'o')), TestIdentity().ring_uuid, RandomSource::System());
  EXPECT_THAT(MakeBackup(AsBytes(record_), *other, ShareNumbers{2, 3}, "0.1.0", now_,
                         RandomSource::System()),
              StatusIs(absl::StatusCode::kDataLoss));
  std::string damaged = record_;
  damaged.back() = static_cast<char>(damaged.back() ^ 1);
  EXPECT_THAT(MakeBackup(AsBytes(damaged), *ring_key_, ShareNumbers{2, 3}, "0.1.0", now_,
                         RandomSource::System()),
              StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(BackupTest, WeakProtectionIsRefused) {
  const SecretBytes weak = SecretFromText("secret");
  EXPECT_THAT(Make(BackupPassphrase{&weak}), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Make(ShareNumbers{1, 3}), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(BackupTest, FailureOfTheRandomSourceMakesNoBackup) {
  for (int good_calls = 0; good_calls < 4; ++good_calls) {
    FakeRandomSource random;
    const std::vector<size_t> sizes = {16, 32, 32, 24};  // id, secret, coefficients, nonce
    for (int i = 0; i < good_calls; ++i) random.Queue(std::string(sizes[i], 'x'));
    random.QueueFailure();
    EXPECT_THAT(MakeBackup(AsBytes(record_), *ring_key_, ShareNumbers{2, 3}, "0.1.0", now_, random),
                StatusIs(absl::StatusCode::kInternal));
  }
}

TEST_F(BackupTest, SoftwareKeysAreProvenByTheBackupAlone) {
  KEKD_ASSERT_OK_AND_ASSIGN(const OpenedBackup opened, OpenWithShares());
  const std::vector<VersionProof> proofs = ProveBackup(opened, absl::InfiniteFuture());
  ASSERT_EQ(proofs.size(), 2u);
  for (const VersionProof& proof : proofs) {
    EXPECT_EQ(proof.result, VersionProof::Result::kProven);
    KEKD_EXPECT_OK(proof.status);
    EXPECT_EQ(proof.key_id, keyring_->Find(proof.version)->key_id);
  }
  KEKD_EXPECT_OK(CheckProofs(proofs));
}

// The key itself was in kekd's memory; what is in the backup opens with the device alone.
TEST_F(BackupTest, KeysThatADeviceWrapsStayWrappedByIt) {
  Build({"software", "wrapped"});
  KEKD_ASSERT_OK_AND_ASSIGN(const OpenedBackup opened, OpenWithShares());
  const std::vector<VersionProof> proofs = ProveBackup(opened, absl::InfiniteFuture());
  ASSERT_EQ(proofs.size(), 2u);
  EXPECT_EQ(proofs[1].result, VersionProof::Result::kElsewhere);
  EXPECT_EQ(proofs[1].custody, Custody::kEnvelope);
  KEKD_EXPECT_OK(CheckProofs(proofs));
  BackendSet backends;
  backends.Add(CreateSoftwareKeyBackend(opened.ring_key, RandomSource::System()));
  backends.Add(CreateEnvelopeKeyBackend(testing::CreateOneKeyDevice(), WrapType::kPkcs11,
                                        RandomSource::System()));
  for (const VersionProof& proof :
       ProveVersions(opened.keyring, backends, absl::InfiniteFuture())) {
    EXPECT_EQ(proof.result, VersionProof::Result::kProven) << proof.status;
  }
}

TEST_F(BackupTest, KeysOnADeviceAreElsewhere) {
  Build({"software", "pkcs11"});
  KEKD_ASSERT_OK_AND_ASSIGN(const OpenedBackup opened, OpenWithShares());
  const std::vector<VersionProof> proofs = ProveBackup(opened, absl::InfiniteFuture());
  ASSERT_EQ(proofs.size(), 2u);
  EXPECT_EQ(proofs[0].result, VersionProof::Result::kProven);
  EXPECT_EQ(proofs[1].result, VersionProof::Result::kElsewhere);
  EXPECT_FALSE(proofs[1].status.ok());
  KEKD_EXPECT_OK(CheckProofs(proofs));
}

TEST_F(BackupTest, KeyThatShouldBeThereAndIsNotFails) {
  Keyring::Parts parts = keyring_->parts();
  std::swap(parts.versions[0].material.wraps, parts.versions[1].material.wraps);
  record_ = *EncodeRecord(*Keyring::Create(std::move(parts)), *ring_key_);
  KEKD_ASSERT_OK_AND_ASSIGN(const OpenedBackup opened, OpenWithShares());
  const std::vector<VersionProof> proofs = ProveBackup(opened, absl::InfiniteFuture());
  EXPECT_EQ(proofs[0].result, VersionProof::Result::kFailed);
  EXPECT_THAT(CheckProofs(proofs),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("key version 1 can't be opened")));
}

}  // namespace
}  // namespace kekd
