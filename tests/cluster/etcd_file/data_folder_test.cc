#include "cluster/etcd_file/data_folder.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>

#include <filesystem>
#include <string>

#include "base/unique_fd.h"
#include "tests/cluster/etcd_file/bbolt_writer.h"
#include "tests/cluster/etcd_file/collected.h"
#include "tests/cluster/etcd_file/wal_writer.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace kekd {
namespace {

using ::testing::AllOf;
using testing::BboltWriter;
using testing::Collect;
using testing::Collected;
using testing::EncodeKeyValue;
using testing::Found;
using testing::GapText;
using ::testing::HasSubstr;
using testing::PutRequest;
using testing::RevisionKey;
using testing::StatusIs;
using ::testing::UnorderedElementsAre;
using testing::WalWriter;

class DataFolderTest : public ::testing::Test {
 protected:
  DataFolderTest() {
    std::filesystem::create_directories(File("member/snap"));
    std::filesystem::create_directories(File("member/wal"));
    WriteDatabase("member/snap/db", 10, "in the database");
    first_.AddEntry(10, PutRequest("/registry/a", "in the database"));
    testing::WriteTestFile(File(kFirst), first_.bytes());
    WalWriter second(first_.crc(), 0xabcd);
    second.AddEntry(11, PutRequest("/registry/a", "in the log"));
    testing::WriteTestFile(File(kSecond), second.bytes() + std::string(9000, '\0'));
  }

  std::string File(absl::string_view name) { return folder_.File(name); }
  void WriteDatabase(absl::string_view name, uint64_t index, absl::string_view value) {
    BboltWriter writer(File(name));
    writer.BeginBucket("key");
    writer.Put(RevisionKey(2), EncodeKeyValue("/registry/a", value, 2));
    writer.BeginBucket("meta");
    writer.Put("consistent_index", testing::BigEndian64(index));
    writer.Finish();
  }

  static constexpr char kFirst[] = "member/wal/0000000000000003-00000000000000ff.wal";
  static constexpr char kSecond[] = "member/wal/0000000000000004-0000000000000fff.wal";

  testing::TempDirectory folder_;
  WalWriter first_;
};

Found At(Place place, std::string value, int64_t revision = 0) {
  return {
      .place = place, .key = "/registry/a", .value = std::move(value), .mod_revision = revision};
}

TEST_F(DataFolderTest, IsReadWithItsLog) {
  for (const char* path : {"", "member"}) {
    KEKD_ASSERT_OK_AND_ASSIGN(const Collected read, Collect(File(path)));
    EXPECT_THAT(read.objects, UnorderedElementsAre(At(Place::kCurrent, "in the database", 2),
                                                   At(Place::kPending, "in the log")));
    EXPECT_EQ(GapText(read.facts), "");
    EXPECT_EQ(read.facts.kind, "data folder");
    EXPECT_EQ(read.facts.identity, "00000000000000c1");
  }
  KEKD_ASSERT_OK_AND_ASSIGN(const Collected read, Collect(File(""), {.history = true}));
  EXPECT_THAT(read.objects, UnorderedElementsAre(At(Place::kCurrent, "in the database", 2),
                                                 At(Place::kWal, "in the database"),
                                                 At(Place::kPending, "in the log")));
}

TEST_F(DataFolderTest, ALeftOverDatabaseCountsAsWhatItIs) {
  // Behind the database: a left-over. Ahead of it: etcd takes it over when it starts.
  WriteDatabase("member/snap/0000000000000005.snap.db", 5, "of old");
  testing::WriteTestFile(File("member/snap/0000000000000001-0000000000000005.snap"), "members");
  KEKD_ASSERT_OK_AND_ASSIGN(Collected read, Collect(File("")));
  EXPECT_EQ(read.objects.size(), 2u);
  KEKD_ASSERT_OK_AND_ASSIGN(read, Collect(File(""), {.history = true}));
  EXPECT_THAT(read.objects, ::testing::Contains(At(Place::kOldRevision, "of old", 2)));
  WriteDatabase("member/snap/0000000000000020.snap.db", 0x20, "of a leader");
  KEKD_ASSERT_OK_AND_ASSIGN(read, Collect(File("")));
  EXPECT_THAT(read.objects, UnorderedElementsAre(At(Place::kCurrent, "in the database", 2),
                                                 At(Place::kPending, "of a leader", 2),
                                                 At(Place::kPending, "in the log")));
  // The log ends before what the leader sent.
  EXPECT_EQ(GapText(read.facts), "");
  testing::WriteTestFile(File("member/snap/0000000000000020.snap.db"), "nothing");
  KEKD_ASSERT_OK_AND_ASSIGN(read, Collect(File("")));
  EXPECT_THAT(GapText(read.facts), HasSubstr("no etcd database"));
  EXPECT_EQ(read.objects.size(), 2u);
}

TEST_F(DataFolderTest, WhatElseLiesThereIsAGap) {
  for (const char* name : {"member.old", "member/snap/db.tmp.123", "member/snap/tmp815",
                           "member/wal/0000000000000001-0000000000000001.wal.broken"}) {
    testing::WriteTestFile(File(name), "x");
  }
  KEKD_ASSERT_OK_AND_ASSIGN(const Collected read, Collect(File("")));
  EXPECT_EQ(read.objects.size(), 2u);
  EXPECT_EQ(read.facts.gaps.size(), 4u);
  EXPECT_THAT(GapText(read.facts), AllOf(HasSubstr("member.old"), HasSubstr("db.tmp.123"),
                                         HasSubstr("tmp815"), HasSubstr(".wal.broken")));
}

TEST_F(DataFolderTest, WhatAFileSystemBeginsWithIsNoGap) {
  for (const char* folder : {"lost+found", "member/wal/lost+found"}) {
    std::filesystem::create_directory(File(folder));
  }
  KEKD_ASSERT_OK_AND_ASSIGN(Collected read, Collect(File("")));
  EXPECT_EQ(GapText(read.facts), "");
  testing::WriteTestFile(File("lost+found/#12"), "x");
  KEKD_ASSERT_OK_AND_ASSIGN(read, Collect(File("")));
  EXPECT_THAT(GapText(read.facts), HasSubstr("lost+found"));
}

TEST_F(DataFolderTest, AMissingFirstPartOfTheLogIsAGap) {
  WriteDatabase("member/snap/db", 9, "in the database");
  std::filesystem::remove(File(kFirst));
  KEKD_ASSERT_OK_AND_ASSIGN(Collected read, Collect(File("")));
  EXPECT_THAT(GapText(read.facts), HasSubstr("entries 10 to 10 before the record at"));
  // And its end, which what is left tells of.
  first_.AddRecord(3, testing::VarintField(1, 2) + testing::VarintField(3, 11));
  testing::WriteTestFile(File(kFirst), first_.bytes());
  std::filesystem::remove(File(kSecond));
  KEKD_ASSERT_OK_AND_ASSIGN(read, Collect(File("")));
  EXPECT_THAT(GapText(read.facts), HasSubstr("entries 11 to 11 of "));
}

TEST_F(DataFolderTest, AllocatedSegmentsAreSearchedWithHistory) {
  testing::WriteTestFile(File("member/wal/0.tmp"),
                         std::string(999, '\0') + testing::EncodePut("/registry/a", "remains"));
  KEKD_ASSERT_OK_AND_ASSIGN(Collected read, Collect(File("")));
  EXPECT_EQ(read.objects.size(), 2u);
  KEKD_ASSERT_OK_AND_ASSIGN(read, Collect(File(""), {.history = true}));
  EXPECT_THAT(read.objects, ::testing::Contains(At(Place::kWal, "remains")));
  EXPECT_EQ(GapText(read.facts), "");
}

TEST_F(DataFolderTest, AMissingSegmentIsAGap) {
  std::filesystem::rename(File(kSecond), File("member/wal/0000000000000005-0000000000000fff.wal"));
  KEKD_ASSERT_OK_AND_ASSIGN(const Collected read, Collect(File("")));
  EXPECT_THAT(GapText(read.facts), HasSubstr("a part of the write-ahead log is missing"));
}

TEST_F(DataFolderTest, AMissingLogIsAGap) {
  std::filesystem::remove(File(kFirst));
  std::filesystem::remove(File(kSecond));
  KEKD_ASSERT_OK_AND_ASSIGN(const Collected empty, Collect(File("")));
  EXPECT_THAT(GapText(empty.facts), HasSubstr("there is no write-ahead log"));
  std::filesystem::remove_all(File("member/wal"));
  KEKD_ASSERT_OK_AND_ASSIGN(const Collected read, Collect(File("")));
  EXPECT_THAT(GapText(read.facts), HasSubstr("there is no write-ahead log"));
  EXPECT_EQ(read.objects.size(), 1u);
}

TEST_F(DataFolderTest, ADamagedSegmentIsAGapAndTheNextIsRead) {
  std::string bytes = first_.bytes();
  bytes[bytes.size() / 2] ^= 1;
  testing::WriteTestFile(File(kFirst), bytes);
  KEKD_ASSERT_OK_AND_ASSIGN(const Collected read, Collect(File("")));
  EXPECT_EQ(read.objects.size(), 2u);
  EXPECT_THAT(GapText(read.facts), HasSubstr(kFirst));
}

TEST_F(DataFolderTest, AFolderInUseIsLeftAlone) {
  const UniqueFd etcd(::open(File("member/snap/db").c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_EQ(::flock(etcd.get(), LOCK_EX | LOCK_NB), 0);
  EXPECT_THAT(Collect(File("")), StatusIs(absl::StatusCode::kFailedPrecondition,
                                          AllOf(HasSubstr("endpoints"), HasSubstr("snapshot"))));
}

TEST_F(DataFolderTest, AnotherFolderIsRefused) {
  EXPECT_THAT(Collect(File("member/wal")),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no data folder of etcd")));
  std::filesystem::remove(File("member/snap/db"));
  EXPECT_THAT(Collect(File("")), StatusIs(absl::StatusCode::kNotFound, HasSubstr("no database")));
}

}  // namespace
}  // namespace kekd
