#include "keystore/file_keyring_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "keystore/key_file.h"
#include "tests/fakes/fault_injecting_file_system.h"
#include "tests/keystore/file_keyring_store_fixture.h"
#include "tests/keystore/test_ring.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace kekd {
namespace {

using ::kekd::testing::Fault;
using ::kekd::testing::FaultInjectingFileSystem;
using ::kekd::testing::FileKeyringStoreTest;
using ::kekd::testing::ReadTestFile;
using ::kekd::testing::StatusIs;
using ::kekd::testing::TestFileExists;
using ::kekd::testing::TestIdentity;
using ::kekd::testing::TestRing;
using ::kekd::testing::TestUuid;
using ::kekd::testing::WithOneMore;
using ::kekd::testing::WriteTestFile;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using Access = FileKeyringStore::Access;

TEST_F(FileKeyringStoreTest, CreatesARingThatOpens) {
  KEKD_ASSERT_OK_AND_ASSIGN(auto store, ring_.Create());
  KEKD_ASSERT_OK_AND_ASSIGN(const auto created, store->Load());
  EXPECT_EQ(created->generation(), 1u);
  EXPECT_EQ(created->identity(), TestIdentity());
  EXPECT_EQ(created->Primary()->number, 1u);
  store.reset();
  KEKD_ASSERT_OK_AND_ASSIGN(store, ring_.Open());
  KEKD_ASSERT_OK_AND_ASSIGN(const auto opened, store->Load());
  EXPECT_EQ(opened->versions(), created->versions());
  EXPECT_EQ(opened->generation(), 1u);
  EXPECT_EQ(ModeOf(ring_.directory()), 0700u);
  EXPECT_EQ(ModeOf(ring_.state_directory()), 0700u);
  for (const std::string& file : {ring_.record(), ring_.high_water(), ring_.record() + ".lock"}) {
    EXPECT_EQ(ModeOf(file), 0600u) << file;
  }
}

TEST_F(FileKeyringStoreTest, CreatesNoRingWhereThereIsOneWholeOrDamaged) {
  MakeRing(2);
  const std::string record = ReadTestFile(ring_.record());
  EXPECT_THAT(ring_.Create(), StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_EQ(ReadTestFile(ring_.record()), record);
  WriteTestFile(ring_.record(), "damaged");
  EXPECT_THAT(ring_.Create(), StatusIs(absl::StatusCode::kAlreadyExists));
  ASSERT_EQ(unlink(ring_.record().c_str()), 0);  // a kept generation is left
  EXPECT_THAT(ring_.Create(), StatusIs(absl::StatusCode::kAlreadyExists));
}

TEST_F(FileKeyringStoreTest, CreatesNoRingThatNothingOpens) {
  FileKeyringStore::Options options = ring_.Options();
  options.wrappers.clear();
  const auto initial = [](const Keyring& empty, const std::shared_ptr<const RingKey>&) {
    return absl::StatusOr<Keyring>(empty);
  };
  EXPECT_THAT(
      FileKeyringStore::Create(std::move(options), TestIdentity(), absl::UnixEpoch(), initial),
      StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_FALSE(TestFileExists(ring_.record()));
}

TEST_F(FileKeyringStoreTest, NoRingIsNotFoundAndLeavesNoLockBehind) {
  EXPECT_THAT(OpenStatus(),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("kekctl keyring init")));
  std::filesystem::create_directory(ring_.directory());
  EXPECT_THAT(OpenStatus(), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_TRUE(std::filesystem::is_empty(ring_.directory()));
}

TEST_F(FileKeyringStoreTest, CommitGivesTheNextGenerationAndKeepsTheOld) {
  KEKD_ASSERT_OK_AND_ASSIGN(auto store, ring_.Create());
  const std::string first = ReadTestFile(ring_.record());
  KEKD_ASSERT_OK_AND_ASSIGN(const auto committed, CommitOne(*store));
  EXPECT_EQ(committed->generation(), 2u);
  EXPECT_EQ(committed->versions().size(), 2u);
  EXPECT_EQ(ReadTestFile(ring_.generation(1)), first);
  store.reset();
  KEKD_ASSERT_OK_AND_ASSIGN(store, ring_.Open(Access::kReadOnly));
  EXPECT_EQ((*store->Load())->versions(), committed->versions());
}

TEST_F(FileKeyringStoreTest, CommitComparesTheGenerationOnTheDisk) {
  KEKD_ASSERT_OK_AND_ASSIGN(const auto store, ring_.Create());
  KEKD_ASSERT_OK_AND_ASSIGN(const auto first, store->Load());
  KEKD_ASSERT_OK(CommitOne(*store));
  const std::string record = ReadTestFile(ring_.record());
  for (const uint64_t stale : {0u, 1u, 3u}) {
    EXPECT_THAT(store->Commit(WithOneMore(*first), stale), StatusIs(absl::StatusCode::kAborted));
  }
  EXPECT_EQ(ReadTestFile(ring_.record()), record);
}

TEST_F(FileKeyringStoreTest, CommitRefusesAnotherRing) {
  KEKD_ASSERT_OK_AND_ASSIGN(const auto store, ring_.Create());
  Keyring::Parts parts = (*store->Load())->parts();
  parts.identity.cluster_id = TestUuid(1);
  EXPECT_THAT(store->Commit(*Keyring::Create(parts), 1),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(FileKeyringStoreTest, HasOneWriterAndAnyNumberOfReaders) {
  KEKD_ASSERT_OK_AND_ASSIGN(const auto writer, ring_.Create());
  EXPECT_THAT(OpenStatus(), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("in use")));
  EXPECT_THAT(AcceptRollback(1), StatusIs(absl::StatusCode::kUnavailable));
  KEKD_ASSERT_OK_AND_ASSIGN(const auto reader, ring_.Open(Access::kReadOnly));
  KEKD_EXPECT_OK(OpenStatus(Access::kReadOnly));
  EXPECT_THAT(CommitOne(*reader), StatusIs(absl::StatusCode::kFailedPrecondition));
  KEKD_ASSERT_OK(CommitOne(*writer));
  EXPECT_EQ((*reader->Load())->generation(), 2u);
}

// Between a reader's looks at two files the writer may commit: that is no rollback.
TEST_F(FileKeyringStoreTest, ReaderIsNotMisledByACommitMeanwhile) {
  KEKD_ASSERT_OK_AND_ASSIGN(const auto writer, ring_.Create());
  for (size_t call = 0;; ++call) {
    SCOPED_TRACE(call);
    FaultInjectingFileSystem fs;
    fs.Inject({.call = call, .kind = Fault::Kind::kRun, .run = [&] {
                 KEKD_EXPECT_OK(CommitOne(*writer));
               }});
    KEKD_EXPECT_OK(ring_.Open(Access::kReadOnly, fs));
    if (!fs.injected_all()) break;
  }
  for (size_t call = 0;; ++call) {
    SCOPED_TRACE(call);
    FaultInjectingFileSystem fs;
    fs.Inject({.call = call, .kind = Fault::Kind::kRun, .run = [&] {
                 KEKD_EXPECT_OK(CommitOne(*writer));
               }});
    KEKD_ASSERT_OK_AND_ASSIGN(const auto reports, FileKeyringStore::Verify(ring_.Options(fs)));
    KEKD_EXPECT_OK(reports.front().status);
    if (!fs.injected_all()) break;
  }
}

TEST_F(FileKeyringStoreTest, KeepsTheLast32GenerationsBeforeTheCurrent) {
  MakeRing(40);
  for (uint64_t generation = 1; generation <= 40; ++generation) {
    EXPECT_EQ(TestFileExists(ring_.generation(generation)), generation >= 8) << generation;
  }
}

TEST_F(FileKeyringStoreTest, RefusesARollback) {
  MakeRing(3);
  RollBackTo(2);
  const auto refused = StatusIs(absl::StatusCode::kDataLoss,
                                AllOf(HasSubstr("generation 2"), HasSubstr("generation 3"),
                                      HasSubstr("kekctl keyring accept-rollback --generation 2")));
  EXPECT_THAT(OpenStatus(), refused);
  EXPECT_THAT(OpenStatus(Access::kReadOnly), refused);
}

TEST_F(FileKeyringStoreTest, RefusesARollbackUnderAnOpenStore) {
  KEKD_ASSERT_OK_AND_ASSIGN(const auto store, ring_.Create());
  KEKD_ASSERT_OK(CommitOne(*store));
  RollBackTo(1);
  EXPECT_THAT(store->Load(), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(store->Commit(testing::EmptyTestKeyring(), 1), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(FileKeyringStoreTest, AcceptedRollbackOpensAndNeverRepeatsAGeneration) {
  MakeRing(5);
  RollBackTo(2);
  EXPECT_THAT(AcceptRollback(3),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("generation 2, not 3")));
  EXPECT_FALSE(OpenStatus().ok());
  KEKD_ASSERT_OK(AcceptRollback(2));
  KEKD_ASSERT_OK_AND_ASSIGN(auto store, ring_.Open());
  EXPECT_EQ((*store->Load())->generation(), 2u);
  KEKD_ASSERT_OK_AND_ASSIGN(const auto next, CommitOne(*store));
  EXPECT_EQ(next->generation(), 6u);
  store.reset();
  // What was accepted once is not accepted again.
  RollBackTo(2);
  EXPECT_THAT(OpenStatus(), StatusIs(absl::StatusCode::kDataLoss));
}

// The numbers of a lost branch don't come back, also if only its files know of them.
TEST_F(FileKeyringStoreTest, KeepsALostBranchWhenTheHighWaterFileIsLostToo) {
  MakeRing(5);
  RollBackTo(2);
  ASSERT_EQ(unlink(ring_.high_water().c_str()), 0);
  EXPECT_THAT(OpenStatus(), StatusIs(absl::StatusCode::kDataLoss,
                                     AllOf(HasSubstr("missing"), HasSubstr(ring_.generation(5)))));
  std::vector<std::string> lost;
  for (uint64_t generation = 1; generation <= 5; ++generation) {
    lost.push_back(ReadTestFile(ring_.generation(generation)));
  }
  KEKD_ASSERT_OK(AcceptRollback(2));
  KEKD_ASSERT_OK_AND_ASSIGN(const auto store, ring_.Open());
  for (uint64_t expected = 6; expected <= 8; ++expected) {
    KEKD_ASSERT_OK_AND_ASSIGN(const auto next, CommitOne(*store));
    EXPECT_EQ(next->generation(), expected);
  }
  for (uint64_t generation = 1; generation <= 5; ++generation) {
    EXPECT_EQ(ReadTestFile(ring_.generation(generation)), lost[generation - 1]) << generation;
  }
}

TEST_F(FileKeyringStoreTest, NamesTheCopyThatUndoesARollbackIfThereIsOne) {
  MakeRing(5);
  RollBackTo(2);
  ASSERT_EQ(unlink(ring_.generation(5).c_str()), 0);
  EXPECT_THAT(OpenStatus(),
              StatusIs(absl::StatusCode::kDataLoss,
                       AllOf(HasSubstr("rolled back"), HasSubstr(ring_.generation(4) + ", or"))));
  for (const uint64_t generation : {3, 4}) {
    ASSERT_EQ(unlink(ring_.generation(generation).c_str()), 0);
  }
  EXPECT_THAT(OpenStatus(),
              StatusIs(absl::StatusCode::kDataLoss,
                       AllOf(HasSubstr("from a backup"), Not(HasSubstr(ring_.generation(5))))));
}

TEST_F(FileKeyringStoreTest, CommitRemovesNoOtherRecordThatHasTheNumber) {
  KEKD_ASSERT_OK_AND_ASSIGN(const auto store, ring_.Create());
  KEKD_ASSERT_OK(CommitOne(*store));
  WriteTestFile(ring_.generation(2), "of another branch");
  const std::string record = ReadTestFile(ring_.record());
  EXPECT_THAT(CommitOne(*store),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr(ring_.generation(2)), HasSubstr("move"))));
  EXPECT_EQ(ReadTestFile(ring_.generation(2)), "of another branch");
  EXPECT_EQ(ReadTestFile(ring_.record()), record);
  ASSERT_EQ(unlink(ring_.generation(2).c_str()), 0);
  KEKD_EXPECT_OK(CommitOne(*store));
}

// An error of the disk is no refusal: scripts tell the two apart by the exit code.
TEST_F(FileKeyringStoreTest, CommitSaysThatTheSecondCopyCanNotBeRead) {
  MakeRing(2);
  const std::string record = ReadTestFile(ring_.record());
  for (const auto& [error, code] : {std::pair(EIO, absl::StatusCode::kInternal),
                                    std::pair(EACCES, absl::StatusCode::kPermissionDenied)}) {
    // The last file that is read before anything is written, with and without the fault.
    uint64_t reads = 0;
    absl::Status status;
    do {
      FaultInjectingFileSystem fs;
      KEKD_ASSERT_OK_AND_ASSIGN(const auto store, ring_.Open(Access::kExclusive, fs));
      fs.Inject({.call = ++reads, .call_name = "ReadFile", .error = error});
      status = CommitOne(*store).status();
      ASSERT_TRUE(fs.injected_all());
      ASSERT_FALSE(status.ok());
    } while (!absl::StrContains(status.message(), "second copy"));
    EXPECT_THAT(status, StatusIs(code, HasSubstr(ring_.generation(2))));
    EXPECT_EQ(ReadTestFile(ring_.record()), record);
  }
  KEKD_EXPECT_OK(OpenStatus());
}

TEST_F(FileKeyringStoreTest, CommitRefusesToCountOver) {
  KEKD_ASSERT_OK_AND_ASSIGN(const auto store, ring_.Create());
  const std::string last = ring_.generation(std::numeric_limits<uint64_t>::max());
  WriteTestFile(last, "");
  EXPECT_THAT(CommitOne(*store), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(last)));
  EXPECT_EQ((*store->Load())->generation(), 1u);
}

TEST_F(FileKeyringStoreTest, CommitRefusesWhatIsNoSuccessor) {
  KEKD_ASSERT_OK_AND_ASSIGN(const auto store, ring_.Create());
  KEKD_ASSERT_OK_AND_ASSIGN(const auto two, CommitOne(*store));
  Keyring::Parts parts = two->parts();
  parts.versions.pop_back();
  EXPECT_THAT(store->Commit(*Keyring::Create(parts), 2),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  parts = two->parts();
  parts.ring_key_wraps.clear();
  EXPECT_THAT(store->Commit(*Keyring::Create(parts), 2),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ((*store->Load())->generation(), 2u);
}

// One bad sector must not lose what was acknowledged.
TEST_F(FileKeyringStoreTest, HasTheNewestRecordTwice) {
  const auto expect_two = [&](uint64_t generation) {
    EXPECT_EQ(ReadTestFile(ring_.generation(generation)), ReadTestFile(ring_.record()));
    EXPECT_NE(FileSystem::System().GetInfo(ring_.generation(generation))->inode,
              FileSystem::System().GetInfo(ring_.record())->inode);
  };
  KEKD_ASSERT_OK_AND_ASSIGN(const auto store, ring_.Create());
  expect_two(1);
  KEKD_ASSERT_OK(CommitOne(*store));
  expect_two(2);
}

TEST_F(FileKeyringStoreTest, CommitIsDoneWhenOnlyTheSecondCopyFails) {
  MakeRing(1);
  FaultInjectingFileSystem fs;
  KEKD_ASSERT_OK_AND_ASSIGN(const auto store, ring_.Open(Access::kExclusive, fs));
  fs.Inject({.call = 1, .call_name = "Link", .error = EIO});
  KEKD_ASSERT_OK(CommitOne(*store));
  EXPECT_TRUE(fs.injected_all());
  EXPECT_FALSE(TestFileExists(ring_.generation(2)));
  const std::string second = ReadTestFile(ring_.record());
  KEKD_ASSERT_OK(CommitOne(*store));
  EXPECT_EQ(ReadTestFile(ring_.generation(2)), second);
}

TEST_F(FileKeyringStoreTest, AcceptsNoRollbackWhereThereIsNone) {
  MakeRing(3);
  EXPECT_THAT(AcceptRollback(3), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(AcceptRollback(2), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(FileKeyringStoreTest, RefusesAMissingOrDamagedHighWaterFileUntilItIsAccepted) {
  MakeRing(3);
  for (const absl::string_view content : {"", "damaged"}) {
    if (content.empty()) {
      ASSERT_EQ(unlink(ring_.high_water().c_str()), 0);
    } else {
      WriteTestFile(ring_.high_water(), content);
    }
    EXPECT_THAT(OpenStatus(), StatusIs(absl::StatusCode::kDataLoss,
                                       AllOf(HasSubstr(ring_.high_water()),
                                             HasSubstr("accept-rollback --generation"))));
    KEKD_ASSERT_OK(AcceptRollback(3));
    KEKD_EXPECT_OK(OpenStatus());
  }
}

// A high-water file that can't be read now may know of higher generations: it is not made anew.
TEST_F(FileKeyringStoreTest, AcceptRollbackKeepsAHighWaterFileThatItCanNotRead) {
  MakeRing(5);
  RollBackTo(2);
  const std::string before = ReadTestFile(ring_.high_water());
  FaultInjectingFileSystem fs;
  fs.Inject({.call = 1, .call_name = "ReadFile", .error = EIO});
  EXPECT_THAT(FileKeyringStore::AcceptRollback(ring_.Options(fs), 2),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("EIO")));
  EXPECT_TRUE(fs.injected_all());
  EXPECT_EQ(ReadTestFile(ring_.high_water()), before);
}

TEST_F(FileKeyringStoreTest, FinishesACommitThatWasCutOffBeforeTheHighWaterFile) {
  MakeRing(2);
  const std::string high_water_of_2 = ReadTestFile(ring_.high_water());
  {
    KEKD_ASSERT_OK_AND_ASSIGN(const auto store, ring_.Open());
    KEKD_ASSERT_OK(CommitOne(*store));
  }
  WriteTestFile(ring_.high_water(), high_water_of_2);
  KEKD_ASSERT_OK(OpenStatus(Access::kReadOnly));
  EXPECT_EQ(ReadTestFile(ring_.high_water()), high_water_of_2);  // a reader writes nothing
  KEKD_ASSERT_OK(OpenStatus());
  RollBackTo(2);
  EXPECT_THAT(OpenStatus(), StatusIs(absl::StatusCode::kDataLoss));
}

// kekd must start also if the disk of the state folder is full or read-only.
TEST_F(FileKeyringStoreTest, ServesANewerRecordThanTheHighWaterFileThatCanNotBeRaised) {
  MakeRing(2);
  const std::string high_water_of_2 = ReadTestFile(ring_.high_water());
  {
    KEKD_ASSERT_OK_AND_ASSIGN(const auto store, ring_.Open());
    KEKD_ASSERT_OK(CommitOne(*store));
  }
  WriteTestFile(ring_.high_water(), high_water_of_2);
  FaultInjectingFileSystem fs;
  // What is not known to be durable is not served.
  fs.Inject({.call_name = "SyncDirectory", .error = EIO});
  EXPECT_THAT(ring_.Open(Access::kExclusive, fs), StatusIs(absl::StatusCode::kInternal));
  // The record is written anew, or at least its folder synced; then the mark.
  for (int i = 0; i < 2; ++i) fs.Inject({.call_name = "CreateFile", .error = EROFS});
  KEKD_ASSERT_OK_AND_ASSIGN(const auto store, ring_.Open(Access::kExclusive, fs));
  EXPECT_TRUE(fs.injected_all());
  EXPECT_EQ(ReadTestFile(ring_.high_water()), high_water_of_2);
  // A commit insists on it, before it writes anything.
  fs.Inject({.call_name = "CreateFile", .error = EROFS});
  KEKD_ASSERT_OK_AND_ASSIGN(const auto current, store->Load());
  EXPECT_EQ(current->generation(), 3u);
  fs.Inject({.call_name = "CreateFile", .error = EROFS});
  const std::string record = ReadTestFile(ring_.record());
  EXPECT_FALSE(store->Commit(WithOneMore(*current), 3).ok());
  EXPECT_TRUE(fs.injected_all());
  EXPECT_EQ(ReadTestFile(ring_.record()), record);
  KEKD_EXPECT_OK(store->Commit(WithOneMore(*current), 3));
}

TEST_F(FileKeyringStoreTest, CorruptRecordNamesTheFileAndTheCommandThatHelps) {
  MakeRing(2);
  std::string record = ReadTestFile(ring_.record());
  record[record.size() / 2] = static_cast<char>(record[record.size() / 2] ^ 1);
  for (const std::string& corrupt : {record, std::string(), record.substr(0, 50)}) {
    WriteTestFile(ring_.record(), corrupt);
    EXPECT_THAT(OpenStatus(),
                StatusIs(absl::StatusCode::kDataLoss,
                         AllOf(HasSubstr(ring_.record()), HasSubstr("kekctl keyring verify"))));
    EXPECT_EQ(ReadTestFile(ring_.record()), corrupt) << "nothing resets itself";
  }
}

TEST_F(FileKeyringStoreTest, VerifyTellsGoodCopiesFromBad) {
  MakeRing(5);
  WriteTestFile(ring_.record(), ReadTestFile(ring_.record()) + "x");
  WriteTestFile(ring_.generation(3), ReadTestFile(ring_.generation(2)));
  WriteTestFile(ring_.generation(1), "");
  WriteTestFile(ring_.record() + ".007", "nobody's");
  KEKD_ASSERT_OK_AND_ASSIGN(const auto reports, FileKeyringStore::Verify(ring_.Options()));
  ASSERT_EQ(reports.size(), 6u);
  EXPECT_EQ(reports[0].path, ring_.record());
  EXPECT_THAT(reports[0].status, StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_EQ(reports[1].path, ring_.generation(5));
  EXPECT_EQ(reports[2].path, ring_.generation(4));
  for (size_t i = 1; i <= 2; ++i) {
    KEKD_EXPECT_OK(reports[i].status);
    EXPECT_EQ(reports[i].generation, 6 - i);
  }
  EXPECT_EQ(reports[3].path, ring_.generation(3));
  EXPECT_THAT(reports[3].status, StatusIs(absl::StatusCode::kDataLoss, HasSubstr("exchanged")));
  EXPECT_EQ(reports[3].generation, 2u);
  KEKD_EXPECT_OK(reports[4].status);
  EXPECT_THAT(reports[5].status, StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(FileKeyringStoreTest, VerifyTellsTheGenerationOfACopyThatIsNotAuthentic) {
  MakeRing(3);
  for (const std::string& path : {ring_.record(), ring_.generation(2)}) {
    std::string bytes = ReadTestFile(path);
    bytes.back() = static_cast<char>(bytes.back() ^ 1);
    WriteTestFile(path, bytes);
  }
  KEKD_ASSERT_OK_AND_ASSIGN(const auto reports, FileKeyringStore::Verify(ring_.Options()));
  ASSERT_EQ(reports.size(), 4u);
  EXPECT_EQ(reports[0].generation, 3u);
  EXPECT_THAT(reports[0].status, StatusIs(absl::StatusCode::kDataLoss, HasSubstr("HMAC")));
  KEKD_EXPECT_OK(reports[1].status);
  EXPECT_EQ(reports[2].generation, 2u);
  EXPECT_THAT(reports[2].status, StatusIs(absl::StatusCode::kDataLoss, HasSubstr("HMAC")));
  KEKD_EXPECT_OK(reports[3].status);
}

TEST_F(FileKeyringStoreTest, VerifyReadsTheKeyFileOnce) {
  MakeRing(4);
  FaultInjectingFileSystem fs;
  KEKD_ASSERT_OK(FileKeyringStore::Verify(ring_.Options(fs)));
  const std::vector<std::string> calls = fs.calls();
  EXPECT_EQ(std::count(calls.begin(), calls.end(), "ReadSecretFile " + ring_.key_file()), 1);
}

TEST_F(FileKeyringStoreTest, VerifyTellsOfARollback) {
  MakeRing(3);
  KEKD_ASSERT_OK_AND_ASSIGN(auto reports, FileKeyringStore::Verify(ring_.Options()));
  KEKD_EXPECT_OK(reports[0].status);
  RollBackTo(2);
  KEKD_ASSERT_OK_AND_ASSIGN(reports, FileKeyringStore::Verify(ring_.Options()));
  EXPECT_THAT(reports[0].status, StatusIs(absl::StatusCode::kDataLoss, HasSubstr("rolled back")));
}

TEST_F(FileKeyringStoreTest, RefusesARingKeyItCanNotOpenWithTheReason) {
  MakeRing(1);
  ASSERT_EQ(unlink(ring_.key_file().c_str()), 0);
  EXPECT_THAT(OpenStatus(), StatusIs(absl::StatusCode::kNotFound, HasSubstr(ring_.key_file())));
  KEKD_ASSERT_OK(CreateKeyFile(FileSystem::System(), ring_.key_file(), std::nullopt, std::nullopt,
                               RandomSource::System()));
  EXPECT_THAT(OpenStatus(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr(ring_.key_file())));
}

}  // namespace
}  // namespace kekd
