// Every call of a keyring's files, failing once in every way: the ring stays whole.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <memory>
#include <string>
#include <vector>

#include "keystore/file_keyring_store.h"
#include "tests/fakes/fault_injecting_file_system.h"
#include "tests/keystore/test_ring.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace kekd {
namespace {

using ::kekd::testing::Fault;
using ::kekd::testing::FaultInjectingFileSystem;
using ::kekd::testing::StatusIs;
using ::kekd::testing::TestFileExists;
using ::kekd::testing::TestRing;
using ::kekd::testing::WithOneMore;
using ::testing::HasSubstr;
using Access = FileKeyringStore::Access;

struct FaultCase {
  Fault::Kind kind;
  int error;
  const char* name;
};

class FileKeyringStoreFaultTest : public ::testing::TestWithParam<FaultCase> {
 protected:
  Fault FaultAt(size_t call) const {
    return {.call = call, .kind = GetParam().kind, .error = GetParam().error, .written = 7};
  }
};

std::string NameOfParam(const ::testing::TestParamInfo<FaultCase>& fault) {
  return fault.param.name;
}
INSTANTIATE_TEST_SUITE_P(
    , FileKeyringStoreFaultTest,
    ::testing::Values(FaultCase{Fault::Kind::kError, EIO, "Error"},
                      FaultCase{Fault::Kind::kErrorAfterDone, EIO, "ErrorAfterDone"},
                      FaultCase{Fault::Kind::kShortWrite, ENOSPC, "ShortWrite"},
                      FaultCase{Fault::Kind::kCrash, EIO, "Crash"}),
    NameOfParam);

TEST_P(FileKeyringStoreFaultTest, CreateLeavesNoRingOrAWholeOne) {
  for (size_t call = 0;; ++call) {
    SCOPED_TRACE(call);
    ASSERT_LT(call, 300u);
    TestRing ring;
    FaultInjectingFileSystem fs;
    fs.Inject(FaultAt(call));
    const bool acknowledged = ring.Create(fs).ok();
    if (!fs.injected_all()) {
      EXPECT_TRUE(acknowledged);
      EXPECT_GT(call, 20u);
      break;
    }
    absl::Status opened = ring.Open().status();
    if (acknowledged) {
      KEKD_EXPECT_OK(opened);
    }
    if (!opened.ok()) {
      EXPECT_THAT(opened, StatusIs(absl::StatusCode::kNotFound));
      KEKD_EXPECT_OK(ring.Create());  // nothing that was left behind is in the way
      opened = ring.Open().status();
    }
    KEKD_ASSERT_OK(opened);
    KEKD_ASSERT_OK_AND_ASSIGN(const auto store, ring.Open());
    KEKD_ASSERT_OK_AND_ASSIGN(const auto keyring, store->Load());
    EXPECT_EQ(keyring->generation(), 1u);
    EXPECT_EQ(keyring->Primary()->number, 1u);
    KEKD_EXPECT_OK(store->Commit(WithOneMore(*keyring), 1));
  }
}

TEST_P(FileKeyringStoreFaultTest, CommitLeavesTheOldRingOrTheNewOne) {
  TestRing ring;
  KEKD_ASSERT_OK(ring.Create());
  uint64_t highest = 1;  // the highest generation that any reader ever saw
  for (size_t call = 0;; ++call) {
    SCOPED_TRACE(call);
    ASSERT_LT(call, 300u);
    FaultInjectingFileSystem fs;
    std::shared_ptr<const Keyring> before;
    absl::StatusOr<std::shared_ptr<const Keyring>> committed = absl::UnknownError("");
    bool injected = false;
    {
      KEKD_ASSERT_OK_AND_ASSIGN(const auto store, ring.Open(Access::kExclusive, fs));
      KEKD_ASSERT_OK_AND_ASSIGN(before, store->Load());
      fs.Reset();
      fs.Inject(FaultAt(call));
      committed = store->Commit(WithOneMore(*before), before->generation());
      injected = fs.injected_all();
    }
    // After a restart, on a file system that works.
    KEKD_ASSERT_OK_AND_ASSIGN(const auto store, ring.Open());
    KEKD_ASSERT_OK_AND_ASSIGN(const auto after, store->Load());
    if (committed.ok()) {
      EXPECT_EQ(after->generation(), (*committed)->generation());
      EXPECT_EQ(after->versions(), (*committed)->versions());
    } else if (after->generation() == before->generation()) {
      EXPECT_EQ(after->versions(), before->versions());
    } else {
      EXPECT_EQ(after->versions(), WithOneMore(*before).versions());
    }
    EXPECT_GE(after->generation(), highest);
    KEKD_ASSERT_OK_AND_ASSIGN(const auto reports, FileKeyringStore::Verify(ring.Options()));
    for (const auto& report : reports) KEKD_EXPECT_OK(report.status) << report.path;
    // The next commit works and repeats no number.
    KEKD_ASSERT_OK_AND_ASSIGN(const auto next,
                              store->Commit(WithOneMore(*after), after->generation()));
    EXPECT_GT(next->generation(), after->generation());
    EXPECT_FALSE(TestFileExists(ring.record() + ".tmp"));
    highest = next->generation();
    if (!injected) {
      KEKD_EXPECT_OK(committed);
      EXPECT_GT(call, 20u);
      break;
    }
  }
}

TEST_P(FileKeyringStoreFaultTest, OpenAndAcceptRollbackHarmNothing) {
  TestRing ring;
  {
    KEKD_ASSERT_OK_AND_ASSIGN(const auto store, ring.Create());
    KEKD_ASSERT_OK(store->Commit(WithOneMore(**store->Load()), 1));
  }
  const std::string newest = testing::ReadTestFile(ring.record());
  for (size_t call = 0;; ++call) {
    SCOPED_TRACE(call);
    ASSERT_LT(call, 300u);
    FaultInjectingFileSystem fs;
    fs.Inject(FaultAt(call));
    (void)ring.Open(Access::kExclusive, fs);
    EXPECT_EQ(testing::ReadTestFile(ring.record()), newest);
    KEKD_ASSERT_OK(ring.Open());
    if (!fs.injected_all()) break;
  }
  testing::WriteTestFile(ring.record(), testing::ReadTestFile(ring.generation(1)));
  for (size_t call = 0;; ++call) {
    SCOPED_TRACE(call);
    ASSERT_LT(call, 300u);
    FaultInjectingFileSystem fs;
    fs.Inject(FaultAt(call));
    const bool accepted = FileKeyringStore::AcceptRollback(ring.Options(fs), 1).ok();
    const absl::Status opened = ring.Open().status();
    if (accepted) {
      KEKD_EXPECT_OK(opened);
    } else {
      EXPECT_TRUE(opened.ok() || absl::IsDataLoss(opened)) << opened;
    }
    if (!fs.injected_all() || opened.ok()) break;
  }
}

// A backup that is called written down is; one that is not spoils nothing.
TEST_P(FileKeyringStoreFaultTest, RecordingABackupLeavesTheOldListOrTheNewOne) {
  TestRing ring;
  KEKD_ASSERT_OK(ring.Create());
  for (size_t call = 0;; ++call) {
    SCOPED_TRACE(call);
    ASSERT_LT(call, 300u);
    FaultInjectingFileSystem fs;
    BackupLogEntry entry;
    entry.backup_id = testing::TestUuid(static_cast<uint8_t>(call));
    entry.keys = std::string(32, 'k');
    absl::Status recorded;
    size_t before = 0;
    bool injected = false;
    {
      KEKD_ASSERT_OK_AND_ASSIGN(const auto store, ring.Open(Access::kExclusive, fs));
      const auto list = store->Backups();
      before = list.ok() ? list->size() : 0;
      fs.Reset();
      fs.Inject(FaultAt(call));
      recorded = store->RecordBackup(entry);
      injected = fs.injected_all();
    }
    KEKD_ASSERT_OK_AND_ASSIGN(const auto store, ring.Open());
    const auto list = store->Backups();
    const size_t after = list.ok() ? list->size() : 0;
    EXPECT_TRUE(list.ok() || (before == 0 && absl::IsNotFound(list.status()))) << list.status();
    EXPECT_TRUE(after == before + 1 || (!recorded.ok() && after == before)) << recorded;
    KEKD_EXPECT_OK(store->RecordBackup(entry));
    KEKD_ASSERT_OK_AND_ASSIGN(const auto keyring, store->Load());
    KEKD_EXPECT_OK(store->Commit(WithOneMore(*keyring), keyring->generation()));
    EXPECT_FALSE(TestFileExists(
        BackupLogPath(ring.state_directory(), testing::TestIdentity().ring_uuid) + ".tmp"));
    if (!injected) {
      KEKD_EXPECT_OK(recorded);
      EXPECT_GT(call, 7u);
      break;
    }
  }
}

// Linux tells of a sync that failed once: the next one on the same pages succeeds, although they
// were thrown away. So nothing is taken for durable that was not written anew.
TEST(FileKeyringStoreSyncTest, RecordWhoseFolderCouldNotBeSyncedIsWrittenAnew) {
  TestRing ring;
  KEKD_ASSERT_OK(ring.Create());
  {
    FaultInjectingFileSystem fs;
    KEKD_ASSERT_OK_AND_ASSIGN(const auto store, ring.Open(Access::kExclusive, fs));
    KEKD_ASSERT_OK_AND_ASSIGN(const auto before, store->Load());
    fs.Inject({.call_name = "SyncDirectory", .kind = Fault::Kind::kCrash, .error = EIO});
    EXPECT_FALSE(store->Commit(WithOneMore(*before), 1).ok());
  }
  FaultInjectingFileSystem fs;
  KEKD_ASSERT_OK_AND_ASSIGN(const auto store, ring.Open(Access::kExclusive, fs));
  EXPECT_EQ((*store->Load())->generation(), 2u);
  std::vector<std::string> writes;
  for (const std::string& call : fs.calls()) {
    if (call.rfind("Sync", 0) == 0 || call.rfind("Rename", 0) == 0) writes.push_back(call);
  }
  const std::string& record = ring.record();
  ASSERT_GE(writes.size(), 3u);
  EXPECT_EQ(writes[0], "Sync " + record + ".tmp");
  EXPECT_EQ(writes[1], "Rename " + record + ".tmp to " + record);
  EXPECT_EQ(writes[2], "SyncDirectory " + ring.directory());
}

// Where there is no room to write it anew, what is there is served all the same.
TEST(FileKeyringStoreSyncTest, FullDiskKeepsNobodyFromServingWhatIsThere) {
  TestRing ring;
  KEKD_ASSERT_OK(ring.Create());
  {
    FaultInjectingFileSystem fs;
    KEKD_ASSERT_OK_AND_ASSIGN(const auto store, ring.Open(Access::kExclusive, fs));
    KEKD_ASSERT_OK_AND_ASSIGN(const auto before, store->Load());
    fs.Inject({.call_name = "SyncDirectory", .kind = Fault::Kind::kCrash, .error = EIO});
    EXPECT_FALSE(store->Commit(WithOneMore(*before), 1).ok());
  }
  FaultInjectingFileSystem fs;
  for (int i = 0; i < 2; ++i) fs.Inject({.call_name = "CreateFile", .error = ENOSPC});
  KEKD_ASSERT_OK_AND_ASSIGN(const auto store, ring.Open(Access::kExclusive, fs));
  EXPECT_EQ((*store->Load())->generation(), 2u);
}

TEST(FileKeyringStoreDiskTest, FullDiskDuringACommitLosesNothingAndSaysSo) {
  TestRing ring;
  FaultInjectingFileSystem fs;
  KEKD_ASSERT_OK(ring.Create());
  KEKD_ASSERT_OK_AND_ASSIGN(const auto store, ring.Open(Access::kExclusive, fs));
  KEKD_ASSERT_OK_AND_ASSIGN(const auto before, store->Load());
  const std::string record = testing::ReadTestFile(ring.record());
  for (const int error : {ENOSPC, EDQUOT}) {
    fs.Inject(
        {.call_name = "Append", .kind = Fault::Kind::kShortWrite, .error = error, .written = 100});
    EXPECT_THAT(store->Commit(WithOneMore(*before), 1),
                StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr(ring.record())));
    EXPECT_EQ(testing::ReadTestFile(ring.record()), record);
    EXPECT_FALSE(TestFileExists(ring.record() + ".tmp"));
  }
  // With room again, the same store goes on.
  KEKD_EXPECT_OK(store->Commit(WithOneMore(*before), 1));
}

}  // namespace
}  // namespace kekd
