#include "keystore/keyring.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <string>
#include <utility>

#include "tests/keystore/test_ring.h"
#include "tests/support/status_matchers.h"

namespace kekd {
namespace {

using ::kekd::testing::EmptyTestKeyring;
using ::kekd::testing::StatusIs;
using ::kekd::testing::TestUuid;
using ::kekd::testing::TestVersion;
using ::kekd::testing::WithOneMore;
using ::testing::HasSubstr;

const absl::Time kNow = absl::FromUnixMillis(1'800'000'000'123);

// 1 deactivated, 2 active, 3 pre-activation, 4 destroyed, 5 pre-activation and compromised.
Keyring RingWithEveryState() {
  Keyring ring = EmptyTestKeyring();
  for (int i = 0; i < 5; ++i) ring = WithOneMore(ring);
  ring = *ring.WithPromoted(1, kNow);
  ring = *ring.WithPromoted(2, kNow);
  ring = *ring.WithDestroyed(4, kNow);
  return *ring.WithCompromised(5, kNow);
}

TEST(KeyringTest, BeginsWithoutAPrimaryAndCountsFromOne) {
  const Keyring ring = EmptyTestKeyring();
  EXPECT_EQ(ring.Primary(), nullptr);
  EXPECT_EQ(ring.NextVersionNumber(), 1u);
  EXPECT_EQ(ring.Find(0), nullptr);
  EXPECT_EQ(ring.Find(1), nullptr);
}

TEST(KeyringTest, NewVersionIsPreActivationWhateverItWas) {
  KeyVersion version = TestVersion(1);
  version.state = KeyState::kActive;
  KEKD_ASSERT_OK_AND_ASSIGN(const Keyring ring, EmptyTestKeyring().WithNewVersion(version));
  EXPECT_EQ(ring.Find(1)->state, KeyState::kPreActivation);
  EXPECT_EQ(ring.Primary(), nullptr);
  EXPECT_EQ(ring.Find(TestVersion(1).key_id), ring.Find(1));
}

TEST(KeyringTest, ChangesMakeNewValuesAndLeaveTheOldOne) {
  const Keyring before = WithOneMore(EmptyTestKeyring());
  KEKD_ASSERT_OK_AND_ASSIGN(const Keyring after, before.WithPromoted(1, kNow));
  EXPECT_EQ(before.Primary(), nullptr);
  EXPECT_EQ(after.Primary()->number, 1u);
}

TEST(KeyringTest, PromotionDeactivatesTheFormerPrimaryInTheSameChange) {
  const Keyring ring = RingWithEveryState();
  KEKD_ASSERT_OK_AND_ASSIGN(const Keyring next, ring.WithPromoted(3, kNow + absl::Seconds(5)));
  EXPECT_EQ(next.Primary()->number, 3u);
  EXPECT_EQ(next.Find(3)->activation_time, kNow + absl::Seconds(5));
  EXPECT_EQ(next.Find(2)->state, KeyState::kDeactivated);
  EXPECT_EQ(next.Find(2)->deactivation_time, kNow + absl::Seconds(5));
  EXPECT_EQ(next.Find(1)->deactivation_time, kNow);
}

// Every transition from every state, as the table in keyring.h has it.
TEST(KeyringTest, AllowsExactlyTheTransitionsOfTheTable) {
  const Keyring ring = RingWithEveryState();
  const auto promote = [&](uint32_t n) { return ring.WithPromoted(n, kNow).status(); };
  const auto compromise = [&](uint32_t n) { return ring.WithCompromised(n, kNow).status(); };
  const auto destroy = [&](uint32_t n) { return ring.WithDestroyed(n, kNow).status(); };
  const auto refused = StatusIs(absl::StatusCode::kFailedPrecondition);

  EXPECT_THAT(promote(1), refused) << "deactivated";
  EXPECT_THAT(promote(2), refused) << "active";
  KEKD_EXPECT_OK(promote(3));
  EXPECT_THAT(promote(4), refused) << "destroyed";
  EXPECT_THAT(promote(5), refused) << "compromised";

  for (uint32_t number = 1; number <= 5; ++number) KEKD_EXPECT_OK(compromise(number));

  KEKD_EXPECT_OK(destroy(1));
  EXPECT_THAT(destroy(2), refused) << "active";
  KEKD_EXPECT_OK(destroy(3));
  EXPECT_THAT(destroy(4), refused) << "destroyed already";
  KEKD_EXPECT_OK(destroy(5));

  for (const uint32_t unknown : {0u, 6u, std::numeric_limits<uint32_t>::max()}) {
    EXPECT_THAT(promote(unknown), StatusIs(absl::StatusCode::kNotFound, HasSubstr("1 to 5")));
    EXPECT_THAT(compromise(unknown), StatusIs(absl::StatusCode::kNotFound));
    EXPECT_THAT(destroy(unknown), StatusIs(absl::StatusCode::kNotFound));
  }
}

TEST(KeyringTest, RefusesToDestroyPrimaryAlsoWhenItIsCompromised) {
  KEKD_ASSERT_OK_AND_ASSIGN(const Keyring ring, RingWithEveryState().WithCompromised(2, kNow));
  EXPECT_THAT(ring.WithDestroyed(2, kNow),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("primary")));
  EXPECT_EQ(ring.Primary()->number, 2u);
}

TEST(KeyringTest, DestroyedVersionKeepsItsRecordAndLosesItsKey) {
  KEKD_ASSERT_OK_AND_ASSIGN(const Keyring ring, RingWithEveryState().WithDestroyed(1, kNow));
  const KeyVersion& version = *ring.Find(1);
  EXPECT_EQ(version.state, KeyState::kDestroyed);
  EXPECT_EQ(version.destruction_time, kNow);
  EXPECT_TRUE(version.material.wraps.empty());
  EXPECT_EQ(version.key_id, TestVersion(1).key_id);
  EXPECT_EQ(version.canary, TestVersion(1).canary);
  EXPECT_FALSE(CanDecrypt(version.state));
}

TEST(KeyringTest, CompromiseKeepsItsFirstTimeAndTheState) {
  KEKD_ASSERT_OK_AND_ASSIGN(const Keyring ring,
                            RingWithEveryState().WithCompromised(5, kNow + absl::Hours(1)));
  EXPECT_EQ(ring.Find(5)->compromise_time, kNow);
  EXPECT_EQ(ring.Find(5)->state, KeyState::kPreActivation);
  EXPECT_TRUE(CanDecrypt(ring.Find(5)->state));
}

TEST(KeyringTest, NeverReusesANumberOrAKeyId) {
  const Keyring ring = RingWithEveryState();
  for (const uint32_t number : {0u, 1u, 4u, 5u, 7u}) {
    KeyVersion version = TestVersion(100);
    version.number = number;
    EXPECT_THAT(ring.WithNewVersion(version), StatusIs(absl::StatusCode::kInvalidArgument));
  }
  for (uint32_t number = 1; number <= 5; ++number) {
    KeyVersion version = TestVersion(6);
    version.key_id = TestVersion(number).key_id;
    EXPECT_THAT(ring.WithNewVersion(version),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("share a key id")));
  }
  KEKD_EXPECT_OK(ring.WithNewVersion(TestVersion(6)));
}

TEST(KeyringTest, KeepsTimesToTheMillisecond) {
  const absl::Time odd = kNow + absl::Nanoseconds(123456);
  KEKD_ASSERT_OK_AND_ASSIGN(const Keyring ring,
                            WithOneMore(EmptyTestKeyring()).WithPromoted(1, odd));
  EXPECT_EQ(ring.Find(1)->activation_time, kNow);
}

TEST(KeyringTest, IsFullAtItsLargestNumberOfVersions) {
  Keyring::Parts parts = EmptyTestKeyring().parts();
  for (uint32_t number = 1; number <= Keyring::kMaxVersions; ++number) {
    parts.versions.push_back(TestVersion(number));
  }
  KEKD_ASSERT_OK_AND_ASSIGN(const Keyring full, Keyring::Create(parts));
  EXPECT_THAT(full.WithNewVersion(TestVersion(full.NextVersionNumber())),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("full")));
  parts.versions.push_back(TestVersion(Keyring::kMaxVersions + 1));
  EXPECT_THAT(Keyring::Create(parts), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(KeyringTest, RemembersTheLast32Requests) {
  Keyring ring = WithOneMore(EmptyTestKeyring());
  for (uint8_t i = 0; i < 33; ++i) {
    ring = ring.WithApplied(TestUuid(i), 1, "").WithGeneration(i + 10u);
  }
  EXPECT_EQ(ring.applied_requests().size(), Keyring::kMaxAppliedRequests);
  EXPECT_EQ(ring.FindApplied(TestUuid(0)), nullptr);
  ASSERT_NE(ring.FindApplied(TestUuid(1)), nullptr);
  EXPECT_EQ(ring.FindApplied(TestUuid(1))->generation, 11u);
  EXPECT_EQ(ring.FindApplied(TestUuid(32))->generation, 42u);
  EXPECT_EQ(ring.FindApplied(TestUuid(32))->version, 1u);
  KEKD_EXPECT_OK(Keyring::Create(ring.parts()));
}

// Each breaks one rule of an otherwise good ring.
TEST(KeyringTest, CreateRefusesBrokenParts) {
  const Keyring::Parts good = RingWithEveryState().parts();
  KEKD_ASSERT_OK(Keyring::Create(good));
  const std::pair<const char*, std::function<void(Keyring::Parts&)>> breaks[] = {
      {"name", [](Keyring::Parts& p) { p.identity.name = "Prod"; }},
      {"no cluster id", [](Keyring::Parts& p) { p.identity.cluster_id = Uuid(); }},
      {"no ring UUID", [](Keyring::Parts& p) { p.identity.ring_uuid = Uuid(); }},
      {"gap", [](Keyring::Parts& p) { p.versions.erase(p.versions.begin()); }},
      {"order", [](Keyring::Parts& p) { std::swap(p.versions[0], p.versions[2]); }},
      {"number twice", [](Keyring::Parts& p) { p.versions[4].number = 4; }},
      {"key id twice", [](Keyring::Parts& p) { p.versions[4].key_id = p.versions[0].key_id; }},
      {"two active", [](Keyring::Parts& p) { p.versions[2].state = KeyState::kActive; }},
      {"none active", [](Keyring::Parts& p) { p.versions[1].state = KeyState::kDeactivated; }},
      {"no key id", [](Keyring::Parts& p) { p.versions[0].key_id = KeyId(); }},
      {"no backend", [](Keyring::Parts& p) { p.versions[0].backend.clear(); }},
      {"no canary", [](Keyring::Parts& p) { p.versions[0].canary.clear(); }},
      {"no wrap", [](Keyring::Parts& p) { p.versions[0].material.wraps.clear(); }},
      {"a wrap of what is destroyed",
       [](Keyring::Parts& p) { p.versions[3].material.wraps.emplace_back(); }},
      {"many wraps", [](Keyring::Parts& p) { p.versions[0].material.wraps.resize(65); }},
      {"many ring key wraps", [](Keyring::Parts& p) { p.ring_key_wraps.resize(65); }},
      {"many requests", [](Keyring::Parts& p) { p.applied_requests.resize(33); }},
  };
  for (const auto& [what, break_it] : breaks) {
    Keyring::Parts parts = good;
    break_it(parts);
    EXPECT_THAT(Keyring::Create(std::move(parts)), StatusIs(absl::StatusCode::kInvalidArgument))
        << what;
  }
}

TEST(KeyStateTest, OnlyTheActiveOneEncryptsAndAllButTheDestroyedDecrypt) {
  EXPECT_TRUE(CanEncrypt(KeyState::kActive));
  EXPECT_FALSE(CanEncrypt(KeyState::kPreActivation));
  EXPECT_FALSE(CanEncrypt(KeyState::kDeactivated));
  EXPECT_FALSE(CanEncrypt(KeyState::kDestroyed));
  EXPECT_TRUE(CanDecrypt(KeyState::kPreActivation));
  EXPECT_TRUE(CanDecrypt(KeyState::kActive));
  EXPECT_TRUE(CanDecrypt(KeyState::kDeactivated));
  EXPECT_FALSE(CanDecrypt(KeyState::kDestroyed));
}

TEST(KeyringTest, SuccessorKeepsTheRingItsVersionsAndItsWraps) {
  const Keyring before = WithOneMore(WithOneMore(EmptyTestKeyring()));
  const auto check = [&](const auto& change) {
    Keyring::Parts parts = before.parts();
    change(parts);
    return Keyring::Create(std::move(parts))->CheckSucceeds(before);
  };
  const auto refused = StatusIs(absl::StatusCode::kFailedPrecondition);
  KEKD_EXPECT_OK(before.CheckSucceeds(before));
  KEKD_EXPECT_OK(WithOneMore(before).CheckSucceeds(before));
  EXPECT_THAT(check([](Keyring::Parts& parts) { parts.identity.name = "other"; }), refused);
  EXPECT_THAT(check([](Keyring::Parts& parts) { parts.ring_key_wraps.clear(); }), refused);
  EXPECT_THAT(check([](Keyring::Parts& parts) { parts.versions.pop_back(); }), refused);
  EXPECT_THAT(check([](Keyring::Parts& parts) { parts.versions[0].canary += "x"; }), refused);
  EXPECT_THAT(check([](Keyring::Parts& parts) { parts.versions[1].key_id = KeyId("prod.2.x"); }),
              refused);
}

}  // namespace
}  // namespace kekd
