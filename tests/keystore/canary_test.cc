#include "keystore/canary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "keystore/ciphertext.h"
#include "tests/fakes/fake_key_backend.h"
#include "tests/fakes/fake_random_source.h"
#include "tests/keystore/test_ring.h"
#include "tests/support/status_matchers.h"

namespace kekd {
namespace {

using ::kekd::testing::FakeKeyBackend;
using ::kekd::testing::FakeRandomSource;
using ::kekd::testing::StatusIs;
using ::kekd::testing::TestIdentity;
using ::testing::HasSubstr;

class CanaryTest : public ::testing::Test {
 protected:
  absl::StatusOr<KeyVersion> Make(const RandomSource& random = RandomSource::System()) {
    return MakeKeyVersion({TestIdentity(), 3}, backend_, random, absl::FromUnixSeconds(1000),
                          absl::InfiniteFuture());
  }
  absl::Status Check(const KeyVersion& version, const KeyVersion& opened_from) {
    const auto key =
        backend_.OpenKey({TestIdentity(), 3}, opened_from.material, absl::InfiniteFuture());
    if (!key.ok()) return key.status();
    return CheckCanary(TestIdentity(), version, **key, absl::InfiniteFuture());
  }
  absl::Status Check(const KeyVersion& version) { return Check(version, version); }

  FakeKeyBackend backend_;
};

TEST_F(CanaryTest, MakesAPreActivationVersionThatProvesItsKey) {
  KEKD_ASSERT_OK_AND_ASSIGN(const KeyVersion version, Make());
  EXPECT_EQ(version.number, 3u);
  EXPECT_EQ(version.backend, "fake");
  EXPECT_EQ(version.state, KeyState::kPreActivation);
  EXPECT_EQ(version.creation_time, absl::FromUnixSeconds(1000));
  EXPECT_EQ(version.activation_time, absl::InfiniteFuture());
  EXPECT_EQ(version.key_id, *KeyId::Derive(TestIdentity(), 3, "fake", AsBytes(version.canary)));
  EXPECT_EQ(Ciphertext::Parse(AsBytes(version.canary))->version, 3u);
  KEKD_EXPECT_OK(Check(version));
}

TEST_F(CanaryTest, NoticesAnotherKeyBehindTheSameVersion) {
  KEKD_ASSERT_OK_AND_ASSIGN(const KeyVersion version, Make());
  KEKD_ASSERT_OK_AND_ASSIGN(const KeyVersion other, Make());
  EXPECT_THAT(Check(version, other),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("another key")));
}

TEST_F(CanaryTest, NoticesEveryFlippedBitOfTheCanary) {
  KEKD_ASSERT_OK_AND_ASSIGN(const KeyVersion version, Make());
  for (size_t bit = 0; bit < 8 * version.canary.size(); ++bit) {
    KeyVersion damaged = version;
    damaged.canary[bit / 8] = static_cast<char>(damaged.canary[bit / 8] ^ (1 << bit % 8));
    EXPECT_THAT(Check(damaged), StatusIs(absl::StatusCode::kDataLoss)) << bit;
    // Also if the key id was made to fit.
    damaged.key_id = *KeyId::Derive(TestIdentity(), 3, "fake", AsBytes(damaged.canary));
    EXPECT_THAT(Check(damaged), StatusIs(absl::StatusCode::kDataLoss)) << bit;
  }
}

TEST_F(CanaryTest, NoticesAnotherKeyId) {
  KEKD_ASSERT_OK_AND_ASSIGN(KeyVersion version, Make());
  version.key_id = KeyId("prod.3.00000000000000000000000000000000");
  EXPECT_THAT(Check(version), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("key id")));
}

TEST_F(CanaryTest, PassesTheBackendsTroubleOnAsItIs) {
  KEKD_ASSERT_OK_AND_ASSIGN(const KeyVersion version, Make());
  backend_.QueueFailure(FakeKeyBackend::Call::kDecrypt, absl::UnavailableError("token is away"));
  EXPECT_THAT(Check(version),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("version 3: token is away")));
}

TEST_F(CanaryTest, MakesNoVersionOfAKeyThatCanNotBeUsedAgain) {
  using Call = FakeKeyBackend::Call;
  for (const Call call : {Call::kGenerateKey, Call::kOpenKey, Call::kEncrypt, Call::kDecrypt}) {
    backend_.QueueFailure(call, absl::UnavailableError("away"));
    EXPECT_THAT(Make(), StatusIs(absl::StatusCode::kUnavailable));
  }
  backend_.QueueCorruptedCiphertext();
  EXPECT_FALSE(Make().ok());
  backend_.QueueWrongPlaintext();
  EXPECT_THAT(Make(), StatusIs(absl::StatusCode::kInternal, HasSubstr("something else")));
  FakeRandomSource no_random;
  no_random.QueueFailure();
  EXPECT_THAT(Make(no_random), StatusIs(absl::StatusCode::kInternal));
}

}  // namespace
}  // namespace kekd
