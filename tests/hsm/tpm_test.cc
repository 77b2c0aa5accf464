// kekd-hsm-worker on a TPM, by tpm2-pkcs11: what a token does that is none in a file.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "hsm/one_time_key.h"
#include "hsm/pkcs11_key.h"
#include "hsm/pkcs11_key_backend.h"
#include "hsm/token/key_reference.h"
#include "hsm/token_client.h"
#include "tests/hsm/tokens/test_token.h"
#include "tests/support/secrets.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace kekd::testing {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

absl::Time Later() { return absl::Now() + absl::Seconds(30); }

class TpmTest : public ::testing::Test {
 protected:
  void SetUp() override {
    token_ = MakeTestToken("tpm2", folder_.path(), "tpm", "kekd-test-4711");
    if (!token_.has_value()) GTEST_SKIP() << "tpm2-pkcs11 is not installed: NOT TRIED";
    client_ = NewClient();
  }

  // A worker of its own, as after a restart.
  std::unique_ptr<TokenClient> NewClient() const {
    WorkerProcess::Options options;
    options.program = *FindWorkerProgram();
    options.config = token_->Config(folder_.path());
    options.call_timeout = absl::Seconds(20);
    return std::make_unique<TokenClient>(std::move(options));
  }

  void TakeTpmAway() {
    WriteTestFile(folder_.File("tpm/away"), "");
    while (TestFileExists(folder_.File("tpm/tpm"))) absl::SleepFor(absl::Milliseconds(20));
  }
  void GiveTpmBack() {
    ASSERT_EQ(remove(folder_.File("tpm/away").c_str()), 0);
    while (!TestFileExists(folder_.File("tpm/tpm"))) absl::SleepFor(absl::Milliseconds(20));
  }

  const TempDirectory folder_;
  std::optional<TestToken> token_;
  std::unique_ptr<TokenClient> client_;
};

TEST_F(TpmTest, IsDescribed) {
  KEKD_ASSERT_OK_AND_ASSIGN(const TokenDescription token, client_->Describe(Later()));
  EXPECT_EQ(token.token.label, "tpm");
  EXPECT_EQ(token.cryptoki, "2.40");
  EXPECT_EQ(token.pin_state, "ok");
  EXPECT_EQ(token.pin_problem, "");
  EXPECT_EQ(token.max_sessions, 1024);
  EXPECT_THAT(token.mechanisms, Not(Contains("CKM_AES_GCM")));
  KEKD_ASSERT_OK_AND_ASSIGN(const std::vector<KeyDescription> keys, client_->List(Later()));
  EXPECT_TRUE(keys.empty());
}

// A TPM has neither AES-GCM nor key wrap, and tpm2-pkcs11 makes no secret keys: RSA is what is
// left.
TEST_F(TpmTest, HasItsOneTimeKeysWrappedByRsa) {
  const std::shared_ptr<TokenClient> client = NewClient();
  const std::unique_ptr<KeyBackend> backend =
      CreatePkcs11KeyBackend(client, "", RandomSource::System());
  KeySpec spec;
  spec.ring.name = "tpm";
  spec.version = 1;
  KEKD_ASSERT_OK_AND_ASSIGN(const KeyMaterial material, backend->GenerateKey(spec, Later()));
  EXPECT_EQ(material.algorithm, Algorithm::kAes256GcmWrappedKey);
  EXPECT_THAT(material.key_reference, HasSubstr("x-kekd-wrap=rsa-oaep-sha256"));
  EXPECT_THAT(material.key_reference, HasSubstr("AES-GCM%3A%20not%20listed"));
  KEKD_ASSERT_OK_AND_ASSIGN(const std::vector<KeyDescription> keys, client->List(Later()));
  ASSERT_EQ(keys.size(), 1u);
  EXPECT_EQ(keys[0].problem, "");
  KEKD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<const BackendKey> key,
                            backend->OpenKey(spec, material, Later()));
  KEKD_ASSERT_OK_AND_ASSIGN(
      const std::string sealed,
      key->Encrypt(SecretFromText(std::string(32, 's')), AsBytes("aad"), Later()));
  KEKD_ASSERT_OK_AND_ASSIGN(const SecretBytes opened,
                            key->Decrypt(AsBytes(sealed), AsBytes("aad"), Later()));
  EXPECT_EQ(RevealedText(opened), std::string(32, 's'));
  // The public key is no secret, and alone makes nothing that opens.
  KEKD_ASSERT_OK_AND_ASSIGN(const KeyReference reference,
                            KeyReference::Parse(material.key_reference));
  const OneTimeKey forger(std::make_shared<const Pkcs11Key>(
                              std::make_shared<TokenGroup>(std::vector{client}), reference, "key"),
                          SecretBytes(), RandomSource::System());
  KEKD_ASSERT_OK_AND_ASSIGN(
      const std::string forged,
      forger.Encrypt(SecretFromText(std::string(32, 's')), AsBytes("aad"), Later()));
  KEKD_EXPECT_OK(forger.Decrypt(AsBytes(forged), AsBytes("aad"), Later()));
  EXPECT_THAT(key->Decrypt(AsBytes(forged), AsBytes("aad"), Later()),
              StatusIs(absl::StatusCode::kInvalidArgument));
  std::string altered = sealed;
  altered[100] = static_cast<char>(altered[100] ^ 1);
  EXPECT_THAT(key->Decrypt(AsBytes(altered), AsBytes("aad"), Later()),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(client->GetStats().starts, 1u);
  KEKD_EXPECT_OK(backend->DestroyKey(spec, material, Later()));
  KEKD_ASSERT_OK_AND_ASSIGN(const std::vector<KeyDescription> left, client->List(Later()));
  EXPECT_TRUE(left.empty());
}

// Whoever tries PINs locks the whole TPM, and no flag says so: three tries are all there are.
TEST_F(TpmTest, IsSentAWrongPinOnce) {
  WriteTestFile(token_->pin_file, "not-the-pin\n");
  EXPECT_THAT(NewClient()->List(Later()),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("CKR_PIN_INCORRECT")));
  for (int i = 0; i < 4; ++i) {
    EXPECT_THAT(NewClient()->List(Later()),
                StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("it is not sent again")));
  }
  WriteTestFile(token_->pin_file, "kekd-test-4711\n");
  KEKD_EXPECT_OK(NewClient()->List(Later()));
}

TEST_F(TpmTest, IsWaitedForWhileItIsAway) {
  TakeTpmAway();
  EXPECT_THAT(client_->List(Later()),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("CKR_GENERAL_ERROR")));
  GiveTpmBack();
  absl::Status back;
  const absl::Time until = absl::Now() + absl::Seconds(10);
  do {
    back = client_->List(Later()).status();
  } while (!back.ok() && absl::Now() < until);
  KEKD_EXPECT_OK(back);
}

TEST_F(TpmTest, ServesSeveralWorkersAtOnce) {
  const std::unique_ptr<TokenClient> other = NewClient();
  for (int i = 0; i < 3; ++i) {
    KEKD_EXPECT_OK(client_->Probe(Later()));
    KEKD_EXPECT_OK(other->List(Later()));
  }
}

}  // namespace
}  // namespace kekd::testing
