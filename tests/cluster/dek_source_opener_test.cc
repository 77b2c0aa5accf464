#include "cluster/dek_source_opener.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "base/bytes.h"
#include "tests/cluster/test_objects.h"
#include "tests/keystore/test_ring.h"
#include "tests/support/status_matchers.h"

namespace kekd {
namespace {

using ::kekd::testing::CountingBytes;
using ::kekd::testing::FakeKeyBackend;
using ::kekd::testing::StatusIs;
using ::kekd::testing::TestClusterRing;
using ::testing::HasSubstr;
using Call = ::kekd::testing::FakeKeyBackend::Call;

class DekSourceOpenerTest : public ::testing::Test {
 protected:
  absl::StatusOr<SecretBytes> Open(absl::string_view source, absl::string_view key_id,
                                   size_t annotations = 0) {
    return opener_->Open(source, key_id, annotations, absl::InfiniteFuture());
  }
  absl::StatusOr<SecretBytes> OpenGoodOne() { return Open(source_, ring_.KeyIdOf(3)); }
  static std::string Flipped(std::string text, size_t at) {
    text[at] = static_cast<char>(text[at] ^ 1);
    return text;
  }

  TestClusterRing ring_;
  std::unique_ptr<const DekSourceOpener> opener_ = CreateKeyringDekSourceOpener({ring_.Open()});
  std::string source_ = ring_.EncryptSource(TestClusterRing::Seed(), 3);
};

TEST_F(DekSourceOpenerTest, OpensUnderEveryVersionThatDecrypts) {
  for (const uint32_t version : {2, 3, 4}) {
    const absl::StatusOr<SecretBytes> opened =
        Open(ring_.EncryptSource(CountingBytes(1, 32), version), ring_.KeyIdOf(version));
    KEKD_ASSERT_OK(opened);
    EXPECT_TRUE(SecretBytes::ConstantTimeEquals(*opened, CountingBytes(1, 32)));
  }
}

TEST_F(DekSourceOpenerTest, KeyThatIsNoneOfTheseIsNotFound) {
  EXPECT_THAT(Open(source_, "prod.9.00"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(Open("of another plugin", "their-key"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(Open("of another plugin", "their-key", 2), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(Open(ring_.EncryptSource(CountingBytes(1, 32), 1), ring_.KeyIdOf(1)),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("has been destroyed")));
  EXPECT_THAT(
      CreateKeyringDekSourceOpener({})->Open(source_, ring_.KeyIdOf(3), 0, absl::InfiniteFuture()),
      StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(DekSourceOpenerTest, AlteredSourceIsInvalid) {
  for (size_t at = 2; at < source_.size(); ++at) {
    EXPECT_THAT(Open(Flipped(source_, at), ring_.KeyIdOf(3)),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << at;
  }
  EXPECT_THAT(Open(source_.substr(0, 20), ring_.KeyIdOf(3)),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Open(source_, ring_.KeyIdOf(2)), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Open(source_, ring_.KeyIdOf(3), 1), StatusIs(absl::StatusCode::kInvalidArgument));
}

// A later kekd may have written it: that is no damage.
TEST_F(DekSourceOpenerTest, NewerFormatIsNoProofOfDamage) {
  source_[0] = 2;
  EXPECT_THAT(OpenGoodOne(), StatusIs(absl::StatusCode::kUnimplemented));
}

TEST_F(DekSourceOpenerTest, TokenThatIsAwayIsUnavailable) {
  for (const absl::Status& failure :
       {absl::UnavailableError("away"), absl::InternalError("device error"),
        absl::InvalidArgumentError("not authentic"), absl::DeadlineExceededError("slow")}) {
    for (int i = 0; i < 2; ++i) ring_.backend().QueueFailure(Call::kDecrypt, failure);
    EXPECT_THAT(OpenGoodOne(), StatusIs(absl::StatusCode::kUnavailable,
                                        HasSubstr("key version 3 of keyring \"prod\"")))
        << failure;
    KEKD_EXPECT_OK(OpenGoodOne());
  }
}

TEST_F(DekSourceOpenerTest, OtherKeyInTheTokenIsUnavailable) {
  // The canary opens to the wrong thing only by a key that is another one.
  ring_.backend().QueueFailure(Call::kDecrypt, absl::InvalidArgumentError("not authentic"));
  ring_.backend().QueueFailure(Call::kDecrypt, absl::InvalidArgumentError("not authentic"));
  EXPECT_THAT(OpenGoodOne(),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("holds another key")));
}

TEST_F(DekSourceOpenerTest, PassingFailureIsTriedOnceMore) {
  ring_.backend().QueueFailure(Call::kDecrypt, absl::UnavailableError("session lost"));
  KEKD_EXPECT_OK(OpenGoodOne());
}

// source, canary, source, canary
TEST_F(DekSourceOpenerTest, DeviceThatWorksAndRefusesTwiceHasSaidSo) {
  const auto queue = [&](const absl::Status& first, const absl::Status& second) {
    const absl::Status script[] = {first, absl::OkStatus(), second};
    for (const absl::Status& step : script) ring_.backend().QueueFailure(Call::kDecrypt, step);
  };
  const absl::Status odd = absl::InternalError("CKR_GENERAL_ERROR");
  const absl::Status away = absl::UnavailableError("away");
  queue(odd, odd);
  EXPECT_THAT(OpenGoodOne(), StatusIs(absl::StatusCode::kInvalidArgument));
  queue(odd, away);
  EXPECT_THAT(OpenGoodOne(), StatusIs(absl::StatusCode::kUnavailable));
  queue(away, odd);
  EXPECT_THAT(OpenGoodOne(), StatusIs(absl::StatusCode::kUnavailable));
  queue(away, away);
  EXPECT_THAT(OpenGoodOne(), StatusIs(absl::StatusCode::kUnavailable));
  queue(away, absl::InvalidArgumentError("not authentic"));
  EXPECT_THAT(OpenGoodOne(), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(DekSourceOpenerTest, KeyThatCouldNotBeOpenedIsUnavailable) {
  for (int i = 0; i < 3; ++i) {
    ring_.backend().QueueFailure(Call::kOpenKey, absl::UnavailableError("token is away"));
  }
  opener_ = CreateKeyringDekSourceOpener({ring_.Open()});
  EXPECT_THAT(OpenGoodOne(), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("token is away")));
  // Data that names no key of the ring is not its business all the same.
  EXPECT_THAT(Open(source_, "prod.9.00"), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(DekSourceOpenerTest, OfSeveralRingsTheOneThatHasTheKeyOpens) {
  TestClusterRing other;
  ring_.backend().QueueFailure(Call::kOpenKey, absl::UnavailableError("away"));
  ring_.backend().QueueFailure(Call::kOpenKey, absl::UnavailableError("away"));
  const auto without_keys = ring_.Open();
  opener_ = CreateKeyringDekSourceOpener({other.Open(), without_keys, ring_.Open()});
  KEKD_EXPECT_OK(OpenGoodOne());
  KEKD_EXPECT_OK(Open(other.EncryptSource(CountingBytes(1, 32), 2), other.KeyIdOf(2)));
}

}  // namespace
}  // namespace kekd
