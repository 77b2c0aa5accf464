// What the fuzzer of whole keyrings takes for a disk.
#include "tests/fakes/memory_file_system.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "base/durable_file.h"
#include "tests/support/status_matchers.h"

namespace kekd {
namespace {

using ::kekd::testing::IsOkAndHolds;
using ::kekd::testing::MemoryFileSystem;
using ::kekd::testing::StatusIs;
using ::testing::ElementsAre;

constexpr size_t kMaxBytes = 100;

class MemoryFileSystemTest : public ::testing::Test {
 protected:
  void Write(absl::string_view path, absl::string_view content) {
    KEKD_ASSERT_OK_AND_ASSIGN(const auto file, fs_.CreateFile(path, 0600));
    KEKD_ASSERT_OK(file->Append(AsBytes(content)));
  }
  void CutPower(bool survives) {
    fs_.CutPower([=] { return survives; });
  }

  MemoryFileSystem fs_{{"/ring"}};
};

TEST_F(MemoryFileSystemTest, NameThatWasNotSyncedMayBeGoneAndMayBeThere) {
  Write("/ring/a", "x");
  CutPower(true);
  EXPECT_THAT(fs_.ReadFile("/ring/a", kMaxBytes), IsOkAndHolds("x"));
  Write("/ring/b", "x");
  CutPower(false);
  EXPECT_THAT(fs_.ListDirectory("/ring"), IsOkAndHolds(ElementsAre("a")));
}

TEST_F(MemoryFileSystemTest, ContentThatWasNotSyncedIsLostThoughItsNameIsThere) {
  Write("/ring/a", "x");
  KEKD_ASSERT_OK(fs_.SyncDirectory("/ring"));
  CutPower(false);
  EXPECT_THAT(fs_.ReadFile("/ring/a", kMaxBytes), IsOkAndHolds(""));
}

TEST_F(MemoryFileSystemTest, RenameThatWasNotSyncedIsUndoneAsAWhole) {
  KEKD_ASSERT_OK(ReplaceFileDurably(fs_, "/ring/a", AsBytes("old"), {}));
  KEKD_ASSERT_OK(ReplaceFileDurably(fs_, "/ring/new", AsBytes("new"), {}));
  KEKD_ASSERT_OK(fs_.Rename("/ring/new", "/ring/a"));
  EXPECT_THAT(fs_.ReadFile("/ring/a", kMaxBytes), IsOkAndHolds("new"));
  CutPower(false);
  EXPECT_THAT(fs_.ReadFile("/ring/a", kMaxBytes), IsOkAndHolds("old"));
  EXPECT_THAT(fs_.ReadFile("/ring/new", kMaxBytes), IsOkAndHolds("new"));
}

TEST_F(MemoryFileSystemTest, WhatWasWrittenDurablyIsThere) {
  KEKD_ASSERT_OK(ReplaceFileDurably(fs_, "/ring/a", AsBytes("x"), {}));
  KEKD_ASSERT_OK(CreateFileDurably(fs_, "/ring/b", AsBytes("y"), {}));
  CutPower(false);
  EXPECT_THAT(fs_.ReadFile("/ring/a", kMaxBytes), IsOkAndHolds("x"));
  EXPECT_THAT(fs_.ReadFile("/ring/b", kMaxBytes), IsOkAndHolds("y"));
}

TEST_F(MemoryFileSystemTest, LockIsHeldByOneAndDroppedWithIt) {
  {
    KEKD_ASSERT_OK_AND_ASSIGN(const auto lock, fs_.Lock("/ring/lock", 0600));
    EXPECT_THAT(fs_.Lock("/ring/lock", 0600).status(), StatusIs(absl::StatusCode::kUnavailable));
  }
  KEKD_EXPECT_OK(fs_.Lock("/ring/lock", 0600).status());
}

}  // namespace
}  // namespace kekd
