// Ed25519, as 'kekctl scan' signs a report with it.
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/durable_file.h"
#include "base/hex.h"
#include "kms/ctl/report_signature.h"
#include "tests/support/secrets.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"
#include "tests/vectors/vector_file.h"

namespace kekd {
namespace {

using ::kekd::testing::FromHex;
using ::kekd::testing::PublishedVector;
using ::kekd::testing::ReadVectors;
using ::kekd::testing::StatusIs;
using ::kekd::testing::TempDirectory;

std::string PemOf(const std::string& seed, absl::string_view prefix) {
  return absl::StrCat("-----BEGIN PRIVATE KEY-----\n", absl::Base64Escape(FromHex(prefix) + seed),
                      "\n-----END PRIVATE KEY-----\n");
}

TEST(SignatureVectorsTest, SignReportMatchesTheVectorsOfEd25519) {
  // RFC 8410, section 7: PKCS#8 with the 32 bytes in an octet string in an octet string.
  constexpr absl::string_view kPkcs8 = "302e020100300506032b657004220420";
  FileSystem& fs = FileSystem::System();
  const TempDirectory folder;
  int number = 0;
  for (const PublishedVector& vector : ReadVectors("ed25519.txt", 64)) {
    const std::string path = folder.File(absl::StrCat("key-", ++number, ".pem"));
    const std::string pem = PemOf(vector.Bytes("seed"), kPkcs8);
    KEKD_ASSERT_OK(CreateFileDurably(fs, path, AsBytes(pem), {.mode = 0600}));
    const absl::StatusOr<std::string> signature = SignReport(fs, path, vector.Bytes("message"));
    ASSERT_TRUE(signature.ok()) << vector << ": " << signature.status();
    EXPECT_EQ(HexEncode(AsBytes(*signature)), vector.Text("signature")) << vector;
  }
}

// One byte too few or too many in place of the 32, with lengths that fit; and X25519's (RFC 8410).
TEST(SignatureVectorsTest, SignReportRefusesKeysOfAnotherSizeAndKind) {
  FileSystem& fs = FileSystem::System();
  const TempDirectory folder;
  int number = 0;
  const auto refused = [&](const std::string& pem) {
    const std::string path = folder.File(absl::StrCat("key-", ++number, ".pem"));
    KEKD_ASSERT_OK(CreateFileDurably(fs, path, AsBytes(pem), {.mode = 0600}));
    EXPECT_THAT(SignReport(fs, path, "x"), StatusIs(absl::StatusCode::kInvalidArgument));
  };
  refused(PemOf(std::string(31, 'k'), "302d020100300506032b65700421041f"));
  refused(PemOf(std::string(33, 'k'), "302f020100300506032b657004230421"));
  refused(PemOf(std::string(32, 'k'), "302e020100300506032b656e04220420"));
}

}  // namespace
}  // namespace kekd
