#include "hsm/pkcs11/known_keys.h"

#include <gtest/gtest.h>

#include "absl/time/time.h"

namespace kekd {
namespace {

const KeySelector kKey = {.label = "kek", .id = "1"};
const KeySelector kOther = {.label = "kek", .id = "2"};

// How long after `now` the key counts as missing.
absl::Duration MissingFor(const KnownKeys& keys, absl::Time now) {
  absl::Duration time;
  while (keys.IsMissing(kKey, now + time)) time += absl::Milliseconds(500);
  return time;
}

TEST(KnownKeysTest, LooksForAMissingKeyLessAndLessOften) {
  KnownKeys keys;
  absl::Time now = absl::UnixEpoch();
  EXPECT_FALSE(keys.IsMissing(kKey, now));
  for (const int seconds : {1, 2, 4, 8, 16, 32, 60, 60, 60}) {
    keys.NoteMissing(kKey, now);
    keys.NoteMissing(kKey, now);  // of another thread
    EXPECT_EQ(MissingFor(keys, now), absl::Seconds(seconds));
    EXPECT_FALSE(keys.IsMissing(kOther, now));
    now += absl::Seconds(seconds);
  }
  keys.NoteMissing(kKey, now);
  keys.Add(kKey);
  EXPECT_FALSE(keys.IsMissing(kKey, now));
  keys.NoteMissing(kKey, now);
  EXPECT_EQ(MissingFor(keys, now), KnownKeys::kFirstPause);
}

TEST(KnownKeysTest, KeepsTheFirstCanaryUntilTheKeyIsDestroyed) {
  KnownKeys keys;
  EXPECT_FALSE(keys.FirstCanary(kKey).has_value());
  keys.KeepCanary(kKey, {.sealed = "first", .mechanism = KeyMechanism::kGcmTokenIv});
  keys.KeepCanary(kKey, {.sealed = "second"});
  keys.Add(kKey);
  keys.Remove(kKey);
  EXPECT_FALSE(keys.Contains(kKey));
  ASSERT_TRUE(keys.FirstCanary(kKey).has_value());
  EXPECT_EQ(keys.FirstCanary(kKey)->sealed, "first");
  EXPECT_EQ(keys.FirstCanary(kKey)->mechanism, KeyMechanism::kGcmTokenIv);
  EXPECT_FALSE(keys.FirstCanary(kOther).has_value());
  keys.Forget(kKey);
  EXPECT_FALSE(keys.FirstCanary(kKey).has_value());
}

}  // namespace
}  // namespace kekd
