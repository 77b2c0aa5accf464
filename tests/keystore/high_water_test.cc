#include "keystore/high_water.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string>

#include "tests/fakes/fault_injecting_file_system.h"
#include "tests/keystore/test_ring.h"
#include "tests/support/secrets.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace kekd {
namespace {

using ::kekd::testing::FaultInjectingFileSystem;
using ::kekd::testing::ReadTestFile;
using ::kekd::testing::SecretFromText;
using ::kekd::testing::StatusIs;
using ::kekd::testing::TempDirectory;
using ::kekd::testing::TestIdentity;
using ::kekd::testing::TestUuid;
using ::kekd::testing::WriteTestFile;
using ::testing::AllOf;
using ::testing::HasSubstr;

class HighWaterTest : public ::testing::Test {
 protected:
  static std::shared_ptr<const RingKey> NewRingKey(char byte, const Uuid& uuid) {
    return *RingKey::Create(SecretFromText(std::string(32, byte)), uuid, RandomSource::System());
  }
  absl::Status Write(const HighWater& high_water) {
    return WriteHighWater(fs_, path_, uuid_, *ring_key_, high_water, {});
  }
  absl::StatusOr<HighWater> Read() { return ReadHighWater(fs_, path_, uuid_, *ring_key_); }

  TempDirectory folder_;
  FaultInjectingFileSystem fs_;
  const Uuid uuid_ = TestIdentity().ring_uuid;
  const std::string path_ = HighWaterPath(folder_.path(), uuid_);
  const std::shared_ptr<const RingKey> ring_key_ = NewRingKey('r', uuid_);
};

TEST_F(HighWaterTest, IsNamedAfterItsRing) {
  EXPECT_EQ(path_, folder_.File("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0.high-water"));
}

TEST_F(HighWaterTest, ReadsWhatWasWritten) {
  KEKD_ASSERT_OK(Write({0x0102030405060708, 7}));
  KEKD_ASSERT_OK_AND_ASSIGN(const HighWater read, Read());
  EXPECT_EQ(read.highest, 0x0102030405060708u);
  EXPECT_EQ(read.accepted, 7u);
}

TEST_F(HighWaterTest, RefusesEveryFlippedBitAndTruncation) {
  KEKD_ASSERT_OK(Write({10, 10}));
  const std::string good = ReadTestFile(path_);
  ASSERT_EQ(good.size(), 74u);
  for (size_t bit = 0; bit < 8 * good.size(); ++bit) {
    std::string flipped = good;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    WriteTestFile(path_, flipped);
    const absl::Status status = Read().status();
    EXPECT_TRUE(absl::IsDataLoss(status) || absl::IsUnimplemented(status)) << bit << status;
  }
  for (size_t size = 0; size < good.size(); ++size) {
    WriteTestFile(path_, good.substr(0, size));
    EXPECT_THAT(Read(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr(path_))) << size;
  }
  WriteTestFile(path_, good + "x");
  EXPECT_THAT(Read(), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(HighWaterTest, NamesTheFormatOfANewerOne) {
  KEKD_ASSERT_OK(Write({10, 10}));
  std::string newer = ReadTestFile(path_);
  newer[9] = 2;
  WriteTestFile(path_, newer);
  // The authentication says that nobody wrote this.
  EXPECT_THAT(Read(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("format number")));
  newer.back() = static_cast<char>(newer.back() + 1);  // as under the other format
  WriteTestFile(path_, newer);
  EXPECT_THAT(Read(), StatusIs(absl::StatusCode::kUnimplemented,
                               AllOf(HasSubstr("format 2"), HasSubstr("newer kekd"))));
}

TEST_F(HighWaterTest, RefusesTheFileOfAnotherRingOrRingKey) {
  const Uuid other = TestUuid(1);
  KEKD_ASSERT_OK(WriteHighWater(fs_, path_, other, *NewRingKey('r', other), HighWater{1, 1}, {}));
  EXPECT_THAT(Read(), StatusIs(absl::StatusCode::kDataLoss));
  KEKD_ASSERT_OK(WriteHighWater(fs_, path_, uuid_, *NewRingKey('x', uuid_), HighWater{1, 1}, {}));
  EXPECT_THAT(Read(), StatusIs(absl::StatusCode::kDataLoss));
  // Even one that the right key authenticates for another ring.
  KEKD_ASSERT_OK(WriteHighWater(fs_, path_, other, *ring_key_, HighWater{1, 1}, {}));
  EXPECT_THAT(Read(), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(HighWaterTest, TellsAMissingFileFromOneThatCanNotBeRead) {
  EXPECT_THAT(Read(), StatusIs(absl::StatusCode::kNotFound));
  KEKD_ASSERT_OK(Write({10, 10}));
  fs_.Inject({.call_name = "ReadFile", .error = EIO});
  EXPECT_THAT(Read(), StatusIs(absl::StatusCode::kInternal, HasSubstr("EIO")));
}

}  // namespace
}  // namespace kekd
