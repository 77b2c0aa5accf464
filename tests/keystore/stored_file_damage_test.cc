// Every bit of every stored file flipped, every length cut, every byte added, every two files
// exchanged: it is noticed, the file is named, and what the error or 'keyring verify' says brings
// the ring back.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "keystore/backup.h"
#include "keystore/file_keyring_store.h"
#include "tests/keystore/file_keyring_store_fixture.h"
#include "tests/keystore/test_ring.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace kekd {
namespace {

using ::kekd::testing::FileKeyringStoreTest;
using ::kekd::testing::ReadTestFile;
using ::kekd::testing::TestIdentity;
using ::kekd::testing::TestUuid;
using ::kekd::testing::WriteTestFile;
using Access = FileKeyringStore::Access;

constexpr uint64_t kGeneration = 3;

// Calls `check` with each damaged form of `good` and what was done to it; returns how many.
size_t ForEachDamage(const std::string& good,
                     const std::function<void(const std::string& bad, const std::string&)>& check) {
  size_t count = 0;
  for (size_t bit = 0; bit < good.size() * 8; ++bit, ++count) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    check(bad, absl::StrCat("bit ", bit));
  }
  for (size_t length = 0; length < good.size(); ++length, ++count) {
    check(good.substr(0, length), absl::StrCat("cut off after ", length));
  }
  for (int byte = 0; byte < 256; ++byte, ++count) {
    check(good + static_cast<char>(byte), absl::StrCat("byte ", byte, " added"));
  }
  return count;
}

class StoredFileDamageTest : public FileKeyringStoreTest {
 protected:
  void SetUp() override {
    MakeRing(kGeneration);
    KEKD_ASSERT_OK_AND_ASSIGN(const auto store, ring_.Open());
    KEKD_ASSERT_OK_AND_ASSIGN(keyring_, store->Load());
    KEKD_ASSERT_OK(store->RecordBackup(Entry()));
  }

  BackupLogEntry Entry() const {
    BackupHeader header;
    header.backup_id = TestUuid(1);
    header.ring = TestIdentity();
    header.generation = kGeneration;
    header.highest_version = 1;
    header.creation_time = ring_.clock().Now();
    header.protection = ShareNumbers{2, 3};
    return *EntryOf(header, *keyring_, "/mnt/safe/prod.backup");
  }
  std::string backup_log() const {
    return BackupLogPath(ring_.state_directory(), TestIdentity().ring_uuid);
  }

  // That the verdict on each file is right: bad for those in `bad` only.
  void ExpectVerdicts(const std::set<std::string>& bad) const {
    KEKD_ASSERT_OK_AND_ASSIGN(const auto reports, FileKeyringStore::Verify(ring_.Options()));
    for (const auto& report : reports) {
      EXPECT_EQ(report.status.ok(), bad.count(report.path) == 0)
          << report.path << ": " << report.status;
    }
  }
  // Damages a file in every way. `check` looks at each, and the file is good again afterwards.
  void Damage(const std::string& path, const std::function<void(const std::string& bad)>& check) {
    const std::string good = ReadTestFile(path);
    const size_t count = ForEachDamage(good, [&](const std::string& bad, const std::string& how) {
      SCOPED_TRACE(how);
      if (HasFailure()) return;  // one is enough to read
      WriteTestFile(path, bad);
      check(bad);
    });
    WriteTestFile(path, good);
    KEKD_EXPECT_OK(OpenStatus());
    printf("%s: damaged in %zu ways\n", path.c_str(), count);
  }

  std::shared_ptr<const Keyring> keyring_;
};

TEST_F(StoredFileDamageTest, OfTheRecordIsNoticedAndACopyIsNamed) {
  Damage(ring_.record(), [&](const std::string&) {
    const absl::Status opened = OpenStatus(Access::kReadOnly);
    EXPECT_FALSE(opened.ok());
    EXPECT_TRUE(absl::StrContains(opened.message(), ring_.record())) << opened;
    EXPECT_TRUE(absl::StrContains(opened.message(), "kekctl keyring verify")) << opened;
    ExpectVerdicts({ring_.record()});
    // Damage never passes for something that a newer kekd wrote.
    const auto reports = FileKeyringStore::Verify(ring_.Options());
    EXPECT_TRUE(reports.ok() && absl::IsDataLoss(reports->front().status));
  });
  // What 'kekctl keyring verify' says to do.
  WriteTestFile(ring_.record(), "");
  WriteTestFile(ring_.record(), ReadTestFile(ring_.generation(kGeneration)));
  KEKD_ASSERT_OK_AND_ASSIGN(const auto store, ring_.Open());
  KEKD_ASSERT_OK_AND_ASSIGN(const auto keyring, store->Load());
  EXPECT_EQ(keyring->versions(), keyring_->versions());
}

TEST_F(StoredFileDamageTest, OfACopyIsNoticedAndHarmsNothing) {
  Damage(ring_.generation(1), [&](const std::string&) {
    KEKD_EXPECT_OK(OpenStatus(Access::kReadOnly));
    ExpectVerdicts({ring_.generation(1)});
  });
}

TEST_F(StoredFileDamageTest, OfTheHighWaterFileIsNoticedAndAcceptedByName) {
  const std::string good = ReadTestFile(ring_.high_water());
  Damage(ring_.high_water(), [&](const std::string& bad) {
    const absl::Status opened = OpenStatus(Access::kReadOnly);
    EXPECT_TRUE(absl::IsDataLoss(opened)) << opened;
    EXPECT_TRUE(absl::StrContains(opened.message(), ring_.high_water())) << opened;
    EXPECT_TRUE(absl::StrContains(opened.message(), "accept-rollback --generation 3'")) << opened;
    ExpectVerdicts({ring_.record()});
    // The cure writes; it is tried where the damage is of another kind.
    if (bad.size() != good.size() || (bad[8] != good[8] && bad[8] % 16 == 0) || bad[0] != good[0]) {
      KEKD_EXPECT_OK(AcceptRollback(kGeneration));
      KEKD_EXPECT_OK(OpenStatus(Access::kReadOnly));
    }
  });
}

TEST_F(StoredFileDamageTest, OfTheListOfBackupsIsNoticedAndItIsBegunAnew) {
  KEKD_ASSERT_OK_AND_ASSIGN(const auto store, ring_.Open());
  const std::string good = ReadTestFile(backup_log());
  const size_t count = ForEachDamage(good, [&](const std::string& bad, const std::string& how) {
    SCOPED_TRACE(how);
    if (HasFailure()) return;
    WriteTestFile(backup_log(), bad);
    const absl::Status read = store->Backups().status();
    EXPECT_TRUE(absl::IsDataLoss(read)) << read;
    EXPECT_TRUE(absl::StrContains(read.message(), backup_log())) << read;
    if (bad.size() != good.size() && bad.size() % 16 != 0) return;
    KEKD_EXPECT_OK(store->RecordBackup(Entry()));
    KEKD_EXPECT_OK(store->Backups());
  });
  printf("%s: damaged in %zu ways\n", backup_log().c_str(), count);
}

TEST_F(StoredFileDamageTest, OfTheKeyFileIsNoticed) {
  const std::string line = ReadTestFile(ring_.key_file()).substr(0, 89);
  Damage(ring_.key_file(), [&](const std::string& bad) {
    const absl::Status opened = OpenStatus(Access::kReadOnly);
    // Harmless by design: an editor's end of the line, or none.
    if (absl::StartsWith(bad, line) &&
        bad.find_first_not_of("\r\n", line.size()) == std::string::npos) {
      KEKD_EXPECT_OK(opened);
      return;
    }
    EXPECT_TRUE(absl::IsDataLoss(opened)) << opened;
    EXPECT_TRUE(absl::StrContains(opened.message(), ring_.key_file())) << opened;
  });
}

// The lock's text is for people, and not taken for anything.
TEST_F(StoredFileDamageTest, OfTheLockFileIsHarmless) {
  for (const std::string& text :
       {std::string(), std::string(100'000, 'x'), std::string("\0\n", 2)}) {
    WriteTestFile(ring_.directory() + "/keyring.lock", text);
    KEKD_EXPECT_OK(OpenStatus());
  }
}

TEST_F(StoredFileDamageTest, ExchangedFilesAreNoticedOrAllTheSame) {
  const std::vector<std::string> files = {ring_.record(),      ring_.generation(1),
                                          ring_.generation(2), ring_.generation(3),
                                          ring_.high_water(),  backup_log(),
                                          ring_.key_file(),    ring_.directory() + "/keyring.lock"};
  size_t count = 0;
  const auto exchange = [](const std::string& a, const std::string& b) {
    const std::string of_a = ReadTestFile(a);
    WriteTestFile(a, ReadTestFile(b));
    WriteTestFile(b, of_a);
  };
  for (size_t i = 0; i < files.size(); ++i) {
    for (size_t j = i + 1; j < files.size(); ++j, ++count) {
      SCOPED_TRACE(absl::StrCat(files[i], " and ", files[j]));
      const bool same = ReadTestFile(files[i]) == ReadTestFile(files[j]);
      exchange(files[i], files[j]);
      const auto store = ring_.Open(Access::kReadOnly);
      if (store.ok()) {
        KEKD_ASSERT_OK_AND_ASSIGN(const auto keyring, (*store)->Load());
        EXPECT_EQ(keyring->generation(), kGeneration);
        EXPECT_EQ(keyring->versions(), keyring_->versions());
      } else {
        EXPECT_TRUE(absl::StrContains(store.status().message(), ring_.record()) ||
                    absl::StrContains(store.status().message(), ring_.directory()) ||
                    absl::StrContains(store.status().message(), ring_.high_water()) ||
                    absl::StrContains(store.status().message(), ring_.key_file()))
            << store.status();
      }
      const bool lists = store.ok() && (*store)->Backups().ok();
      KEKD_ASSERT_OK_AND_ASSIGN(const auto reports, FileKeyringStore::Verify(ring_.Options()));
      bool all_good = lists;
      for (const auto& report : reports) all_good &= report.status.ok();
      EXPECT_EQ(all_good, same);
      exchange(files[i], files[j]);
      KEKD_EXPECT_OK(OpenStatus(Access::kReadOnly));
    }
  }
  printf("%zu pairs of files exchanged\n", count);
}

std::string Golden(absl::string_view name) {
  return ReadTestFile(absl::StrCat(KEKD_TEST_DATA, "/", name));
}

absl::Status OpenGolden(const std::string& backup, const std::string& share) {
  std::vector<BackupShare> shares;
  for (const std::string& text : {share, Golden("backup_v1.share-2")}) {
    absl::StatusOr<BackupShare> parsed = ParseShare(AsBytes(text), "a share");
    if (!parsed.ok()) return parsed.status();
    shares.push_back(*std::move(parsed));
  }
  const absl::StatusOr<OpenedBackup> opened =
      OpenBackup(AsBytes(backup), absl::MakeConstSpan(shares), RandomSource::System());
  if (!opened.ok()) return opened.status();
  // Whatever opens is what was put in.
  return opened->record == Golden("keyring_v1.record") ? absl::OkStatus()
                                                       : absl::InternalError("another record");
}

TEST(BackupDamageTest, OfABackupIsNoticed) {
  const std::string backup = Golden("backup_v1.shares");
  const std::string share = Golden("backup_v1.share-1");
  KEKD_ASSERT_OK(OpenGolden(backup, share));
  const size_t count = ForEachDamage(backup, [&](const std::string& bad, const std::string& how) {
    EXPECT_FALSE(OpenGolden(bad, share).ok()) << how;
  });
  printf("a backup: damaged in %zu ways\n", count);
}

// Case, hyphens, spaces and comments of a share are for people: what they can do is nothing.
TEST(BackupDamageTest, OfAShareIsNoticedOrHarmless) {
  const std::string backup = Golden("backup_v1.shares");
  size_t harmless = 0;
  const size_t count = ForEachDamage(
      Golden("backup_v1.share-1"), [&](const std::string& bad, const std::string& how) {
        const absl::Status opened = OpenGolden(backup, bad);
        harmless += opened.ok();
        EXPECT_FALSE(absl::IsInternal(opened)) << how << ": " << opened;
      });
  printf("a share: damaged in %zu ways, %zu of them harmless\n", count, harmless);
}

}  // namespace
}  // namespace kekd
