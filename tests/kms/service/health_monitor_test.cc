#include "kms/service/health_monitor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "absl/time/clock.h"
#include "tests/kms/rings/test_ring.h"
#include "tests/support/status_matchers.h"

namespace kekd::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

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

TEST_F(HealthMonitorTest, AsksTheDeviceForAWrappedKeyUntilItIsOpenAndThenNeverAgain) {
  ring_.backend().SetMayBlock(true);
  ring_.CreateAndPromote();
  // Made, proved by its canary, and not opened when the ring with it is published.
  for (int i = 0; i < 2; ++i) {
    ring_.backend().Queue(Call::kDecrypt, [] { return absl::OkStatus(); });
  }
  ring_.backend().QueueFailure(Call::kDecrypt, absl::UnavailableError("token is away"));
  const uint32_t wrapped = ring_.Create(Custody::kEnvelope);
  ASSERT_EQ(ring_.current()->Get()->Find(wrapped)->key, nullptr);
  ring_.backend().QueueFailure(Call::kOpenKey, absl::UnavailableError("token is away"));
  HealthMonitor monitor(ring_.writer(), health_, ring_.clock());
  EXPECT_THAT(health_.Get()->healthz, HasSubstr("key version 2"));
  monitor.QuickCheck();
  EXPECT_EQ(health_.Get()->healthz, "ok");
  const auto asked = [&] {
    return ring_.backend().CallCount(Call::kDecrypt) + ring_.backend().CallCount(Call::kOpenKey);
  };
  const int before = asked();
  FailDecrypt(3);
  monitor.Check();
  EXPECT_THAT(health_.Get()->healthz, Not(HasSubstr("key version 2")));
  EXPECT_EQ(asked(), before + 1);  // version 1, which the device has
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

TEST_F(HealthMonitorTest, LooksWhetherWhatStandsByWouldServeAndKeepsItFromTheApiServer) {
  ring_.CreateAndPromote();
  ring_.backend().SetMayBlock(true);
  HealthMonitor monitor(ring_.writer(), health_, ring_.clock());
  const int before = ring_.backend().CallCount(Call::kProveEverywhere);
  for (int i = 0; i < 3; ++i) {
    ring_.backend().QueueFailure(Call::kProveEverywhere,
                                 absl::FailedPreconditionError("b is down"));
    monitor.Check();
    KEKD_EXPECT_OK(health_.Get()->may_encrypt);
    EXPECT_EQ(health_.Get()->healthz, "ok");
  }
  EXPECT_EQ(ring_.backend().CallCount(Call::kProveEverywhere), before + 3);
  monitor.QuickCheck();
  EXPECT_EQ(ring_.backend().CallCount(Call::kProveEverywhere), before + 3);
}

TEST_F(HealthMonitorTest, WhatStandsByAndHangsHoldsUpNeitherTheStartNorAReport) {
  ring_.CreateAndPromote();
  ring_.backend().SetMayBlock(true);
  const int before = ring_.backend().CallCount(Call::kProveEverywhere);
  HealthMonitor monitor(ring_.writer(), health_, ring_.clock());
  EXPECT_EQ(ring_.backend().CallCount(Call::kProveEverywhere), before);
  FailDecrypt(1);
  std::string told;
  ring_.backend().Queue(Call::kProveEverywhere, [&] {
    told = health_.Get()->healthz;
    monitor.QuickCheck();
    return absl::OkStatus();
  });
  monitor.Check();
  EXPECT_THAT(told, HasSubstr("key version 1"));
  EXPECT_EQ(health_.Get()->healthz, "ok");  // by the quick check, beside the proof
  EXPECT_LE(ring_.backend().LastDeadline(Call::kProveEverywhere),
            absl::Now() + HealthMonitor::kProofTimeout);
}

TEST_F(HealthMonitorTest, TheThreadBeginsWithTheProofsOfTheFirstRound) {
  ring_.CreateAndPromote();
  ring_.backend().SetMayBlock(true);
  const int before = ring_.backend().CallCount(Call::kProveEverywhere);
  HealthMonitor monitor(ring_.writer(), health_, ring_.clock());
  monitor.Start();
  const absl::Time limit = absl::Now() + HealthMonitor::kInterval / 2;
  while (ring_.backend().CallCount(Call::kProveEverywhere) == before && absl::Now() < limit) {
    absl::SleepFor(absl::Milliseconds(5));
  }
  EXPECT_EQ(ring_.backend().CallCount(Call::kProveEverywhere), before + 1);
}

TEST_F(HealthMonitorTest, AQuickCheckTellsThatAKeyIsBack) {
  ring_.CreateAndPromote();
  HealthMonitor monitor(ring_.writer(), health_, ring_.clock());
  FailDecrypt(2);
  monitor.Check();
  monitor.Check();
  ASSERT_FALSE(health_.Get()->may_encrypt.ok());
  monitor.QuickCheck();
  KEKD_EXPECT_OK(health_.Get()->may_encrypt);
  EXPECT_EQ(health_.Get()->healthz, "ok");
}

TEST_F(HealthMonitorTest, QuickChecksNeverForbid) {
  ring_.CreateAndPromote();
  HealthMonitor monitor(ring_.writer(), health_, ring_.clock());
  FailDecrypt(8);
  monitor.Check();
  for (int i = 0; i < 6; ++i) {
    monitor.QuickCheck();
    KEKD_EXPECT_OK(health_.Get()->may_encrypt);
    EXPECT_THAT(health_.Get()->healthz, HasSubstr("key version 1"));
  }
  monitor.Check();  // the second round
  EXPECT_FALSE(health_.Get()->may_encrypt.ok());
  FailDecrypt(1);
  monitor.QuickCheck();  // takes no error back either, while it fails
  EXPECT_FALSE(health_.Get()->may_encrypt.ok());
}

TEST_F(HealthMonitorTest, AQuickCheckLooksWhereACallHasFailed) {
  ring_.CreateAndPromote();
  ring_.CreateAndPromote();
  HealthMonitor monitor(ring_.writer(), health_, ring_.clock());
  const int before = ring_.backend().CallCount(Call::kDecrypt);
  FailDecrypt(1);
  monitor.QuickCheck();  // knows of nothing that fails
  EXPECT_EQ(ring_.backend().CallCount(Call::kDecrypt), before);
  monitor.Nudge(2);
  monitor.QuickCheck();
  EXPECT_EQ(ring_.backend().CallCount(Call::kDecrypt), before + 1);
  EXPECT_THAT(health_.Get()->healthz, HasSubstr("the primary, key version 2"));
  KEKD_EXPECT_OK(health_.Get()->may_encrypt);
  monitor.Nudge(99);  // no such version
  monitor.QuickCheck();
  EXPECT_EQ(health_.Get()->healthz, "ok");
}

// Well before the next round.
TEST_F(HealthMonitorTest, TheThreadFollowsNudgesAndGoesOnUntilTheKeyIsBack) {
  ring_.CreateAndPromote();
  HealthMonitor monitor(ring_.writer(), health_, ring_.clock());
  monitor.Start();
  FailDecrypt(2);
  const absl::Time limit = absl::Now() + HealthMonitor::kInterval / 2;
  const auto await = [&](bool ok) {
    while ((health_.Get()->healthz == "ok") != ok && absl::Now() < limit) {
      absl::SleepFor(absl::Milliseconds(5));
    }
    EXPECT_EQ(health_.Get()->healthz == "ok", ok);
  };
  monitor.Nudge(1);
  await(false);
  await(true);
}

TEST_F(HealthMonitorTest, SaysWhatAnOperatorHasToMend) {
  ring_.CreateAndPromote();
  HealthMonitor monitor(ring_.writer(), health_, ring_.clock());
  ring_.backend().QueueFailure(
      Call::kDecrypt, absl::FailedPreconditionError("the token refuses the PIN; see kekctl"));
  monitor.Check();
  EXPECT_THAT(health_.Get()->healthz, HasSubstr("the token refuses the PIN"));
  FailDecrypt(1);
  monitor.Check();
  EXPECT_THAT(health_.Get()->healthz, Not(HasSubstr("token is away")));
}

// The first call waits for another one to come, as long as its deadline might let it.
class Rendezvous final {
 public:
  void Queue(FakeKeyBackend& backend, Call call) {
    const int before = backend.CallCount(call);
    backend.Queue(call, [&backend, call, before] {
      const absl::Time limit = absl::Now() + absl::Seconds(10);
      while (backend.CallCount(call) < before + 2) {
        if (absl::Now() > limit) return absl::DeadlineExceededError("nobody else came");
        absl::SleepFor(absl::Milliseconds(1));
      }
      return absl::OkStatus();
    });
  }
};

TEST_F(HealthMonitorTest, ACanaryThatHangsHoldsUpNoOther) {
  ring_.CreateAndPromote();
  ring_.CreateAndPromote();
  ring_.backend().SetMayBlock(true);
  HealthMonitor monitor(ring_.writer(), health_, ring_.clock());
  Rendezvous().Queue(ring_.backend(), Call::kDecrypt);
  monitor.Check();
  EXPECT_EQ(health_.Get()->healthz, "ok");
}

TEST_F(HealthMonitorTest, AKeyThatHangsWhenItIsOpenedHoldsUpNoOther) {
  ring_.CreateAndPromote();
  for (int i = 0; i < 2; ++i) {
    ring_.backend().Queue(Call::kOpenKey, [] { return absl::OkStatus(); });
    for (int failed = 0; failed <= i; ++failed) {
      ring_.backend().QueueFailure(Call::kOpenKey, absl::UnavailableError("token is away"));
    }
    ring_.Create();
  }
  ASSERT_EQ(ring_.current()->Get()->Find(2)->key, nullptr);
  ASSERT_EQ(ring_.current()->Get()->Find(3)->key, nullptr);
  Rendezvous().Queue(ring_.backend(), Call::kOpenKey);
  HealthMonitor monitor(ring_.writer(), health_, ring_.clock());
  EXPECT_EQ(health_.Get()->healthz, "ok");
}

TEST_F(HealthMonitorTest, ADeviceThatHangsHoldsUpNoChange) {
  ring_.CreateAndPromote();
  ring_.backend().Queue(Call::kOpenKey, [] { return absl::OkStatus(); });
  ring_.backend().QueueFailure(Call::kOpenKey, absl::UnavailableError("token is away"));
  ring_.Create();
  std::atomic<bool> inside{false};
  std::atomic<bool> go_on{false};
  ring_.backend().Queue(Call::kOpenKey, [&] {
    inside = true;
    while (!go_on) std::this_thread::yield();
    return absl::OkStatus();
  });
  std::thread opener([&] { ring_.writer().Reopen(absl::InfiniteFuture()); });
  while (!inside) std::this_thread::yield();
  EXPECT_EQ(ring_.CreateAndPromote(), 3u);
  go_on = true;
  opener.join();
  EXPECT_EQ(ring_.current()->Get()->keyring().versions().size(), 3u);
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
