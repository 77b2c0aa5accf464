#include "hsm/pkcs11_key_backend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include "hsm/token/token_uri.h"
#include "tests/hsm/fake_token.h"
#include "tests/support/secrets.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace kekd::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

KeySpec SpecOf(uint32_t version) {
  KeySpec spec;
  spec.ring.name = "prod";
  spec.ring.cluster_id = *Uuid::Parse("11111111-1111-4111-8111-111111111111");
  spec.ring.ring_uuid = *Uuid::Parse("22222222-2222-4222-8222-222222222222");
  spec.version = version;
  return spec;
}

class Pkcs11KeyBackendTest : public ::testing::Test {
 protected:
  std::unique_ptr<KeyBackend> Backend(std::string label = "") {
    return CreatePkcs11KeyBackend(client_, std::move(label), RandomSource::System());
  }

  const FakeToken token_;
  const std::shared_ptr<TokenClient> client_ = std::make_shared<TokenClient>(token_.Options());
};

TEST_F(Pkcs11KeyBackendTest, NamesNewKeysAfterTheirRing) {
  KEKD_ASSERT_OK_AND_ASSIGN(const KeyMaterial material,
                            Backend()->GenerateKey(SpecOf(3), FakeToken::Later()));
  EXPECT_EQ(material.custody, Custody::kDevice);
  EXPECT_EQ(material.algorithm, Algorithm::kAes256Gcm);
  KEKD_ASSERT_OK_AND_ASSIGN(const KeyReference reference,
                            KeyReference::Parse(material.key_reference));
  EXPECT_EQ(reference.key.label, "kekd-prod-3");
  EXPECT_EQ(reference.key.id.size(), 16u);
  KEKD_ASSERT_OK_AND_ASSIGN(const KeyMaterial named,
                            Backend("mine")->GenerateKey(SpecOf(4), FakeToken::Later()));
  KEKD_ASSERT_OK_AND_ASSIGN(const KeyReference other, KeyReference::Parse(named.key_reference));
  EXPECT_EQ(other.key.label, "mine-4");
  EXPECT_NE(other.key.id, reference.key.id);
}

TEST_F(Pkcs11KeyBackendTest, OpensAndDestroysOnlyWhatWasMadeForTheSpec) {
  const std::unique_ptr<KeyBackend> backend = Backend();
  KEKD_ASSERT_OK_AND_ASSIGN(const KeyMaterial material,
                            backend->GenerateKey(SpecOf(3), FakeToken::Later()));
  KEKD_EXPECT_OK(backend->OpenKey(SpecOf(3), material, FakeToken::Later()));
  KeyMaterial software = material;
  software.custody = Custody::kEnvelope;
  KeyMaterial damaged = material;
  damaged.key_reference.pop_back();
  EXPECT_THAT(backend->OpenKey(SpecOf(4), material, FakeToken::Later()),
              StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(backend->DestroyKey(SpecOf(4), material, FakeToken::Later()),
              StatusIs(absl::StatusCode::kDataLoss));
  for (const KeyMaterial& other : {software, damaged, KeyMaterial{}}) {
    EXPECT_THAT(backend->OpenKey(SpecOf(3), other, FakeToken::Later()),
                StatusIs(absl::StatusCode::kDataLoss));
  }
  KEKD_EXPECT_OK(backend->DestroyKey(SpecOf(3), material, FakeToken::Later()));
}

TEST_F(Pkcs11KeyBackendTest, SendsTheWorkerNothingThatIsForPeopleOnly) {
  const std::unique_ptr<KeyBackend> backend = Backend();
  KEKD_ASSERT_OK_AND_ASSIGN(KeyMaterial material,
                            backend->GenerateKey(SpecOf(3), FakeToken::Later()));
  KEKD_ASSERT_OK_AND_ASSIGN(KeyReference reference, KeyReference::Parse(material.key_reference));
  reference.mechanism = KeyMechanism::kGcmTokenIv;
  reference.mechanism_reason = "CKR_MECHANISM_PARAM_INVALID";
  material.key_reference = reference.ToString();
  KEKD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<const BackendKey> key,
                            backend->OpenKey(SpecOf(3), material, FakeToken::Later()));
  KEKD_EXPECT_OK(key->Encrypt(SecretFromText("seed"), AsBytes("data"), FakeToken::Later()));
}

TEST_F(Pkcs11KeyBackendTest, AKeyOnADeviceMayBlockAndEndsBeforeItsDeadline) {
  const std::unique_ptr<KeyBackend> backend = Backend();
  KEKD_ASSERT_OK_AND_ASSIGN(const KeyMaterial material,
                            backend->GenerateKey(SpecOf(3), FakeToken::Later()));
  KEKD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<const BackendKey> key,
                            backend->OpenKey(SpecOf(3), material, FakeToken::Later()));
  EXPECT_TRUE(key->MayBlock());
  KEKD_EXPECT_OK(key->Encrypt(SecretFromText("a"), AsBytes("b"), FakeToken::Later()));
  EXPECT_THAT(key->Encrypt(SecretFromText("a"), AsBytes("b"), absl::Now() - absl::Seconds(1)),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_THAT(key->Decrypt(AsBytes("short"), AsBytes("b"), FakeToken::Later()),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(Pkcs11KeyBackendTest, EncryptsUnderNoOtherKeyThatANewWorkerFinds) {
  const std::unique_ptr<KeyBackend> backend = Backend();
  KEKD_ASSERT_OK_AND_ASSIGN(const KeyMaterial material,
                            backend->GenerateKey(SpecOf(3), FakeToken::Later()));
  KEKD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<const BackendKey> key,
                            backend->OpenKey(SpecOf(3), material, FakeToken::Later()));
  const auto encrypt = [&] {
    return key->Encrypt(SecretFromText("a"), AsBytes("b"), FakeToken::Later());
  };
  KEKD_ASSERT_OK_AND_ASSIGN(const std::string canary, encrypt());
  KEKD_ASSERT_OK(key->Decrypt(AsBytes(canary), AsBytes("b"), FakeToken::Later()));
  // A worker that finds the same key is as good.
  ASSERT_EQ(::kill(client_->GetStats().pid, SIGKILL), 0);
  KEKD_EXPECT_OK(encrypt());
  KEKD_EXPECT_OK(encrypt());
  EXPECT_EQ(client_->starts(), 2u);
  WriteTestFile(token_.folder() + "/other-keys", "");
  KEKD_EXPECT_OK(encrypt());  // the old worker has the old key
  ASSERT_EQ(::kill(client_->GetStats().pid, SIGKILL), 0);
  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT(encrypt(),
                StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("another key")));
  }
}

TEST_F(Pkcs11KeyBackendTest, TakesBackWhatItMayHaveMadeAfterItsDeadline) {
  const std::unique_ptr<KeyBackend> backend = Backend("late");
  KEKD_ASSERT_OK(backend->Probe(FakeToken::Later()));
  EXPECT_THAT(backend->GenerateKey(SpecOf(3), FakeToken::In(absl::Milliseconds(30))),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_EQ(::access((token_.folder() + "/destroyed-late-3").c_str(), F_OK), 0);
}

TEST_F(Pkcs11KeyBackendTest, TakesBackWhatATokenMadeAndThenRefused) {
  EXPECT_THAT(Backend("spoilt")->GenerateKey(SpecOf(3), FakeToken::Later()),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("spoilt the key")));
  EXPECT_EQ(::access((token_.folder() + "/destroyed-spoilt-3").c_str(), F_OK), 0);
}

TEST_F(Pkcs11KeyBackendTest, TakesNoKeyOfAnotherNameThanItAskedFor) {
  EXPECT_THAT(Backend("misnamed")->GenerateKey(SpecOf(3), FakeToken::Later()),
              StatusIs(absl::StatusCode::kInternal));
}

TEST_F(Pkcs11KeyBackendTest, AdoptsByUriOfTheKeyAndOfThisToken) {
  const std::unique_ptr<KeyBackend> backend = Backend();
  KeyAdopter* const adopter = backend->adopter();
  ASSERT_NE(adopter, nullptr);
  for (const char* uri : {"pkcs11:object=old", "pkcs11:token=fake;object=old"}) {
    KEKD_ASSERT_OK_AND_ASSIGN(const KeyMaterial material,
                              adopter->AdoptKey(SpecOf(3), uri, false, FakeToken::Later()));
    KEKD_ASSERT_OK_AND_ASSIGN(const KeyReference reference,
                              KeyReference::Parse(material.key_reference));
    EXPECT_EQ(reference.key.label, "old");
    KEKD_EXPECT_OK(backend->OpenKey(SpecOf(3), material, FakeToken::Later()));
  }
  for (const char* uri : {"", "old", "pkcs11:token=fake", "pkcs11:object=old?module-path=/m.so",
                          "pkcs11:object=old?pin-source=/pin"}) {
    EXPECT_THAT(adopter->AdoptKey(SpecOf(3), uri, false, FakeToken::Later()),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << uri;
  }
  EXPECT_THAT(
      adopter->AdoptKey(SpecOf(3), "pkcs11:token=other;object=old", false, FakeToken::Later()),
      StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(Pkcs11KeyBackendTest, KnowsAKeyAgainThatIsAdoptedForAnotherVersion) {
  const std::unique_ptr<KeyBackend> backend = Backend();
  const auto adopt = [&](uint32_t version, const char* uri) {
    return *backend->adopter()->AdoptKey(SpecOf(version), uri, false, FakeToken::Later());
  };
  const KeyMaterial one = adopt(3, "pkcs11:object=old;id=%01");
  EXPECT_NE(one.key_reference, adopt(4, "pkcs11:object=old;id=%01").key_reference);
  for (const char* same : {"pkcs11:object=old;id=%01", "pkcs11:object=old", "pkcs11:id=%01"}) {
    EXPECT_TRUE(backend->adopter()->IsSameKey(one, adopt(4, same))) << same;
  }
  for (const char* other :
       {"pkcs11:object=old;id=%02", "pkcs11:object=new;id=%01", "pkcs11:id=%02"}) {
    EXPECT_FALSE(backend->adopter()->IsSameKey(one, adopt(4, other))) << other;
  }
}

TEST_F(Pkcs11KeyBackendTest, KnowsAKeyAgainOnWhicheverOfItsTokensItWasAdopted) {
  const auto on = [](absl::string_view serial, absl::string_view label) {
    KeyReference reference = FakeToken::Key(label);
    reference.token.serial = std::string(serial);
    reference.key.id = "1";
    KeyMaterial material;
    material.custody = Custody::kDevice;
    material.key_reference = reference.ToString();
    return material;
  };
  const FakeToken second;
  const std::unique_ptr<KeyBackend> pair =
      CreatePkcs11KeyBackend(std::make_shared<TokenGroup>(std::vector{
                                 client_, std::make_shared<TokenClient>(second.Options())}),
                             "", RandomSource::System());
  EXPECT_TRUE(pair->adopter()->IsSameKey(on("a", "old"), on("b", "old")));
  EXPECT_FALSE(pair->adopter()->IsSameKey(on("a", "old"), on("b", "new")));
  EXPECT_FALSE(Backend()->adopter()->IsSameKey(on("a", "old"), on("b", "old")));
}

TEST_F(Pkcs11KeyBackendTest, DescribesItsTokenAndModule) {
  WorkerProcess::Options options = token_.Options();
  options.config.token.label = "my token";
  options.config.module_path = "/m.so";
  const auto client = std::make_shared<TokenClient>(options);
  const KeyBackend::Description description =
      CreatePkcs11KeyBackend(client, "", RandomSource::System())->Describe();
  EXPECT_EQ(description.type, "pkcs11");
  EXPECT_EQ(description.detail, "pkcs11:token=my%20token?module-path=/m.so");
}

}  // namespace
}  // namespace kekd::testing
