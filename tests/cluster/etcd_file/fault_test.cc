// A disk that fails and files that end too early.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "cluster/etcd_file/database.h"
#include "cluster/etcd_file/file_digest.h"
#include "tests/cluster/etcd_file/bbolt_writer.h"
#include "tests/cluster/etcd_file/collected.h"
#include "tests/cluster/etcd_file/memory_file.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace kekd {
namespace {

using testing::BboltWriter;
using testing::GapText;
using ::testing::HasSubstr;
using testing::MemoryFile;
using testing::StatusIs;

constexpr size_t kPage = 1024;
constexpr int kObjects = 200;

class FaultTest : public ::testing::Test {
 protected:
  FaultTest() {
    testing::TempDirectory folder;
    const std::string path = folder.File("db");
    BboltWriter writer(path, {.page_size = kPage, .freelist = true});
    writer.BeginBucket("key");
    for (uint64_t i = 1; i <= kObjects; ++i) {
      writer.Put(testing::RevisionKey(i),
                 testing::EncodeKeyValue(absl::StrCat("/registry/", i),
                                         std::string(i % 10 == 0 ? 3000 : 200, 'v'), i));
    }
    writer.Finish();
    bytes_ = testing::ReadTestFile(path);
  }

  // How many objects are found; the gaps are in facts_.
  absl::StatusOr<int> Read(const MemoryFile& file, bool history = false) {
    GapList gaps;
    int objects = 0;
    const absl::StatusOr<DatabaseFacts> facts = ReadDatabase(
        file, file.size(), {.history = history}, Place::kCurrent, gaps,
        [&](const StoredObject&) {
          ++objects;
          return absl::OkStatus();
        },
        [](uint64_t) {});
    facts_.gaps = gaps.Take();
    if (!facts.ok()) return facts.status();
    return objects;
  }

  std::string bytes_;
  SourceFacts facts_;
};

TEST_F(FaultTest, APageThatCannotBeReadIsAGap) {
  MemoryFile file(bytes_);
  file.BreakAt(5 * kPage, 5 * kPage + 1);
  KEKD_ASSERT_OK_AND_ASSIGN(const int objects, Read(file));
  EXPECT_LT(objects, kObjects);
  EXPECT_GE(objects, kObjects - 4);
  EXPECT_THAT(GapText(facts_), HasSubstr("page 5 of memory: read memory: Input/output error"));
}

TEST_F(FaultTest, AFileThatIsCutWhileItIsReadIsReadAsFarAsItGoes) {
  for (size_t size = bytes_.size() - 1; size > 3 * kPage; size -= kPage / 2) {
    MemoryFile file(bytes_);
    file.CutAt(size);
    KEKD_ASSERT_OK_AND_ASSIGN(const int objects, Read(file, true));
    EXPECT_LE(objects, kObjects);
    EXPECT_FALSE(facts_.gaps.empty()) << size;
  }
}

TEST_F(FaultTest, AByteThatFlipsAnywhereIsNoCrash) {
  for (size_t at = 0; at < bytes_.size(); at += 61) {
    std::string damaged = bytes_;
    damaged[at] = static_cast<char>(damaged[at] ^ (1 << at % 8));
    (void)Read(MemoryFile(damaged), true);
  }
}

TEST_F(FaultTest, AnEndlessTreeIsReadOnce) {
  // A branch that is its own child: page 2 is the first leaf.
  std::string looped = bytes_;
  const auto branch = [&](size_t page) { return looped[page * kPage + 8] == 0x01; };
  size_t page = 2;
  while (page < looped.size() / kPage && !branch(page)) ++page;
  ASSERT_LT(page, looped.size() / kPage);
  looped.replace(page * kPage + 16 + 8, 1, 1, static_cast<char>(page));
  looped.replace(page * kPage + 16 + 9, 1, 1, static_cast<char>(page >> 8));
  KEKD_ASSERT_OK_AND_ASSIGN(const int objects, Read(MemoryFile(looped)));
  EXPECT_GT(objects, 0);
  EXPECT_THAT(GapText(facts_), HasSubstr("it is referred to twice"));
}

TEST_F(FaultTest, ADigestOfWhatCannotBeReadFails) {
  MemoryFile file(bytes_);
  file.BreakAt(5 * kPage, 5 * kPage + 1);
  EXPECT_THAT(FileDigest(file, file.size()).Finish(), StatusIs(absl::StatusCode::kInternal));
  MemoryFile cut(bytes_);
  cut.CutAt(kPage);
  EXPECT_THAT(FileDigest(cut, cut.size()).Finish(), StatusIs(absl::StatusCode::kDataLoss));
}

}  // namespace
}  // namespace kekd
