#include "kms/service/health_monitor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/clock.h"
#include "tests/kms/rings/test_ring.h"
#include "tests/support/status_matchers.h"

namespace kekd::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Call = FakeKeyBackend::Call;

class HealthMonitorTest : public ::testing::Test {
 protected:
  void FailDecrypt(int times) {
    for (int i = 0; i < times; ++i) {
      ring_.backend().QueueFailure(Call::kDecrypt, absl::UnavailableError("token is away"));
    }
  }

  TestRing ring_;
  KeyringHealth health_;
};

TEST_F(HealthMonitorTest, IsOkWhenEveryCanaryDecrypts) {
  ring_.CreateAndPromote();
  ring_.CreateAndPromote();
  HealthMonitor monitor(ring_.writer(), health_, ring_.clock());
  KEKD_EXPECT_OK(health_.Get()->may_encrypt);
  EXPECT_EQ(health_.Get()->healthz, "ok");
  EXPECT_THAT(health_.Get()->warnings, IsEmpty());
  EXPECT_EQ(health_.Get()->check_time, ring_.clock().Now());
}

TEST_F(HealthMonitorTest, OneFailureOfThePrimaryDegradesAndTheSecondForbidsToEncrypt) {
  ring_.CreateAndPromote();
  HealthMonitor monitor(ring_.writer(), health_, ring_.clock());
  FailDecrypt(3);
  monitor.Check();
  KEKD_EXPECT_OK(health_.Get()->may_encrypt);
  EXPECT_THAT(health_.Get()->healthz, HasSubstr("key version 1"));
  monitor.Check();
  EXPECT_THAT(health_.Get()->may_encrypt,
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("must not encrypt")));
  monitor.Check();
  EXPECT_FALSE(health_.Get()->may_encrypt.ok());
  monitor.Check();  // the token is back
  KEKD_EXPECT_OK(health_.Get()->may_encrypt);
  EXPECT_EQ(health_.Get()->healthz, "ok");
}

TEST_F(HealthMonitorTest, TwoFailuresWithASuccessBetweenDoNotForbid) {
  ring_.CreateAndPromote();
  HealthMonitor monitor(ring_.writer(), health_, ring_.clock());
  FailDecrypt(1);
  monitor.Check();
  monitor.Check();
  FailDecrypt(1);
  monitor.Check();
  KEKD_EXPECT_OK(health_.Get()->may_encrypt);
}

TEST_F(HealthMonitorTest, AFormerVersionDegradesButNeverForbids) {
  ring_.CreateAndPromote();
  ring_.CreateAndPromote();
  HealthMonitor monitor(ring_.writer(), health_, ring_.clock());
  for (int round = 0; round < 3; ++round) {
    FailDecrypt(1);  // version 1 is checked first
    monitor.Check();
    KEKD_EXPECT_OK(health_.Get()->may_encrypt);
    EXPECT_THAT(health_.Get()->healthz, HasSubstr("key version 1"));
  }
}

TEST_F(HealthMonitorTest, OpensAKeyAgainThatCouldNotBeOpened) {
  ring_.CreateAndPromote();
  // MakeKeyVersion opens the new key once; the second time is when the ring with it is published.
  ring_.backend().Queue(Call::kOpenKey, [] { return absl::OkStatus(); });
  ring_.backend().QueueFailure(Call::kOpenKey, absl::UnavailableError("token is away"));
  const uint32_t next = ring_.Create();
  ASSERT_EQ(ring_.current()->Get()->Find(next)->key, nullptr);
  HealthMonitor monitor(ring_.writer(), health_, ring_.clock());
  EXPECT_NE(ring_.current()->Get()->Find(next)->key, nullptr);
  EXPECT_EQ(health_.Get()->healthz, "ok");
}

TEST_F(HealthMonitorTest, AStoreThatFailsIsAWarningAndNoMore) {
  ring_.CreateAndPromote();
  ring_.store().FailLoad(absl::DataLossError("the keyring record is damaged"));
  HealthMonitor monitor(ring_.writer(), health_, ring_.clock());
  KEKD_EXPECT_OK(health_.Get()->may_encrypt);
  EXPECT_EQ(health_.Get()->healthz, "ok");
  ASSERT_EQ(health_.Get()->warnings.size(), 1u);
  EXPECT_THAT(health_.Get()->warnings[0], HasSubstr("damaged"));
  ring_.store().FailLoad(absl::OkStatus());
  monitor.Check();
  EXPECT_THAT(health_.Get()->warnings, IsEmpty());
}

TEST_F(HealthMonitorTest, StopsAtOnceWhenItGoes) {
  ring_.CreateAndPromote();
  const absl::Time begin = absl::Now();
  {
    HealthMonitor monitor(ring_.writer(), health_, ring_.clock());
    monitor.Start();
  }
  EXPECT_LT(absl::Now() - begin, HealthMonitor::kInterval / 2);
}

}  // namespace
}  // namespace kekd::testing
