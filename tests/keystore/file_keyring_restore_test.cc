// A keyring from a backup, put where there is none: whole, or not at all.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "keystore/backup.h"
#include "keystore/file_keyring_store.h"
#include "keystore/key_file.h"
#include "tests/fakes/fault_injecting_file_system.h"
#include "tests/keystore/test_ring.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace kekd {
namespace {

using ::kekd::testing::Fault;
using ::kekd::testing::FaultInjectingFileSystem;
using ::kekd::testing::ReadTestFile;
using ::kekd::testing::StatusIs;
using ::kekd::testing::TestFileExists;
using ::kekd::testing::TestRing;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class FileKeyringRestoreTest : public ::testing::Test {
 protected:
  // A ring that was backed up at generation 1, and its files.
  FileKeyringRestoreTest() {
    KEKD_EXPECT_OK(ring_.Create());
    record_ = ReadTestFile(ring_.record());
    const std::unique_ptr<FileKeyringStore> store =
        *ring_.Open(FileKeyringStore::Access::kReadOnly);
    request_.keyring = *store->Load();
    request_.ring_key = store->ring_key()->Get();
    request_.record = record_;
    request_.now = ring_.clock().Now();
  }

  void Lose() {
    std::filesystem::remove_all(ring_.directory());
    std::filesystem::remove_all(ring_.state_directory());
  }
  // As kekctl does where the key file is lost too.
  void ReplaceKeyFile() {
    std::filesystem::remove(ring_.key_file());
    KEKD_ASSERT_OK(CreateKeyFile(FileSystem::System(), ring_.key_file(), std::nullopt, std::nullopt,
                                 RandomSource::System()));
  }
  // One more generation on the disk than the backup has.
  void CommitOnce() {
    const std::unique_ptr<FileKeyringStore> store = *ring_.Open();
    const std::shared_ptr<const Keyring> keyring = *store->Load();
    KEKD_ASSERT_OK(store->Commit(testing::WithOneMore(*keyring), keyring->generation()));
  }
  absl::StatusOr<FileKeyringStore::Restored> Restore(FileSystem& fs = FileSystem::System()) {
    return FileKeyringStore::Restore(ring_.Options(fs), request_);
  }
  // The generation of the ring that is there, opened anew.
  uint64_t Generation() {
    const absl::StatusOr<std::unique_ptr<FileKeyringStore>> store = ring_.Open();
    KEKD_EXPECT_OK(store);
    return store.ok() ? (*(*store)->Load())->generation() : 0;
  }

  TestRing ring_;
  std::string record_;
  FileKeyringStore::RestoreRequest request_;
};

TEST_F(FileKeyringRestoreTest, PutsTheRecordBackByteForByte) {
  Lose();
  KEKD_ASSERT_OK_AND_ASSIGN(FileKeyringStore::Restored restored, Restore());
  EXPECT_EQ(restored.generation, 1u);
  EXPECT_TRUE(restored.new_wraps.empty());
  restored.store.reset();
  EXPECT_EQ(ReadTestFile(ring_.record()), record_);
  EXPECT_EQ(ReadTestFile(ring_.generation(1)), record_);
  EXPECT_EQ(Generation(), 1u);
}

TEST_F(FileKeyringRestoreTest, NewKeyFileReplacesTheOldOnesWrapInANewGeneration) {
  Lose();
  ReplaceKeyFile();
  KEKD_ASSERT_OK_AND_ASSIGN(FileKeyringStore::Restored restored, Restore());
  EXPECT_EQ(restored.generation, 2u);
  EXPECT_EQ(restored.new_wraps.size(), 1u);
  KEKD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<const Keyring> keyring, restored.store->Load());
  EXPECT_EQ(keyring->ring_key_wraps().size(), 1u);
  EXPECT_EQ(keyring->versions(), request_.keyring->versions());
  restored.store.reset();
  EXPECT_EQ(Generation(), 2u);
}

TEST_F(FileKeyringRestoreTest, LeavesARingThatIsThereAlone) {
  CommitOnce();
  const std::string there = ReadTestFile(ring_.record());
  EXPECT_THAT(Restore(), StatusIs(absl::StatusCode::kAlreadyExists,
                                  AllOf(HasSubstr("the same one, of generation 2"),
                                        HasSubstr("the backup is of generation 1"))));
  std::filesystem::remove(ring_.record());
  EXPECT_THAT(Restore(), StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("older copies")));
  EXPECT_EQ(ReadTestFile(ring_.generation(2)), there);
  EXPECT_FALSE(TestFileExists(ring_.record()));
}

TEST_F(FileKeyringRestoreTest, CheckWritesNothing) {
  const std::string lock = ring_.directory() + "/keyring.lock";
  std::filesystem::remove(lock);
  EXPECT_THAT(FileKeyringStore::CheckCanRestore(ring_.Options(), request_),
              StatusIs(absl::StatusCode::kAlreadyExists, Not(HasSubstr("stop that first"))));
  EXPECT_FALSE(TestFileExists(lock));
  KEKD_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<FileKeyringStore> store, ring_.Open());
  const std::string holder = ReadTestFile(lock);
  EXPECT_THAT(FileKeyringStore::CheckCanRestore(ring_.Options(), request_),
              StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("stop that first")));
  EXPECT_EQ(ReadTestFile(lock), holder);
}

TEST_F(FileKeyringRestoreTest, OlderThanTheHighWaterFileNeedsAWord) {
  CommitOnce();
  std::filesystem::remove_all(ring_.directory());
  EXPECT_THAT(Restore(),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("generation 2 was"), HasSubstr("--accept-generation 1"))));
  EXPECT_FALSE(TestFileExists(ring_.directory()));
  request_.accepted_generation = 2;
  EXPECT_THAT(Restore(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("not 2")));
  request_.accepted_generation = 1;
  KEKD_ASSERT_OK(Restore());
  EXPECT_EQ(Generation(), 1u);
  CommitOnce();
  EXPECT_EQ(Generation(), 3u);  // 2 never comes back
}

TEST_F(FileKeyringRestoreTest, DamagedHighWaterFileNeedsAWord) {
  std::filesystem::remove_all(ring_.directory());
  testing::WriteTestFile(ring_.high_water(), "damaged");
  EXPECT_THAT(Restore(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("--accept")));
  request_.accepted_generation = 1;
  KEKD_ASSERT_OK(Restore());
  EXPECT_EQ(Generation(), 1u);
}

// Whatever goes wrong at whichever call: there is no ring, and the same succeeds later, or there is
// the whole one.
TEST_F(FileKeyringRestoreTest, IsWholeOrAbsentAfterEveryFault) {
  ReplaceKeyFile();
  for (const Fault::Kind kind : {Fault::Kind::kError, Fault::Kind::kCrash}) {
    for (size_t call = 0;; ++call) {
      SCOPED_TRACE(call);
      ASSERT_LT(call, 300u);
      Lose();
      FaultInjectingFileSystem fs;
      fs.Inject({.call = call, .kind = kind, .error = EIO});
      const absl::Status status = Restore(fs).status();
      if (!fs.injected_all()) {
        KEKD_EXPECT_OK(status);
        break;
      }
      if (!TestFileExists(ring_.record())) {
        EXPECT_FALSE(status.ok());
        KEKD_ASSERT_OK(Restore());  // without another word
      }
      EXPECT_EQ(Generation(), 2u);
    }
  }
}

TEST_F(FileKeyringRestoreTest, BackupsAreKnownAcrossANewStore) {
  {
    KEKD_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<FileKeyringStore> store, ring_.Open());
    EXPECT_THAT(store->Backups(), StatusIs(absl::StatusCode::kNotFound));
    BackupHeader header;
    header.backup_id = testing::TestUuid(1);
    header.generation = 1;
    header.highest_version = 1;
    header.protection = ShareNumbers{2, 3};
    KEKD_ASSERT_OK_AND_ASSIGN(BackupLogEntry entry, EntryOf(header, *request_.keyring, "/a"));
    entry.verification_time = ring_.clock().Now();
    KEKD_ASSERT_OK(store->RecordBackup(entry));
  }
  KEKD_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<FileKeyringStore> store,
                            ring_.Open(FileKeyringStore::Access::kReadOnly));
  KEKD_ASSERT_OK_AND_ASSIGN(const std::vector<BackupLogEntry> entries, store->Backups());
  ASSERT_EQ(entries.size(), 1u);
  EXPECT_TRUE(CoverageOf(*request_.keyring, entries).missing.empty());
  EXPECT_THAT(store->RecordBackup(entries[0]), StatusIs(absl::StatusCode::kFailedPrecondition));
}

}  // namespace
}  // namespace kekd
