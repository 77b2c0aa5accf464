#include "cluster/key_catalog.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/keystore/test_ring.h"

namespace kekd {
namespace {

using ::kekd::testing::EmptyTestKeyring;
using ::kekd::testing::WithOneMore;

TEST(KeyCatalogTest, KnowsEveryVersionOfItsKeyrings) {
  Keyring ring = WithOneMore(WithOneMore(WithOneMore(WithOneMore(EmptyTestKeyring()))));
  const absl::Time now = absl::FromUnixSeconds(1'800'000'000);
  for (const uint32_t number : {1, 2, 3}) ring = *ring.WithPromoted(number, now);
  ring = *ring.WithDestroyed(1, now);
  ring = *ring.WithCompromised(2, now);
  KeyCatalog catalog;
  EXPECT_TRUE(catalog.empty());
  catalog.Add(ring);
  EXPECT_FALSE(catalog.empty());

  const auto find = [&](uint32_t number) {
    const CatalogKey* key = catalog.Find(ring.Find(number)->key_id.text());
    EXPECT_NE(key, nullptr);
    EXPECT_EQ(key->keyring, "prod");
    EXPECT_EQ(key->version, number);
    return *key;
  };
  EXPECT_EQ(find(1).state, KeyState::kDestroyed);
  EXPECT_EQ(find(2).state, KeyState::kDeactivated);
  EXPECT_TRUE(find(2).compromised);
  EXPECT_FALSE(find(2).primary);
  EXPECT_TRUE(find(3).primary);
  EXPECT_FALSE(find(3).compromised);
  EXPECT_EQ(find(4).state, KeyState::kPreActivation);
  EXPECT_EQ(catalog.Find("prod.5.00000000000000000000000000000000"), nullptr);
  EXPECT_EQ(catalog.Find(""), nullptr);

  // Read again after a promotion.
  catalog.Add(*ring.WithPromoted(4, now));
  EXPECT_FALSE(find(3).primary);
  EXPECT_TRUE(find(4).primary);
}

TEST(KeyCatalogTest, KnowsTheFormOfItsKeyIds) {
  KeyCatalog catalog;
  catalog.Add(WithOneMore(EmptyTestKeyring()));
  const std::string digits(32, 'a');
  EXPECT_TRUE(catalog.LooksLikeOurs("prod.9." + digits));
  for (const std::string& other :
       {"test.9." + digits, "prod.x." + digits, "prod.." + digits, "prod.9." + digits + "a",
        "prod.9." + digits + ".a", std::string("prod"), std::string()}) {
    EXPECT_FALSE(catalog.LooksLikeOurs(other)) << other;
  }
}

}  // namespace
}  // namespace kekd
