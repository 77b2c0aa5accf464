#include "cluster/etcd_file/database.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "cluster/etcd_file/remains.h"
#include "tests/cluster/etcd_file/bbolt_writer.h"
#include "tests/cluster/etcd_file/collected.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace kekd {
namespace {

using testing::BboltWriter;
using testing::Collect;
using testing::Collected;
using ::testing::Contains;
using testing::EncodeKeyValue;
using testing::Found;
using testing::GapText;
using ::testing::HasSubstr;
using testing::RevisionKey;
using ::testing::UnorderedElementsAre;

class DatabaseTest : public ::testing::Test {
 protected:
  testing::TempDirectory folder_;
  const std::string path_ = folder_.File("db");
};

Found At(Place place, std::string key, std::string value, int64_t revision) {
  return {
      .place = place, .key = std::move(key), .value = std::move(value), .mod_revision = revision};
}

// /registry/a was written three times, /registry/b was deleted, /registry/c deleted and made again
// in one transaction, /other is somebody else's.
void PutRevisions(BboltWriter& writer) {
  writer.BeginBucket("key");
  writer.Put(RevisionKey(2), EncodeKeyValue("/registry/a", "a1", 2));
  writer.Put(RevisionKey(3), EncodeKeyValue("/registry/b", "b1", 3));
  writer.Put(RevisionKey(4), EncodeKeyValue("/registry/a", "a2", 4));
  writer.Put(RevisionKey(5, 0, true), testing::BytesField(1, "/registry/b"));
  writer.Put(RevisionKey(6), EncodeKeyValue("/other", "o1", 6));
  writer.Put(RevisionKey(7), EncodeKeyValue("/other", "o2", 7));
  writer.Put(RevisionKey(8, 0, true), testing::BytesField(1, "/registry/c"));
  writer.Put(RevisionKey(8, 1), EncodeKeyValue("/registry/c", "", 8));
  writer.Put(RevisionKey(9), EncodeKeyValue("/registry/a", "a3", 9));
}

TEST_F(DatabaseTest, TheNewestRevisionOfAKeyIsCurrent) {
  BboltWriter writer(path_);
  PutRevisions(writer);
  writer.Finish(true);
  KEKD_ASSERT_OK_AND_ASSIGN(const Collected read, Collect(path_));
  EXPECT_THAT(read.objects, UnorderedElementsAre(At(Place::kCurrent, "/registry/a", "a3", 9),
                                                 At(Place::kCurrent, "/registry/c", "", 8)));
  EXPECT_EQ(read.facts.other_keys, 1u);
  EXPECT_EQ(read.facts.revision, 9);
  EXPECT_FALSE(read.facts.history);
  EXPECT_EQ(GapText(read.facts), "");
}

TEST_F(DatabaseTest, WithHistoryTheOlderRevisionsAreToldToo) {
  BboltWriter writer(path_, {.inline_buckets = true});
  PutRevisions(writer);
  writer.Finish();
  KEKD_ASSERT_OK_AND_ASSIGN(const Collected read, Collect(path_, {.history = true}));
  EXPECT_THAT(read.objects, UnorderedElementsAre(At(Place::kCurrent, "/registry/a", "a3", 9),
                                                 At(Place::kOldRevision, "/registry/a", "a2", 4),
                                                 At(Place::kOldRevision, "/registry/a", "a1", 2),
                                                 At(Place::kOldRevision, "/registry/b", "b1", 3),
                                                 At(Place::kCurrent, "/registry/c", "", 8)));
  EXPECT_TRUE(read.facts.history);
}

TEST_F(DatabaseTest, WithHistoryWhatIsLeftInUnusedPagesIsTold) {
  BboltWriter writer(path_);
  const std::string large(9000, 'x');
  writer.AddUnused(RevisionKey(2), EncodeKeyValue("/registry/a", "in a page of its own", 2));
  writer.AddUnused(RevisionKey(3), EncodeKeyValue("/registry/b", large, 3));
  // Its header is gone: what precedes it seems to go on in it.
  writer.AddUnused(RevisionKey(4), EncodeKeyValue("/registry/c", "headless", 4), false);
  PutRevisions(writer);
  writer.Finish();
  KEKD_ASSERT_OK_AND_ASSIGN(const Collected plain, Collect(path_));
  EXPECT_EQ(plain.objects.size(), 2u);
  KEKD_ASSERT_OK_AND_ASSIGN(const Collected read, Collect(path_, {.history = true}));
  EXPECT_EQ(read.objects.size(), 5u + 3);
  EXPECT_THAT(read.objects,
              Contains(At(Place::kFreeSpace, "/registry/a", "in a page of its own", 2)));
  EXPECT_THAT(read.objects, Contains(At(Place::kFreeSpace, "/registry/b", large, 3)));
  EXPECT_THAT(read.objects, Contains(At(Place::kFreeSpace, "/registry/c", "headless", 4)));
}

TEST_F(DatabaseTest, AValueThatWasPartlyOverwrittenIsToldAsCut) {
  BboltWriter writer(path_);
  const std::string large(9000, 'x');
  const uint64_t page = writer.AddUnused(RevisionKey(3), EncodeKeyValue("/registry/b", large, 3));
  PutRevisions(writer);
  writer.Finish();
  // The second of its three pages was used again, and is free again.
  std::string content = testing::ReadTestFile(path_);
  std::string reused(4096, '\0');
  reused[0] = static_cast<char>(page + 1);
  reused[8] = 0x02;
  content.replace((page + 1) * 4096, 4096, reused);
  testing::WriteTestFile(path_, content);
  KEKD_ASSERT_OK_AND_ASSIGN(const Collected read, Collect(path_, {.history = true}));
  std::vector<Found> remains;
  for (const Found& found : read.objects) {
    if (found.place == Place::kFreeSpace) remains.push_back(found);
  }
  ASSERT_EQ(remains.size(), 1u);
  EXPECT_FALSE(remains[0].whole);
  EXPECT_EQ(remains[0].value.size(), RemainsFinder::kMaxBeginning);
}

TEST_F(DatabaseTest, WithHistoryWhatLiesBehindAPagesContentIsTold) {
  BboltWriter writer(path_);
  PutRevisions(writer);
  writer.Finish();
  std::string content = testing::ReadTestFile(path_);
  const std::string old = EncodeKeyValue("/registry/a", "slack", 1);
  content.replace(2 * 4096 + 4000, old.size(), old);  // the leaf
  content.replace(4096 + 3000, old.size(), old);      // a meta page
  testing::WriteTestFile(path_, content);
  KEKD_ASSERT_OK_AND_ASSIGN(const Collected read, Collect(path_, {.history = true}));
  EXPECT_EQ(std::count(read.objects.begin(), read.objects.end(),
                       At(Place::kFreeSpace, "/registry/a", "slack", 1)),
            2);
}

TEST_F(DatabaseTest, WhatIsNoRevisionOrNoKeyValueIsAGap) {
  BboltWriter writer(path_);
  writer.BeginBucket("key");
  writer.Put(RevisionKey(2), EncodeKeyValue("/registry/a", "a", 2));
  writer.Put(RevisionKey(3), "\x0a\xff?");
  writer.Put("no revision", "x");
  writer.Finish();
  KEKD_ASSERT_OK_AND_ASSIGN(const Collected read, Collect(path_));
  EXPECT_THAT(read.objects, UnorderedElementsAre(At(Place::kCurrent, "/registry/a", "a", 2)));
  EXPECT_THAT(GapText(read.facts), HasSubstr("revision 3.0 of "));
  EXPECT_THAT(GapText(read.facts), HasSubstr("it is no revision"));
}

}  // namespace
}  // namespace kekd
