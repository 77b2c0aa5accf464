#include "hsm/pkcs11/pin_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "tests/fakes/memory_file_system.h"
#include "tests/support/status_matchers.h"

namespace kekd {
namespace {

using ::testing::_;
using ::testing::HasSubstr;
using testing::IsOk;
using testing::StatusIs;

constexpr PinVersion kVersion = {.inode = 77, .modified_ns = -1234567890123456789, .size = 5};

class PinLogTest : public ::testing::Test {
 protected:
  PinLogTest() : log_(fs_, "/pins", {.label = "prod/1", .serial = "0a1b"}) {}

  testing::MemoryFileSystem fs_{{"/pins"}};
  PinLog log_;
};

TEST_F(PinLogTest, RemembersTheLastOutcome) {
  ASSERT_THAT(log_.Read(), IsOk());
  EXPECT_TRUE(log_.Read()->empty());
  for (const PinLog::Outcome outcome :
       {PinLog::Outcome::kTried, PinLog::Outcome::kFailed, PinLog::Outcome::kWorked}) {
    ASSERT_THAT(log_.Write({kVersion, outcome, 3, 4}), IsOk());
    const absl::StatusOr<std::vector<PinLog::Entry>> read = log_.Read();
    ASSERT_THAT(read, IsOk());
    ASSERT_EQ(read->size(), 1u);
    EXPECT_TRUE(read->front().pin == kVersion);
    EXPECT_EQ(read->front().outcome, outcome);
    EXPECT_EQ(read->front().unanswered, 3u);
    EXPECT_EQ(read->front().unclear, 4u);
  }
}

TEST_F(PinLogTest, RemembersWhatFailedWhenAnotherWorks) {
  ASSERT_THAT(log_.Write({{.inode = 1}, PinLog::Outcome::kFailed}), IsOk());
  for (uint64_t i = 2; i < 100; ++i) {
    ASSERT_THAT(log_.Write({{.inode = i}, PinLog::Outcome::kWorked}), IsOk());
  }
  std::vector<PinLog::Entry> entries = *log_.Read();
  ASSERT_EQ(entries.size(), PinLog::kMostEntries);
  EXPECT_EQ(entries.front().pin.inode, 99u);
  EXPECT_EQ(entries.back().pin.inode, 1u);
  EXPECT_EQ(entries.back().outcome, PinLog::Outcome::kFailed);
  for (uint64_t i = 100; i < 200; ++i) {
    ASSERT_THAT(log_.Write({{.inode = i}, PinLog::Outcome::kFailed}), IsOk());
  }
  entries = *log_.Read();
  ASSERT_EQ(entries.size(), PinLog::kMostEntries);
  EXPECT_EQ(entries.back().pin.inode, 200 - PinLog::kMostEntries);
}

TEST_F(PinLogTest, HasAFileOfItsOwnForEachToken) {
  EXPECT_EQ(log_.path(), "/pins/0a1b.prod%2F1.pin");
  const PinLog other(fs_, "/pins", {.label = "prod/1", .serial = "0a1c"});
  ASSERT_THAT(log_.Write({kVersion, PinLog::Outcome::kFailed}), IsOk());
  EXPECT_TRUE(other.Read()->empty());
  const PinLog credential(fs_, "/pins", {.label = "prod/1", .serial = "0a1b"}, "pin.txt");
  EXPECT_EQ(credential.path(), "/pins/0a1b.prod%2F1.pin%2Etxt.pin");
  EXPECT_TRUE(credential.Read()->empty());
}

TEST_F(PinLogTest, TellsEveryDamage) {
  ASSERT_THAT(log_.Write({kVersion, PinLog::Outcome::kFailed}), IsOk());
  const std::string good = *fs_.ReadFile(log_.path(), 4096);
  for (size_t bit = 0; bit < 8 * good.size(); ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    ASSERT_THAT(fs_.Remove(log_.path()), IsOk());
    auto file = fs_.CreateFile(log_.path(), 0600);
    ASSERT_THAT(file, IsOk());
    ASSERT_THAT((*file)->Append(AsBytes(bad)), IsOk());
    EXPECT_THAT(log_.Read(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr(log_.path())))
        << "bit " << bit;
  }
  for (size_t size = 0; size < good.size(); ++size) {
    ASSERT_THAT(fs_.Remove(log_.path()), IsOk());
    auto file = fs_.CreateFile(log_.path(), 0600);
    ASSERT_THAT((*file)->Append(AsBytes(good).first(size)), IsOk());
    EXPECT_THAT(log_.Read(), StatusIs(absl::StatusCode::kDataLoss, _)) << size << " bytes";
  }
}

}  // namespace
}  // namespace kekd
