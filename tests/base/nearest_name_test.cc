#include "base/nearest_name.h"

#include <gtest/gtest.h>

#include <string>

namespace kekd {
namespace {

TEST(NearestNameTest, FindsWhatWasMeant) {
  EXPECT_EQ(NearestName("keyrng", {"key", "keyring", "check"}), "keyring");
  EXPECT_EQ(NearestName("kye", {"key", "keyring", "check"}), "key");
  EXPECT_EQ(NearestName("KEYFILE", {"passphrase", "keyFile"}), "keyFile");
  EXPECT_EQ(NearestName("--cuont", {"--config", "--count"}), "--count");
}

TEST(NearestNameTest, FindsNothingWhereNothingIsNear) {
  EXPECT_EQ(NearestName("frobnicate", {"key", "keyring", "check"}), "");
  EXPECT_EQ(NearestName("", {"key"}), "");
  EXPECT_EQ(NearestName("x", {"key", "on"}), "");
  EXPECT_EQ(NearestName("key", {}), "");
  const std::string long_name(1000, 'a');
  EXPECT_EQ(NearestName(long_name, {long_name}), "");
}

}  // namespace
}  // namespace kekd
