#include "base/uuid.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/fakes/fake_random_source.h"
#include "tests/support/status_matchers.h"

namespace kekd {
namespace {

using ::kekd::testing::FakeRandomSource;
using ::kekd::testing::StatusIs;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(UuidTest, SetsVersionAndVariantOfARandomOneAndNoOtherBit) {
  FakeRandomSource random;
  random.Queue(std::string(16, '\xff'));
  random.Queue(std::string(16, '\0'));
  KEKD_ASSERT_OK_AND_ASSIGN(const Uuid ones, Uuid::Random(random));
  KEKD_ASSERT_OK_AND_ASSIGN(const Uuid zeros, Uuid::Random(random));
  EXPECT_EQ(ones.ToString(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
  EXPECT_EQ(zeros.ToString(), "00000000-0000-4000-8000-000000000000");
}

TEST(UuidTest, PassesTheRandomSourcesFailureOn) {
  FakeRandomSource random;
  random.QueueFailure();
  EXPECT_THAT(Uuid::Random(random), StatusIs(absl::StatusCode::kInternal));
}

TEST(UuidTest, ParsesItsOwnTextInEitherCase) {
  const std::string text = "6ba7b810-9dad-41d1-80b4-00c04fd430c8";
  KEKD_ASSERT_OK_AND_ASSIGN(const Uuid lower, Uuid::Parse(text));
  KEKD_ASSERT_OK_AND_ASSIGN(const Uuid upper, Uuid::Parse("6BA7B810-9DAD-41D1-80B4-00C04FD430C8"));
  EXPECT_EQ(lower, upper);
  EXPECT_EQ(upper.ToString(), text);
}

TEST(UuidTest, RefusesEveryOtherSpelling) {
  const std::string good = "6ba7b810-9dad-41d1-80b4-00c04fd430c8";
  for (size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = 'g';
    EXPECT_THAT(Uuid::Parse(bad), StatusIs(absl::StatusCode::kInvalidArgument)) << bad;
    EXPECT_THAT(Uuid::Parse(good.substr(0, i)), StatusIs(absl::StatusCode::kInvalidArgument));
  }
  for (const char* bad :
       {"6ba7b8109dad41d180b400c04fd430c8", "{6ba7b810-9dad-41d1-80b4-00c04fd430}",
        "6ba7b810-9dad-41d1-80b4-00c04fd430c8 ", "6ba7b81-09dad-41d1-80b4-00c04fd430c8"}) {
    EXPECT_THAT(Uuid::Parse(bad), StatusIs(absl::StatusCode::kInvalidArgument)) << bad;
  }
}

TEST(UuidTest, ErrorShowsNoControlByteOfTheInputAndLittleOfALongOne) {
  const absl::Status status = Uuid::Parse("\x1b[31m" + std::string(100000, 'x')).status();
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr("\x1b")));
  EXPECT_LT(status.message().size(), 300u);
}

TEST(UuidTest, TakesExactlySixteenBytes) {
  const std::string bytes(17, 'x');
  for (size_t size = 0; size <= 17; ++size) {
    const absl::StatusOr<Uuid> uuid = Uuid::FromBytes(AsBytes(bytes).first(size));
    EXPECT_EQ(uuid.ok(), size == 16) << size;
    if (uuid.ok()) {
      EXPECT_EQ(AsText(uuid->bytes()), bytes.substr(0, 16));
    }
  }
}

TEST(UuidTest, IsNilOnlyIfEveryByteIsZero) {
  EXPECT_TRUE(Uuid().IsNil());
  for (size_t i = 0; i < Uuid::kBytes; ++i) {
    std::string bytes(Uuid::kBytes, '\0');
    bytes[i] = 1;
    KEKD_ASSERT_OK_AND_ASSIGN(const Uuid uuid, Uuid::FromBytes(AsBytes(bytes)));
    EXPECT_FALSE(uuid.IsNil());
  }
}

}  // namespace
}  // namespace kekd
