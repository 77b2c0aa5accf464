#include "keystore/open_keyring.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/time/clock.h"
#include "keystore/canary.h"
#include "tests/fakes/fake_key_backend.h"
#include "tests/keystore/test_ring.h"
#include "tests/support/status_matchers.h"

namespace kekd {
namespace {

using ::kekd::testing::EmptyTestKeyring;
using ::kekd::testing::FakeKeyBackend;
using ::kekd::testing::StatusIs;
using ::testing::HasSubstr;
using Call = ::kekd::testing::FakeKeyBackend::Call;

class OpenKeyringTest : public ::testing::Test {
 protected:
  OpenKeyringTest() {
    auto fake = std::make_unique<FakeKeyBackend>();
    fake_ = fake.get();
    backends_.Add(std::move(fake));
    for (uint32_t number = 1; number <= 3; ++number) {
      ring_ = *ring_.WithNewVersion(*MakeKeyVersion({ring_.identity(), number}, *fake_,
                                                    RandomSource::System(), absl::Now(),
                                                    absl::InfiniteFuture()));
    }
    ring_ = *ring_.WithPromoted(1, absl::Now());
    ring_ = *ring_.WithPromoted(2, absl::Now());
  }

  std::shared_ptr<const OpenKeyring> Open(const OpenKeyring* previous = nullptr) {
    return OpenKeyring::Open(std::make_shared<const Keyring>(ring_), backends_, previous,
                             absl::InfiniteFuture());
  }

  // How many versions are without their key, each for a reason of this code. Which one a queued
  // failure hits is left to the threads that open them.
  static int CountFailed(const OpenKeyring& opened, absl::StatusCode code) {
    int failed = 0;
    for (const OpenKeyring::Entry& entry : opened.entries()) {
      EXPECT_EQ(entry.key == nullptr, !entry.status.ok());
      if (entry.status.ok()) continue;
      EXPECT_EQ(entry.status.code(), code) << entry.status;
      ++failed;
    }
    return failed;
  }

  FakeKeyBackend* fake_;
  BackendSet backends_;
  Keyring ring_ = EmptyTestKeyring();
};

TEST_F(OpenKeyringTest, OpensEveryVersionThatMayDecrypt) {
  const auto opened = Open();
  ASSERT_EQ(opened->entries().size(), 3u);
  for (const OpenKeyring::Entry& entry : opened->entries()) {
    KEKD_EXPECT_OK(entry.status);
    EXPECT_NE(entry.key, nullptr);
    EXPECT_EQ(opened->Find(entry.version->number), &entry);
    EXPECT_EQ(opened->Find(entry.version->key_id), &entry);
  }
  ASSERT_NE(opened->Primary(), nullptr);
  EXPECT_EQ(opened->Primary()->version->number, 2u);
  EXPECT_EQ(opened->Find(0), nullptr);
  EXPECT_EQ(opened->Find(4), nullptr);
  EXPECT_EQ(opened->Find(KeyId("prod.1.00")), nullptr);
}

TEST_F(OpenKeyringTest, KeyThatCanNotBeOpenedFailsAlone) {
  fake_->QueueFailure(Call::kOpenKey, absl::UnavailableError("token is away"));
  EXPECT_EQ(CountFailed(*Open(), absl::StatusCode::kUnavailable), 1);
}

TEST_F(OpenKeyringTest, ServesNoKeyWhoseCanaryFails) {
  fake_->QueueFailure(Call::kDecrypt, absl::InvalidArgumentError("not authentic"));
  EXPECT_EQ(CountFailed(*Open(), absl::StatusCode::kDataLoss), 1);
}

TEST_F(OpenKeyringTest, TakesOpenKeysOverAndTriesOnlyTheOthersAgain) {
  fake_->QueueFailure(Call::kOpenKey, absl::UnavailableError("token is away"));
  const auto before = Open();
  const int opened_so_far = fake_->CallCount(Call::kOpenKey);
  const auto after = Open(before.get());
  EXPECT_EQ(fake_->CallCount(Call::kOpenKey), opened_so_far + 1);
  EXPECT_EQ(CountFailed(*before, absl::StatusCode::kUnavailable), 1);
  for (uint32_t number = 1; number <= 3; ++number) {
    const OpenKeyring::Entry& entry = *after->Find(number);
    KEKD_EXPECT_OK(entry.status);
    if (before->Find(number)->key == nullptr) continue;
    EXPECT_EQ(entry.key, before->Find(number)->key);
  }
}

TEST_F(OpenKeyringTest, DestroyedVersionIsNotAskedFor) {
  ring_ = *ring_.WithDestroyed(1, absl::Now());
  const int opened_so_far = fake_->CallCount(Call::kOpenKey);
  const auto opened = Open();
  EXPECT_EQ(fake_->CallCount(Call::kOpenKey), opened_so_far + 2);
  EXPECT_EQ(opened->Find(1)->key, nullptr);
  EXPECT_THAT(opened->Find(1)->status,
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("destroyed")));
}

// The entry stands in the ring that is served, so the previous one may go.
TEST_F(OpenKeyringTest, DoesNotNeedThePreviousOneAfterwards) {
  auto before = Open();
  const auto after = Open(before.get());
  before.reset();
  const absl::StatusOr<std::string> sealed =
      after->Primary()->key->Encrypt(SecretBytes(32), ByteView(), absl::InfiniteFuture());
  KEKD_EXPECT_OK(sealed);
  EXPECT_EQ(after->Primary()->version, after->keyring().Primary());
}

TEST_F(OpenKeyringTest, NamesTheBackendsThereAreWhenOneIsMissing) {
  EXPECT_THAT(backends_.Find("pkcs11"),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       ::testing::AllOf(HasSubstr("pkcs11"), HasSubstr("fake"))));
  BackendSet none;
  const auto opened = OpenKeyring::Open(std::make_shared<const Keyring>(ring_), none, nullptr,
                                        absl::InfiniteFuture());
  EXPECT_THAT(opened->Primary()->status, StatusIs(absl::StatusCode::kFailedPrecondition));
}

}  // namespace
}  // namespace kekd
