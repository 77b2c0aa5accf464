// The backend on real tokens, by the real kekd-hsm-worker.
#include <glob.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <cstdio>
#include <cstdlib>
#include <optional>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "hsm/pkcs11_key_backend.h"
#include "keystore/envelope_key_backend.h"
#include "tests/contract/key_backend_contract.h"
#include "tests/hsm/tokens/test_token.h"
#include "tests/support/secrets.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace kekd::testing {
namespace {

using ::testing::HasSubstr;

struct Module {
  const char* name;
  const char* script;
  const char* file;  // a pattern of glob(3)
  // What p11fault hides of it; null: it stands in front of nothing.
  const char* mask = nullptr;
};

constexpr char kSoftHsm2[] = "/usr/lib{,64}/{,*/}softhsm/libsofthsm2.so";
constexpr char kNss[] = "/usr/lib{,64}/{,*/}{,nss/}libsoftokn3.so";
constexpr Module kModules[] = {
    {"SoftHsm2", "softhsm2", kSoftHsm2},
    {"SoftHsm2KeyWrap", "softhsm2", kSoftHsm2, "CKM_AES_GCM"},
    {"SoftHsm2CbcHmac", "softhsm2", kSoftHsm2, "CKM_AES_GCM CKM_AES_KEY_WRAP CKM_AES_KEY_WRAP_PAD"},
    {"SoftHsm2Rsa", "softhsm2", kSoftHsm2,
     "CKM_AES_GCM CKM_AES_KEY_WRAP CKM_AES_KEY_WRAP_PAD CKM_AES_CBC"},
    {"Nss", "nss", kNss},
    {"NssMessages", "nss", kNss, "CKM_AES_GCM in C_EncryptInit C_DecryptInit"},
    {"NssKeyWrap", "nss", kNss, "CKM_AES_GCM"},
};

bool IsInstalled(const Module& module) {
  glob_t found = {};
  const bool any = ::glob(module.file, GLOB_BRACE, nullptr, &found) == 0;
  ::globfree(&found);
  return any;
}

class TokenWorld final : public BackendWorld {
 public:
  explicit TokenWorld(const char* script, const char* mask = nullptr)
      : token_(MakeTestToken(script, folder_.path(), "contract", "kekd-test-4711")),
        masked_(mask != nullptr) {
    if (!token_.has_value()) {
      std::fprintf(stderr, "%s: the module is there and its tools are not\n", script);
      std::abort();
    }
    if (!masked_) return;
    const std::string control = folder_.File("control");
    WriteTestFile(control,
                  absl::StrCat("module ", token_->module, "\nmask-mechanism ", mask, "\n"));
    ::setenv("P11FAULT_CONTROL", control.c_str(), 1);
  }

  // A worker of its own, as after a restart.
  std::shared_ptr<TokenClient> NewClient() const {
    WorkerProcess::Options options;
    options.program = *FindWorkerProgram();
    options.config = token_->Config(folder_.path());
    if (masked_) options.config.module_path = KEKD_P11FAULT_PATH;
    options.call_timeout = absl::Seconds(20);
    return std::make_shared<TokenClient>(std::move(options));
  }

  std::unique_ptr<KeyBackend> NewBackend() override {
    return CreateEnvelopeKeyBackend(CreatePkcs11KeyBackend(NewClient(), "", RandomSource::System()),
                                    WrapType::kPkcs11, RandomSource::System());
  }

 private:
  const TempDirectory folder_;
  const std::optional<TestToken> token_;
  const bool masked_;
};

std::vector<BackendContractParam> InstalledTokens() {
  std::vector<BackendContractParam> params;
  for (const Module& module : kModules) {
    if (!IsInstalled(module)) continue;
    const auto make_world = [module] {
      return std::make_unique<TokenWorld>(module.script, module.mask);
    };
    params.push_back({.name = module.name, .make_world = make_world});
    params.push_back({.name = absl::StrCat(module.name, "Envelope"),
                      .make_world = make_world,
                      .custody = Custody::kEnvelope});
  }
  return params;
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(KeyBackendContract);
INSTANTIATE_TEST_SUITE_P(Pkcs11, KeyBackendContract, ::testing::ValuesIn(InstalledTokens()),
                         ParamName);

// So that what is not tried is seen.
TEST(RealTokenTest, AreInstalled) {
  for (const Module& module : kModules) {
    if (!IsInstalled(module)) GTEST_SKIP() << module.script << " is not installed: NOT TRIED";
  }
}

KeySpec Spec() {
  KeySpec spec;
  spec.ring.name = "real";
  spec.version = 1;
  return spec;
}

absl::Time Later() { return absl::Now() + absl::Seconds(60); }

TEST(RealTokenTest, ItsWorkerMayBeKilledAtAnyTime) {
  if (!IsInstalled(kModules[0])) GTEST_SKIP() << "softhsm2 is not installed: NOT TRIED";
  const TokenWorld world("softhsm2");
  const std::shared_ptr<TokenClient> client = world.NewClient();
  const std::unique_ptr<KeyBackend> backend =
      CreatePkcs11KeyBackend(client, "", RandomSource::System());
  KEKD_ASSERT_OK_AND_ASSIGN(const KeyMaterial material, backend->GenerateKey(Spec(), Later()));
  KEKD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<const BackendKey> key,
                            backend->OpenKey(Spec(), material, Later()));
  KEKD_ASSERT_OK_AND_ASSIGN(const std::string sealed,
                            key->Encrypt(SecretFromText("seed"), AsBytes("aad"), Later()));
  {
    std::jthread killer([&](const std::stop_token& stop) {
      for (int i = 0; i < 20 && !stop.stop_requested(); ++i) {
        const pid_t pid = client->GetStats().pid;
        if (pid > 0) ::kill(pid, SIGKILL);
        absl::SleepFor(absl::Milliseconds(20));
      }
    });
    for (int i = 0; i < 200; ++i) {
      const absl::StatusOr<SecretBytes> opened =
          key->Decrypt(AsBytes(sealed), AsBytes("aad"), Later());
      // Killed twice in one call.
      if (!opened.ok()) {
        EXPECT_THAT(opened, StatusIs(absl::StatusCode::kUnavailable));
      } else {
        EXPECT_EQ(RevealedText(*opened), "seed");
      }
      absl::SleepFor(absl::Milliseconds(2));
    }
  }
  KEKD_ASSERT_OK_AND_ASSIGN(const SecretBytes opened,
                            key->Decrypt(AsBytes(sealed), AsBytes("aad"), Later()));
  EXPECT_EQ(RevealedText(opened), "seed");
  EXPECT_GT(client->GetStats().starts, 1u);
  EXPECT_THAT(client->GetStats().last_end, HasSubstr("SIGKILL"));
}

TEST(RealTokenTest, AdoptsAKeyThatIsThere) {
  if (!IsInstalled(kModules[0])) GTEST_SKIP() << "softhsm2 is not installed: NOT TRIED";
  TokenWorld world("softhsm2");
  const std::unique_ptr<KeyBackend> backend = world.NewBackend();
  KEKD_ASSERT_OK_AND_ASSIGN(const KeyMaterial made, backend->GenerateKey(Spec(), Later()));
  KeySpec second = Spec();
  second.version = 2;
  KEKD_ASSERT_OK_AND_ASSIGN(
      const KeyMaterial adopted,
      backend->adopter()->AdoptKey(second, "pkcs11:token=contract;object=kekd-real-1", false,
                                   Later()));
  KEKD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<const BackendKey> first,
                            backend->OpenKey(Spec(), made, Later()));
  KEKD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<const BackendKey> same,
                            backend->OpenKey(second, adopted, Later()));
  KEKD_ASSERT_OK_AND_ASSIGN(const std::string sealed,
                            first->Encrypt(SecretFromText("seed"), AsBytes("aad"), Later()));
  KEKD_EXPECT_OK(same->Decrypt(AsBytes(sealed), AsBytes("aad"), Later()));
  EXPECT_THAT(backend->adopter()->AdoptKey(second, "pkcs11:object=nobody", false, Later()),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(
      backend->adopter()->AdoptKey(second, "pkcs11:token=other;object=kekd-real-1", false, Later()),
      StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace kekd::testing
