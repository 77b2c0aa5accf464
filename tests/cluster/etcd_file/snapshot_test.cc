// Files as a whole: which kind they are, and what is told of damaged ones.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "base/unique_fd.h"
#include "cluster/etcd_file/etcd_files.h"
#include "tests/cluster/etcd_file/bbolt_writer.h"
#include "tests/cluster/etcd_file/collected.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace kekd {
namespace {

using ::testing::AllOf;
using testing::BboltWriter;
using testing::Collect;
using testing::Collected;
using testing::GapText;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::StatusIs;

constexpr int kObjects = 1000;

class SnapshotTest : public ::testing::Test {
 protected:
  std::string Write(bool as_snapshot, uint32_t page_size = 4096) {
    const std::string path = folder_.File("db");
    BboltWriter writer(path, {.page_size = page_size, .freelist = true});
    writer.BeginBucket("cluster");
    writer.Put("clusterVersion", "3.4.0");
    writer.BeginBucket("key");
    for (uint64_t i = 1; i <= kObjects; ++i) {
      const std::string key = absl::StrCat("/registry/secrets/", i);
      writer.Put(testing::RevisionKey(i),
                 testing::EncodeKeyValue(key, std::string(i % 9 == 0 ? 9000 : 500, 'v'), i));
    }
    writer.BeginBucket("meta");
    writer.Put("consistent_index", testing::BigEndian64(1234));
    writer.Put("finishedCompactRev", testing::RevisionKey(17));
    writer.Finish(as_snapshot);
    return path;
  }
  void Overwrite(const std::string& path, size_t at, absl::string_view bytes) {
    std::string content = testing::ReadTestFile(path);
    content.replace(at, bytes.size(), std::string(bytes));
    testing::WriteTestFile(path, content);
  }

  testing::TempDirectory folder_;
};

TEST_F(SnapshotTest, IsReadWithItsFacts) {
  const std::string path = Write(true);
  KEKD_ASSERT_OK_AND_ASSIGN(const Collected read, Collect(path));
  EXPECT_EQ(read.objects.size(), size_t{kObjects});
  EXPECT_EQ(read.facts.kind, "snapshot");
  EXPECT_EQ(read.facts.identity.size(), 64u);
  EXPECT_EQ(read.facts.version, "3.4");
  EXPECT_EQ(read.facts.revision, kObjects);
  EXPECT_EQ(read.facts.compacted, 17);
  EXPECT_EQ(read.facts.bytes, testing::ReadTestFile(path).size());
  EXPECT_EQ(GapText(read.facts), "");
}

TEST_F(SnapshotTest, AnyPageSizeIsRead) {
  for (const uint32_t page_size : {1024u, 16384u, 65536u}) {
    KEKD_ASSERT_OK_AND_ASSIGN(const Collected read, Collect(Write(true, page_size)));
    EXPECT_EQ(read.objects.size(), size_t{kObjects}) << page_size;
    EXPECT_EQ(GapText(read.facts), "") << page_size;
  }
}

TEST_F(SnapshotTest, ADatabaseFileHasNoHashAndMayNotBeAllThereIs) {
  KEKD_ASSERT_OK_AND_ASSIGN(const Collected read, Collect(Write(false)));
  EXPECT_EQ(read.objects.size(), size_t{kObjects});
  EXPECT_EQ(read.facts.kind, "database file");
  EXPECT_EQ(read.facts.identity, "");
  ASSERT_EQ(read.facts.gaps.size(), 1u);
  EXPECT_THAT(GapText(read.facts), AllOf(HasSubstr("the end of"), HasSubstr("it has no hash")));
  EXPECT_FALSE(read.facts.gaps[0].damaged);
}

TEST_F(SnapshotTest, AHashThatDoesNotFitIsAGap) {
  const std::string path = Write(true);
  Overwrite(path, testing::ReadTestFile(path).size() - 1, "?");
  KEKD_ASSERT_OK_AND_ASSIGN(const Collected read, Collect(path));
  EXPECT_EQ(read.objects.size(), size_t{kObjects});
  EXPECT_THAT(GapText(read.facts), AllOf(HasSubstr("the SHA-256 of"), HasSubstr("damaged")));
}

TEST_F(SnapshotTest, ADamagedPageIsAGapAndTheRestIsRead) {
  const std::string path = Write(false);
  Overwrite(path, 5 * 4096 + 8, "\xff");
  KEKD_ASSERT_OK_AND_ASSIGN(const Collected read, Collect(path));
  EXPECT_THAT(GapText(read.facts), HasSubstr(absl::StrCat("page 5 of ", path, ": ")));
  EXPECT_EQ(read.facts.gaps.size(), 2u);  // this one, and that the file has no hash
  EXPECT_LT(read.objects.size(), size_t{kObjects});
  EXPECT_GT(read.objects.size(), size_t{kObjects} - 10);
  // What the page still has is found in another way.
  KEKD_ASSERT_OK_AND_ASSIGN(const Collected carved, Collect(path, {.history = true}));
  EXPECT_EQ(carved.objects.size(), size_t{kObjects});
}

TEST_F(SnapshotTest, APageOfAnotherNumberIsAGap) {
  const std::string path = Write(false);
  Overwrite(path, 5 * 4096, "\x06");
  KEKD_ASSERT_OK_AND_ASSIGN(const Collected read, Collect(path));
  EXPECT_THAT(GapText(read.facts), HasSubstr("it says that it is page 6"));
}

TEST_F(SnapshotTest, ATruncatedFileIsReadAsFarAsItGoes) {
  const std::string path = Write(false);
  const std::string content = testing::ReadTestFile(path);
  testing::WriteTestFile(path, content.substr(0, content.size() - 4096 - 77));
  KEKD_ASSERT_OK_AND_ASSIGN(const Collected read, Collect(path));
  EXPECT_THAT(GapText(read.facts), HasSubstr("it is cut short"));
}

TEST_F(SnapshotTest, ASnapshotWithoutTheEndOfItsHashIsNoDatabaseFileThatIsWhole) {
  const std::string path = Write(true);
  const std::string content = testing::ReadTestFile(path);
  testing::WriteTestFile(path, content.substr(0, content.size() - 10));
  KEKD_ASSERT_OK_AND_ASSIGN(const Collected read, Collect(path));
  EXPECT_EQ(read.objects.size(), size_t{kObjects});
  EXPECT_THAT(GapText(read.facts), HasSubstr("the last 22 bytes of"));
}

TEST_F(SnapshotTest, OneDamagedMetaPageIsAGap) {
  for (const uint32_t page_size : {4096u, 16384u}) {
    for (const size_t meta : {0, 1}) {
      const std::string path = Write(false, page_size);
      Overwrite(path, meta * page_size + 40, "????");
      KEKD_ASSERT_OK_AND_ASSIGN(const Collected read, Collect(path));
      EXPECT_EQ(read.objects.size(), size_t{kObjects});
      EXPECT_THAT(GapText(read.facts), HasSubstr(absl::StrCat("page ", meta, " of")));
    }
  }
}

TEST_F(SnapshotTest, TwoDamagedMetaPagesAreAnError) {
  const std::string path = Write(false);
  Overwrite(path, 40, "????");
  Overwrite(path, 4096 + 40, "????");
  EXPECT_THAT(Collect(path), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("both")));
}

TEST_F(SnapshotTest, AFileOfAnotherProgramIsRefused) {
  const std::string path = folder_.File("other");
  testing::WriteTestFile(path, "");
  EXPECT_THAT(Collect(path),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no etcd database")));
  testing::WriteTestFile(path, std::string(100000, 'x'));
  EXPECT_THAT(Collect(path),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no etcd database")));
  BboltWriter writer(path);
  writer.BeginBucket("io.containerd");
  writer.Put("a", "b");
  writer.Finish();
  EXPECT_THAT(Collect(path),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no bucket 'key'")));
}

TEST_F(SnapshotTest, OnlyRegularFilesAreOpened) {
  ASSERT_EQ(::mkfifo(folder_.File("fifo").c_str(), 0600), 0);
  EXPECT_THAT(Collect(folder_.File("fifo")), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Collect("/dev/null"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Collect(folder_.File("missing")), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(SnapshotTest, ADatabaseInUseIsLeftAlone) {
  const std::string path = Write(false);
  const UniqueFd etcd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_EQ(::flock(etcd.get(), LOCK_EX | LOCK_NB), 0);
  EXPECT_THAT(Collect(path),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("running etcd")));
  ::flock(etcd.get(), LOCK_UN);
  KEKD_EXPECT_OK(Collect(path));
}

TEST_F(SnapshotTest, AVisitorsErrorEndsTheReading) {
  KEKD_ASSERT_OK_AND_ASSIGN(const auto source, OpenEtcdFiles(Write(true)));
  int seen = 0;
  const absl::StatusOr<SourceFacts> facts = source->Read(
      {},
      [&](const StoredObject&) {
        return ++seen == 3 ? absl::AbortedError("no") : absl::OkStatus();
      },
      [](uint64_t, uint64_t) {});
  EXPECT_THAT(facts, StatusIs(absl::StatusCode::kAborted));
  EXPECT_EQ(seen, 3);
}

}  // namespace
}  // namespace kekd
