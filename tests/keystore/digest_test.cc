#include "keystore/digest.h"

#include <gtest/gtest.h>

#include <string>

#include "base/hex.h"
#include "tests/support/secrets.h"
#include "tests/support/status_matchers.h"

namespace kekd {
namespace {

using ::kekd::testing::FromHex;
using ::kekd::testing::RevealedHex;
using ::kekd::testing::SecretFromHex;
using ::kekd::testing::SecretFromText;

std::string Hex(const Sha256Digest& digest) {
  return HexEncode(ByteView(digest.data(), digest.size()));
}

// FIPS 180-4's examples (NIST, "SHA-256 example values").
TEST(DigestTest, Sha256MatchesThePublishedExamples) {
  KEKD_ASSERT_OK_AND_ASSIGN(const Sha256Digest empty, Sha256(ByteView()));
  EXPECT_EQ(Hex(empty), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  KEKD_ASSERT_OK_AND_ASSIGN(const Sha256Digest abc, Sha256(AsBytes("abc")));
  EXPECT_EQ(Hex(abc), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

// RFC 4231, test cases 1, 2 and 6.
TEST(DigestTest, HmacSha256MatchesRfc4231) {
  const struct {
    std::string key, message, mac;
  } cases[] = {
      {std::string(20, '\x0b'), "Hi There",
       "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
      {"Jefe", "what do ya want for nothing?",
       "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
      {std::string(131, '\xaa'), "Test Using Larger Than Block-Size Key - Hash Key First",
       "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
  };
  for (const auto& c : cases) {
    KEKD_ASSERT_OK_AND_ASSIGN(const Sha256Digest mac,
                              HmacSha256(SecretFromText(c.key), AsBytes(c.message)));
    EXPECT_EQ(Hex(mac), c.mac);
  }
}

// RFC 5869, test cases 1 and 3, the first 32 of their 42 bytes.
TEST(DigestTest, HkdfSha256MatchesRfc5869) {
  const SecretBytes key = SecretFromText(std::string(22, '\x0b'));
  KEKD_ASSERT_OK_AND_ASSIGN(const SecretBytes first,
                            HkdfSha256(key, AsBytes(FromHex("000102030405060708090a0b0c")),
                                       FromHex("f0f1f2f3f4f5f6f7f8f9")));
  EXPECT_EQ(RevealedHex(first), "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf");
  KEKD_ASSERT_OK_AND_ASSIGN(const SecretBytes third, HkdfSha256(key, ByteView(), ""));
  EXPECT_EQ(RevealedHex(third), "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d");
}

// RFC 5869, test case 1, from its PRK on; and what k8s.io/apiserver derives for an object.
TEST(DigestTest, HkdfExpandSha256MatchesRfc5869) {
  KEKD_ASSERT_OK_AND_ASSIGN(
      const SecretBytes published,
      HkdfExpandSha256(
          SecretFromHex("077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5"),
          AsBytes(FromHex("f0f1f2f3f4f5f6f7f8f9"))));
  EXPECT_EQ(RevealedHex(published),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf");
  KEKD_ASSERT_OK_AND_ASSIGN(
      const SecretBytes of_an_object,
      HkdfExpandSha256(
          SecretFromHex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"),
          AsBytes(FromHex("202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f"))));
  EXPECT_EQ(RevealedHex(of_an_object),
            "ccb4f05e673c90bd153935b11d0dabfc00537bc35cf92953deac178dd081ef8d");
}

}  // namespace
}  // namespace kekd
