#include "keystore/backup_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/length_prefixed.h"
#include "keystore/digest.h"
#include "tests/fakes/fault_injecting_file_system.h"
#include "tests/keystore/test_ring.h"
#include "tests/support/secrets.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace kekd {
namespace {

using ::kekd::testing::EmptyTestKeyring;
using ::kekd::testing::FaultInjectingFileSystem;
using ::kekd::testing::ReadTestFile;
using ::kekd::testing::SecretFromText;
using ::kekd::testing::StatusIs;
using ::kekd::testing::TempDirectory;
using ::kekd::testing::TestIdentity;
using ::kekd::testing::TestUuid;
using ::kekd::testing::TestVersion;
using ::kekd::testing::WithOneMore;
using ::kekd::testing::WriteTestFile;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Entries = std::vector<BackupLogEntry>;

absl::Time At(int64_t seconds) { return absl::FromUnixSeconds(1'767'000'000 + seconds); }

// A ring value with so many versions.
Keyring WithVersions(uint32_t count) {
  Keyring keyring = EmptyTestKeyring();
  while (keyring.versions().size() < count) keyring = WithOneMore(keyring);
  return keyring;
}

// A backup of a ring with so many versions, at that generation.
BackupLogEntry Entry(uint8_t id, uint64_t generation, uint32_t versions, bool verified) {
  BackupHeader header;
  header.backup_id = TestUuid(id);
  header.ring = TestIdentity();
  header.generation = generation;
  header.highest_version = versions;
  header.creation_time = At(id);
  header.protection = ShareNumbers{2, 3};
  BackupLogEntry entry =
      *EntryOf(header, WithVersions(versions), absl::StrCat("/mnt/backup-", uint32_t{id}));
  if (verified) entry.verification_time = At(1000 + id);
  return entry;
}

class BackupLogTest : public ::testing::Test {
 protected:
  static std::shared_ptr<const RingKey> Key(char c) {
    return *RingKey::Create(SecretFromText(std::string(32, c)), TestIdentity().ring_uuid,
                            RandomSource::System());
  }
  absl::StatusOr<Entries> Read(FileSystem& fs = FileSystem::System()) {
    return ReadBackupLog(fs, path_, TestIdentity().ring_uuid, *ring_key_);
  }
  absl::Status Write(const Entries& entries, FileSystem& fs = FileSystem::System()) {
    return WriteBackupLog(fs, path_, TestIdentity().ring_uuid, *ring_key_, entries, {});
  }

  TempDirectory folder_;
  const std::string path_ = BackupLogPath(folder_.path(), TestIdentity().ring_uuid);
  const std::shared_ptr<const RingKey> ring_key_ = Key('r');
};

TEST_F(BackupLogTest, HoldsWhatWasWritten) {
  EXPECT_EQ(path_, folder_.File("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0.backups"));
  BackupLogEntry by_passphrase = Entry(2, 8, 3, false);
  by_passphrase.shares.reset();
  by_passphrase.path = "/mnt/\xff no UTF-8";
  KEKD_ASSERT_OK(Write({Entry(1, 5, 2, true), by_passphrase}));
  KEKD_ASSERT_OK_AND_ASSIGN(const Entries read, Read());
  ASSERT_EQ(read.size(), 2u);
  EXPECT_EQ(read[0].backup_id, TestUuid(1));
  EXPECT_EQ(read[0].creation_time, At(1));
  EXPECT_EQ(read[0].generation, 5u);
  EXPECT_EQ(read[0].highest_version, 2u);
  EXPECT_EQ(read[0].keys, *KeysDigest(WithVersions(2), 2));
  EXPECT_EQ(read[0].ring_key_number, 1u);
  EXPECT_EQ(*read[0].shares, (ShareNumbers{2, 3}));
  EXPECT_EQ(read[0].path, "/mnt/backup-1");
  EXPECT_EQ(read[0].verification_time, At(1001));
  EXPECT_FALSE(read[1].shares.has_value());
  EXPECT_FALSE(read[1].IsVerified());
  EXPECT_EQ(read[1].path, by_passphrase.path);
}

TEST_F(BackupLogTest, MissingDamagedAndForeignAreToldApart) {
  EXPECT_THAT(Read(), StatusIs(absl::StatusCode::kNotFound));
  KEKD_ASSERT_OK(Write({Entry(1, 5, 2, true)}));
  const std::string good = ReadTestFile(path_);
  for (size_t i = 0; i < good.size(); ++i) {
    std::string damaged = good;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x10);
    WriteTestFile(path_, damaged);
    const absl::Status status = Read().status();
    ASSERT_TRUE(absl::IsDataLoss(status) || (absl::IsUnimplemented(status) && (i == 8 || i == 9)))
        << i << ": " << status;
    WriteTestFile(path_, good.substr(0, i));
    ASSERT_TRUE(absl::IsDataLoss(Read().status())) << i;
  }
  WriteTestFile(path_, std::string(1 << 20, 'x'));
  EXPECT_THAT(Read(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("too large")));
  WriteTestFile(path_, good);
  EXPECT_THAT(ReadBackupLog(FileSystem::System(), path_, TestIdentity().ring_uuid, *Key('o')),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("another ring's")));
  EXPECT_THAT(ReadBackupLog(FileSystem::System(), path_, TestUuid(9), *ring_key_),
              StatusIs(absl::StatusCode::kDataLoss));
  std::string newer = good;
  newer[9] = 2;
  WriteTestFile(path_, newer);
  // The authentication says that nobody wrote this.
  EXPECT_THAT(Read(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("format number")));
  newer.back() = static_cast<char>(newer.back() + 1);  // as under the other format
  WriteTestFile(path_, newer);
  EXPECT_THAT(Read(), StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("format 2")));
}

TEST_F(BackupLogTest, ContentThatNobodyWritesIsDamageAlsoWithTheRingKey) {
  const auto signed_body = [&](absl::string_view body) {
    std::string bytes("kekdblog\0\1", 10);
    bytes += std::string(AsText(TestIdentity().ring_uuid.bytes()));
    bytes.append(body.data(), body.size());
    const SecretBytes key =
        *HkdfSha256(ring_key_->secret(), TestIdentity().ring_uuid.bytes(), "kekd/backup-log-mac/1");
    const Sha256Digest mac = *HmacSha256(key, AsBytes(bytes));
    bytes += std::string(AsText(mac));
    WriteTestFile(path_, bytes);
    return Read();
  };
  EXPECT_THAT(signed_body(""), ::kekd::testing::IsOkAndHolds(IsEmpty()));
  EXPECT_THAT(signed_body("\x7a\x01x"), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(signed_body(absl::string_view("\x0a\x00", 2)),  // an entry without an id
              StatusIs(absl::StatusCode::kDataLoss));
  std::string too_many;
  for (size_t i = 0; i <= kMaxBackupLogEntries; ++i) too_many += std::string("\x0a\x00", 2);
  EXPECT_THAT(signed_body(too_many), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("more")));
}

TEST_F(BackupLogTest, FailedWriteLeavesTheOldOne) {
  KEKD_ASSERT_OK(Write({Entry(1, 5, 2, true)}));
  for (size_t call = 0;; ++call) {
    FaultInjectingFileSystem fs;
    fs.Inject({.call = call, .kind = testing::Fault::Kind::kCrash, .error = EIO});
    const absl::Status written = Write({Entry(1, 5, 2, true), Entry(2, 6, 2, true)}, fs);
    KEKD_ASSERT_OK_AND_ASSIGN(const Entries read, Read());
    if (!fs.injected_all()) {
      KEKD_EXPECT_OK(written);
      EXPECT_EQ(read.size(), 2u);
      break;
    }
    ASSERT_GE(read.size(), 1u);
    KEKD_ASSERT_OK(Write({Entry(1, 5, 2, true)}));
  }
}

TEST_F(BackupLogTest, SameBackupAgainBringsItsEntryUpToDate) {
  Entries entries = {Entry(1, 5, 2, true), Entry(2, 6, 2, false)};
  BackupLogEntry again = Entry(2, 6, 2, true);
  again.path = "/safe/copy";
  AddBackup(entries, again);
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[1].path, "/safe/copy");
  EXPECT_EQ(entries[1].verification_time, At(1002));
  // Made again without a proof, it does not lose the one it has.
  AddBackup(entries, Entry(2, 6, 2, false));
  EXPECT_EQ(entries[1].verification_time, At(1002));
}

TEST_F(BackupLogTest, FullLogLosesWhatALaterVerifiedOneSupersedes) {
  Entries entries;
  // The first is the only one that was verified; all later ones were not.
  AddBackup(entries, Entry(0, 1, 1, true));
  for (uint8_t i = 1; i < kMaxBackupLogEntries; ++i) AddBackup(entries, Entry(i, 1 + i, 1, false));
  ASSERT_EQ(entries.size(), kMaxBackupLogEntries);
  // Nothing supersedes anything: the oldest that proves nothing goes.
  Entries unverified = entries;
  AddBackup(unverified, Entry(200, 200, 1, false));
  EXPECT_EQ(unverified.size(), kMaxBackupLogEntries);
  EXPECT_EQ(unverified[0].backup_id, TestUuid(0));
  EXPECT_EQ(unverified[1].backup_id, TestUuid(2));
  // A verified one of generation 10 supersedes those up to it, and the oldest of them goes.
  entries[3].verification_time = At(5000);
  AddBackup(entries, Entry(201, 201, 1, false));
  EXPECT_EQ(entries.size(), kMaxBackupLogEntries);
  EXPECT_EQ(entries.front().backup_id, TestUuid(1));
  EXPECT_EQ(entries[2].backup_id, TestUuid(3));
}

TEST_F(BackupLogTest, CoverageCountsVerifiedBackupsOnly) {
  const Keyring keyring = WithVersions(3);
  BackupCoverage coverage = CoverageOf(keyring, {});
  EXPECT_EQ(coverage.newest, nullptr);
  EXPECT_THAT(coverage.missing, ElementsAre(1, 2, 3));
  const Entries entries = {Entry(1, 5, 2, true), Entry(2, 4, 1, true), Entry(3, 9, 3, false)};
  coverage = CoverageOf(keyring, entries);
  ASSERT_NE(coverage.newest, nullptr);
  EXPECT_EQ(coverage.newest->backup_id, TestUuid(1));
  EXPECT_THAT(coverage.missing, ElementsAre(3));
}

TEST_F(BackupLogTest, DestroyedVersionsNeedNoBackup) {
  const Keyring keyring = *WithVersions(3).WithDestroyed(3, At(0));
  const Entries entries = {Entry(1, 5, 2, true)};
  EXPECT_THAT(CoverageOf(keyring, entries).missing, IsEmpty());
}

// After a rollback another key may have a lost key's number: a backup of that one is of no use.
TEST_F(BackupLogTest, BackupOfAnotherKeyOfTheSameNumberDoesNotCount) {
  const Entries entries = {Entry(1, 5, 1, true), Entry(2, 6, 2, true)};
  KeyVersion other = TestVersion(2);
  other.canary = "another canary";
  other.key_id = *KeyId::Derive(TestIdentity(), 2, other.backend, AsBytes(other.canary));
  const Keyring keyring = *WithVersions(1).WithNewVersion(other);
  const BackupCoverage coverage = CoverageOf(keyring, entries);
  EXPECT_EQ(coverage.newest->backup_id, TestUuid(1));
  EXPECT_THAT(coverage.missing, ElementsAre(2));
}

TEST_F(BackupLogTest, WarningsSayWhatToDo) {
  const Keyring keyring = WithVersions(4);
  EXPECT_THAT(BackupWarnings(keyring, absl::NotFoundError("none")),
              ElementsAre("no verified backup of this keyring is known; 'kekctl keyring backup' "
                          "makes one"));
  EXPECT_THAT(BackupWarnings(keyring, Entries{Entry(1, 5, 4, false)}),
              ElementsAre(HasSubstr("no verified backup")));
  EXPECT_THAT(BackupWarnings(keyring, Entries{Entry(1, 5, 3, true)}),
              ElementsAre("key version 4 is in no verified backup; 'kekctl keyring backup' makes "
                          "one"));
  EXPECT_THAT(BackupWarnings(keyring, Entries{Entry(1, 5, 2, true)}),
              ElementsAre(HasSubstr("key versions 3, 4 are in no verified backup")));
  EXPECT_THAT(BackupWarnings(keyring, Entries{Entry(1, 5, 4, true)}), IsEmpty());
  EXPECT_THAT(BackupWarnings(keyring, absl::DataLossError("the list is damaged")),
              ElementsAre("it is not known whether there is a backup of this keyring: the list is "
                          "damaged"));
}

}  // namespace
}  // namespace kekd
