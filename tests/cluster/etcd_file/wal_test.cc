#include "cluster/etcd_file/wal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "cluster/etcd_file/crc32c.h"
#include "cluster/etcd_file/raft_request.h"
#include "tests/cluster/etcd_file/bbolt_writer.h"
#include "tests/cluster/etcd_file/collected.h"
#include "tests/cluster/etcd_file/memory_file.h"
#include "tests/cluster/etcd_file/wal_writer.h"
#include "tests/support/status_matchers.h"

namespace kekd {
namespace {

using testing::BytesField;
using ::testing::ElementsAre;
using testing::Found;
using testing::GapText;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::MemoryFile;
using testing::PutRequest;
using ::testing::SizeIs;
using testing::StatusIs;
using testing::TxnRequest;
using testing::WalWriter;

class WalTest : public ::testing::Test {
 protected:
  // Reads a segment whose entries up to 10 are in the database.
  std::vector<Found> Read(const MemoryFile& file, bool history = true, bool is_last = true) {
    range_.history = history;
    std::vector<Found> found;
    uint64_t read = 0;
    GapList gaps;
    log_ = {.covered = 10};
    KEKD_EXPECT_OK(ReadWalSegment(
        file, {.range = range_, .consistent_index = 10, .is_last = is_last}, gaps,
        [&](const StoredObject& object) {
          found.push_back({.place = object.place,
                           .key = std::string(object.key),
                           .value = std::string(object.value),
                           .whole = object.whole});
          return absl::OkStatus();
        },
        [&](uint64_t bytes) { read += bytes; }, log_));
    EXPECT_EQ(read, file.size());
    facts_.gaps = gaps.Take();
    return found;
  }
  std::vector<Found> Read(const std::string& bytes, bool history = true, bool is_last = true) {
    return Read(MemoryFile(bytes), history, is_last);
  }

  ReadRange range_;
  SourceFacts facts_;
  WalFacts log_;
};

Found At(Place place, std::string key, std::string value, bool whole = true) {
  return {.place = place, .key = std::move(key), .value = std::move(value), .whole = whole};
}

// RFC 3720, appendix B.4, and the well-known check value.
TEST(Crc32cTest, IsTheOneOfCastagnoli) {
  EXPECT_EQ(ExtendCrc32c(0, std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(ExtendCrc32c(0, std::string(32, '\xff')), 0x62a8ab43u);
  EXPECT_EQ(ExtendCrc32c(0, "123456789"), 0xe3069283u);
  EXPECT_EQ(ExtendCrc32c(ExtendCrc32c(0, "1234"), "56789"), 0xe3069283u);
  EXPECT_EQ(ExtendCrc32c(7, ""), 7u);
}

TEST_F(WalTest, WhatIsNotInTheDatabaseIsPending) {
  WalWriter wal;
  wal.AddEntry(10, PutRequest("/registry/a", "applied"));
  wal.AddEntry(11, PutRequest("/registry/a", "not yet"));
  wal.AddEntry(12, TxnRequest("/registry/b", "of a transaction"));
  wal.AddEntry(13, PutRequest("/elsewhere", "outside"));
  wal.AddEntry(14, "");
  // A 3.4 announces its members by a request of the second API.
  wal.AddEntry(15, testing::VarintField(1, 9) + BytesField(2, "PUT") + BytesField(3, "/0/members") +
                       BytesField(4, "{\"name\":\"default\"}"));
  EXPECT_THAT(Read(wal.bytes(), false),
              ElementsAre(At(Place::kPending, "/registry/a", "not yet"),
                          At(Place::kPending, "/registry/b", "of a transaction")));
  EXPECT_EQ(GapText(facts_), "");
  EXPECT_EQ(log_.cluster_id, 0xc1u);
  EXPECT_THAT(Read(wal.bytes(), true),
              ElementsAre(At(Place::kWal, "/registry/a", "applied"),
                          At(Place::kPending, "/registry/a", "not yet"),
                          At(Place::kPending, "/registry/b", "of a transaction")));
}

TEST_F(WalTest, ASegmentGoesOnFromTheChecksumOfTheOneBefore) {
  WalWriter first;
  first.AddEntry(10, PutRequest("/registry/a", "a"));
  WalWriter second(first.crc());
  second.AddEntry(11, PutRequest("/registry/b", std::string(3 << 20, 'b')));
  // As it is allocated beforehand.
  EXPECT_THAT(Read(second.bytes() + std::string(1 << 20, '\0')), SizeIs(1));
  EXPECT_EQ(GapText(facts_), "");
}

TEST_F(WalTest, ARecordThatDoesNotFitItsChecksumIsAGap) {
  WalWriter wal;
  wal.AddEntry(11, PutRequest("/registry/a", "first"));
  const size_t offset = wal.bytes().size();
  wal.AddEntry(12, PutRequest("/registry/b", "second"));
  wal.AddEntry(13, PutRequest("/registry/c", "third"));
  std::string bytes = wal.bytes();
  bytes[bytes.find("second")] = 'S';
  EXPECT_THAT(Read(bytes, false), ElementsAre(At(Place::kPending, "/registry/a", "first")));
  EXPECT_THAT(GapText(facts_), HasSubstr("the record at " + std::to_string(offset) + " of"));
  EXPECT_THAT(GapText(facts_), HasSubstr("checksum"));
  // With history what follows is searched.
  EXPECT_THAT(Read(bytes), ElementsAre(At(Place::kPending, "/registry/a", "first"),
                                       At(Place::kWal, "/registry/b", "Second"),
                                       At(Place::kWal, "/registry/c", "third")));
}

TEST_F(WalTest, ATornLastRecordIsWhatACrashLeaves) {
  WalWriter wal;
  wal.AddEntry(11, PutRequest("/registry/a", "first"));
  const size_t begin = wal.bytes().size();
  wal.AddEntry(12, PutRequest("/registry/b", std::string(3000, 'b')));
  const std::string bytes = wal.bytes();
  // Its end was not written, whether the segment was allocated beforehand or not.
  for (const std::string& torn :
       {bytes.substr(0, begin + 1024) + std::string(8192, '\0'),
        bytes.substr(0, begin + 8) + std::string(8192, '\0'), bytes.substr(0, begin + 5)}) {
    EXPECT_THAT(Read(torn, false), SizeIs(1));
    EXPECT_EQ(GapText(facts_), "");
    // In the middle of the log it is not.
    EXPECT_THAT(Read(torn, false, false), SizeIs(1));
    EXPECT_THAT(facts_.gaps, SizeIs(1));
  }
  const std::vector<Found> carved = Read(bytes.substr(0, begin + 1024) + std::string(8192, '\0'));
  ASSERT_THAT(carved, SizeIs(2));
  EXPECT_EQ(carved[1].place, Place::kWal);
  EXPECT_EQ(GapText(facts_), "");
  // Something follows: this is no crash.
  std::string more = bytes.substr(0, begin + 1024) + std::string(8192, '\0') + "x";
  EXPECT_THAT(Read(more, false), SizeIs(1));
  EXPECT_THAT(facts_.gaps, SizeIs(1));
}

TEST_F(WalTest, ALengthThatWasDamagedHidesNothing) {
  WalWriter wal;
  wal.AddEntry(11, PutRequest("/registry/a", "first"));
  const size_t at = wal.bytes().size();
  wal.AddEntry(12, PutRequest("/registry/b", "second"));
  wal.AddEntry(13, PutRequest("/registry/c", "third"));
  // Behind the end of the file, in what was allocated beforehand, in the next record, and nowhere.
  for (const char length : {'\xff', '\x10', '\x01', '\0'}) {
    std::string bytes = wal.bytes() + std::string(65536, '\0');
    bytes[at + (length == '\xff' ? 5 : 1)] = length;
    if (length == '\0') bytes[at] = length;
    EXPECT_THAT(Read(bytes, false), SizeIs(1));
    EXPECT_THAT(facts_.gaps, SizeIs(1));
    EXPECT_TRUE(facts_.gaps[0].damaged);
    EXPECT_THAT(Read(bytes), ElementsAre(At(Place::kPending, "/registry/a", "first"),
                                         At(Place::kWal, "/registry/b", "second"),
                                         At(Place::kWal, "/registry/c", "third")));
  }
}

TEST_F(WalTest, EntriesThatAreMissingAreAGap) {
  const auto gaps_of = [this](const std::vector<uint64_t>& entries, uint64_t commit,
                              uint64_t snapshot_before_last = 0) {
    WalWriter wal;
    for (size_t i = 0; i < entries.size(); ++i) {
      if (snapshot_before_last != 0 && i + 1 == entries.size()) {
        wal.AddRecord(5, testing::VarintField(1, snapshot_before_last));
      }
      wal.AddEntry(entries[i], PutRequest("/registry/a", "a"));
    }
    wal.AddRecord(3, testing::VarintField(1, 2) + testing::VarintField(3, commit));
    Read(wal.bytes(), false);
    GapList gaps;
    NoteMissingEnd(log_, "wal", gaps);
    for (Gap& gap : gaps.Take()) facts_.gaps.push_back(std::move(gap));
    return GapText(facts_);
  };
  // Those up to 10 are in the database.
  EXPECT_EQ(gaps_of({}, 10), "");
  EXPECT_EQ(gaps_of({9, 10, 11}, 11), "");
  EXPECT_EQ(gaps_of({11, 12}, 11), "");
  EXPECT_THAT(gaps_of({13, 14}, 13), HasSubstr("entries 11 to 12 before the record at"));
  EXPECT_THAT(gaps_of({8, 11}, 11), HasSubstr("entries 9 to 10 before the record at"));
  // A leader sent a snapshot, and it is in the database or it is not.
  EXPECT_EQ(gaps_of({3, 11}, 11, 10), "");
  EXPECT_THAT(gaps_of({3, 13}, 13, 12), HasSubstr("entries 11 to 12 before the record at"));
  // Raft gives up what a later entry has the index of.
  EXPECT_EQ(gaps_of({10, 11, 12, 11, 12, 13}, 13), "");
  EXPECT_THAT(gaps_of({10, 11}, 12), HasSubstr("entries 12 to 12 of wal"));
  EXPECT_THAT(gaps_of({}, 12), HasSubstr("entries 11 to 12 of wal"));
}

TEST_F(WalTest, WhatFollowsTheEndIsAGap) {
  WalWriter wal;
  wal.AddEntry(11, PutRequest("/registry/a", "first"));
  const std::string bytes =
      wal.bytes() + std::string(512, '\0') + testing::EncodePut("/registry/b", "behind");
  EXPECT_THAT(Read(bytes), ElementsAre(At(Place::kPending, "/registry/a", "first"),
                                       At(Place::kWal, "/registry/b", "behind")));
  EXPECT_THAT(facts_.gaps, SizeIs(1));
}

TEST_F(WalTest, WhatCannotBeReadIsAGap) {
  WalWriter wal;
  wal.AddEntry(11, PutRequest("/registry/a", std::string(2 << 20, 'a')));
  wal.AddEntry(12, PutRequest("/registry/b", std::string(2 << 20, 'b')));
  MemoryFile file(wal.bytes());
  file.BreakAt(3 << 20, (3 << 20) + 1);
  EXPECT_THAT(Read(file, false), SizeIs(1));
  EXPECT_THAT(GapText(facts_), HasSubstr("EIO"));
  MemoryFile cut(wal.bytes());
  cut.CutAt(1 << 20);
  EXPECT_THAT(Read(cut, false), IsEmpty());
  EXPECT_THAT(facts_.gaps, SizeIs(1));
}

TEST_F(WalTest, AnEntryThatIsNoRequestIsAGap) {
  WalWriter wal;
  wal.AddEntry(11, BytesField(4, "\x0a\xff"));
  wal.AddRecord(2, "\x0b");
  wal.AddEntry(12, PutRequest("/registry/a", "a"));
  EXPECT_THAT(Read(wal.bytes()), SizeIs(1));
  EXPECT_THAT(GapText(facts_), HasSubstr("entry 11: it is no request"));
  EXPECT_THAT(facts_.gaps, SizeIs(2));
}

TEST(RaftRequestTest, NestedTransactionsAreFollowedSoFar) {
  const auto nested = [](int depth) {
    std::string operation = BytesField(2, testing::EncodePut("k", "v"));
    for (int i = 0; i < depth; ++i) operation = BytesField(4, BytesField(2, operation));
    return BytesField(6, BytesField(2, operation));
  };
  int puts = 0;
  const auto count = [&](absl::string_view, absl::string_view) {
    ++puts;
    return absl::OkStatus();
  };
  KEKD_EXPECT_OK(ForEachPut(nested(5), count));
  EXPECT_EQ(puts, 1);
  EXPECT_THAT(ForEachPut(nested(1000), count), StatusIs(absl::StatusCode::kDataLoss));
}

}  // namespace
}  // namespace kekd
