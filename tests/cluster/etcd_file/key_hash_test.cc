#include "cluster/etcd_file/key_hash.h"

#include <gtest/gtest.h>

#include <cstring>
#include <numeric>
#include <string>

#include "base/bytes.h"
#include "base/hex.h"

namespace kekd {
namespace {

std::string HashHex(absl::string_view bytes) {
  KeyHasher::Key key;
  std::iota(key.begin(), key.end(), uint8_t{0});
  const KeyHash hash = KeyHasher(key).Hash(bytes);
  std::string out(16, '\0');
  std::memcpy(out.data(), &hash.low, 8);
  std::memcpy(out.data() + 8, &hash.high, 8);
  return HexEncode(AsBytes(out));
}

// vectors_sip128 of the authors' reference code (github.com/veorq/SipHash, vectors.h).
TEST(KeyHashTest, IsSipHash128) {
  std::string input;
  EXPECT_EQ(HashHex(input), "a3817f04ba25a8e66df67214c7550293");
  input.push_back('\0');
  EXPECT_EQ(HashHex(input), "da87c1d86b99af44347659119b22fc45");
  for (char c = 1; c < 15; ++c) input.push_back(c);
  EXPECT_EQ(HashHex(input), "5493e99933b0a8117e08ec0f97cfc3d9");
}

}  // namespace
}  // namespace kekd
