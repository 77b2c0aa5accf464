#include "kms/ctl/report_signature.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "base/bytes.h"
#include "base/durable_file.h"
#include "base/hex.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace kekd {
namespace {

using ::kekd::testing::StatusIs;
using ::kekd::testing::TempDirectory;
using ::testing::HasSubstr;

class ReportSignatureTest : public ::testing::Test {
 protected:
  std::string Write(const std::string& content, mode_t mode = 0600) {
    KEKD_EXPECT_OK(CreateFileDurably(fs_, dir_.File("key.pem"), AsBytes(content), {.mode = mode}));
    return dir_.File("key.pem");
  }

  FileSystem& fs_ = FileSystem::System();
  const TempDirectory dir_;
};

// RFC 8032, section 7.1, test 2 (one byte, 0x72); the secret key as RFC 8410 has it.
TEST_F(ReportSignatureTest, SignsTheVectorOfRfc8032) {
  const std::string path = Write(
      "-----BEGIN PRIVATE KEY-----\n"
      "MC4CAQAwBQYDK2VwBCIEIEzNCJso/5banbbDRuwRTg9bijGfNaumJNqM9u1PuKb7\n"
      "-----END PRIVATE KEY-----\n");
  KEKD_ASSERT_OK_AND_ASSIGN(const std::string signature, SignReport(fs_, path, "\x72"));
  EXPECT_EQ(HexEncode(AsBytes(signature)),
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00");
}

TEST_F(ReportSignatureTest, RefusesWhatIsNoSuchKey) {
  const std::string path = Write("no key at all\n");
  const absl::Status status = SignReport(fs_, path, "x").status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(std::string(status.message()), HasSubstr("openssl genpkey"));
}

TEST_F(ReportSignatureTest, RefusesAKeyThatIsTooLargeToBeOne) {
  const absl::Status status = SignReport(fs_, Write(std::string(2000, 'x')), "x").status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(std::string(status.message()), HasSubstr("no Ed25519 key"));
}

TEST_F(ReportSignatureTest, RefusesAKeyThatOthersMayRead) {
  EXPECT_THAT(SignReport(fs_, Write("x", 0644), "x").status(),
              StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_THAT(SignReport(fs_, dir_.File("none"), "x").status(),
              StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace kekd
