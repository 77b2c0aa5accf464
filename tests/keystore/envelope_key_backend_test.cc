#include "keystore/envelope_key_backend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <latch>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "base/length_prefixed.h"
#include "keystore/memory_key.h"
#include "tests/fakes/fake_key_backend.h"
#include "tests/keystore/one_key_device.h"
#include "tests/keystore/test_ring.h"
#include "tests/support/secrets.h"
#include "tests/support/status_matchers.h"

namespace kekd {
namespace {

using ::kekd::testing::CreateOneKeyDevice;
using ::kekd::testing::FakeKeyBackend;
using ::kekd::testing::RevealedText;
using ::kekd::testing::SecretFromText;
using ::kekd::testing::StatusIs;
using ::kekd::testing::TestIdentity;
using ::kekd::testing::TheOneKey;
using ::testing::HasSubstr;
using Call = ::kekd::testing::FakeKeyBackend::Call;

class EnvelopeKeyBackendTest : public ::testing::Test {
 protected:
  EnvelopeKeyBackendTest() {
    auto device = std::make_unique<FakeKeyBackend>();
    device_ = device.get();
    device_->SetMayBlock(true);
    backend_ =
        CreateEnvelopeKeyBackend(std::move(device), WrapType::kPkcs11, RandomSource::System());
  }

  static KeySpec Spec(uint32_t version = 3) { return {TestIdentity(), version}; }
  static absl::Time Never() { return absl::InfiniteFuture(); }
  absl::StatusOr<KeyMaterial> Generate(uint32_t version = 3) {
    return backend_->envelope_maker()->GenerateEnvelopeKey(Spec(version), Never());
  }
  absl::StatusOr<std::shared_ptr<const BackendKey>> Open(const KeyMaterial& material,
                                                         absl::Time deadline = Never()) {
    return backend_->OpenKey(Spec(), material, deadline);
  }
  int DeviceCalls() const {
    int calls = 0;
    for (const Call call : {Call::kGenerateKey, Call::kOpenKey, Call::kEncrypt, Call::kDecrypt,
                            Call::kDestroyKey, Call::kProbe}) {
      calls += device_->CallCount(call);
    }
    return calls;
  }

  FakeKeyBackend* device_;
  std::unique_ptr<KeyBackend> backend_;
};

TEST_F(EnvelopeKeyBackendTest, MakesAKeyThatTheDeviceWraps) {
  KEKD_ASSERT_OK_AND_ASSIGN(const KeyMaterial material, Generate());
  EXPECT_EQ(material.custody, Custody::kEnvelope);
  EXPECT_EQ(material.algorithm, Algorithm::kXaes256Gcm);
  EXPECT_EQ(material.key_reference, "fake:key-1");
  EXPECT_TRUE(material.HasDeviceKey());
  ASSERT_EQ(material.wraps.size(), 1u);
  EXPECT_EQ(material.wraps[0].type, WrapType::kPkcs11);
  EXPECT_EQ(material.wraps[0].reference, backend_->Describe().detail);
  EXPECT_EQ(material.wraps[0].blob.size(), 1 + 12 + kAes256KeyBytes + kAeadTagBytes);
  EXPECT_EQ(device_->KeyCount(), 1);
}

TEST_F(EnvelopeKeyBackendTest, AsksTheDeviceWhenItIsOpenedAndNeverAgain) {
  KEKD_ASSERT_OK_AND_ASSIGN(const KeyMaterial material, Generate());
  KEKD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<const BackendKey> key, Open(material));
  EXPECT_FALSE(key->MayBlock());
  const int before = DeviceCalls();
  for (int i = 0; i < 3; ++i) {
    KEKD_ASSERT_OK_AND_ASSIGN(const std::string sealed,
                              key->Encrypt(SecretFromText("seed"), AsBytes("aad"), Never()));
    KEKD_ASSERT_OK_AND_ASSIGN(const SecretBytes opened,
                              key->Decrypt(AsBytes(sealed), AsBytes("aad"), Never()));
    EXPECT_EQ(RevealedText(opened), "seed");
  }
  EXPECT_EQ(DeviceCalls(), before);
}

TEST_F(EnvelopeKeyBackendTest, TakesNoKeyThatTheDeviceDoesNotUnwrapAsItWas) {
  device_->QueueWrongPlaintext();
  EXPECT_THAT(Generate(), StatusIs(absl::StatusCode::kInternal, HasSubstr("another one")));
  EXPECT_EQ(device_->KeyCount(), 0);
  for (const Call call : {Call::kOpenKey, Call::kEncrypt, Call::kDecrypt}) {
    device_->QueueFailure(call, absl::UnavailableError("away"));
    EXPECT_THAT(Generate(), StatusIs(absl::StatusCode::kUnavailable));
    EXPECT_EQ(device_->KeyCount(), 0);
  }
  EXPECT_EQ(device_->CallCount(Call::kDestroyKey), 4);
}

TEST_F(EnvelopeKeyBackendTest, PassesTheDevicesOwnErrorsOnAndOpensLater) {
  KEKD_ASSERT_OK_AND_ASSIGN(const KeyMaterial material, Generate());
  for (const Call call : {Call::kOpenKey, Call::kDecrypt}) {
    device_->QueueFailure(call, absl::UnavailableError("away"));
    EXPECT_THAT(Open(material), StatusIs(absl::StatusCode::kUnavailable));
  }
  KEKD_EXPECT_OK(Open(material));
}

// docs/formats.md: what the device's key was given, and what stands before what it made.
TEST_F(EnvelopeKeyBackendTest, BindsAWrapToRingVersionBackendAndAlgorithm) {
  const std::unique_ptr<KeyBackend> backend =
      CreateEnvelopeKeyBackend(CreateOneKeyDevice(), WrapType::kPkcs11, RandomSource::System());
  const auto wrap = [&](absl::string_view label, const KeySpec& spec, absl::string_view type,
                        uint8_t algorithm) {
    LengthPrefixed fields;
    fields.Add(label).Add(spec.ring.cluster_id.bytes()).Add(spec.ring.ring_uuid.bytes());
    fields.AddU32(spec.version).Add(type).AddU8(algorithm);
    KeyMaterial material;
    material.key_reference = "device:key";
    material.wraps.emplace_back().type = WrapType::kPkcs11;
    material.wraps[0].blob = "\x02" + *TheOneKey()->Encrypt(SecretFromText(std::string(32, 'k')),
                                                            AsBytes(fields.bytes()));
    return material;
  };
  constexpr absl::string_view kLabel = "kekd/kek-wrap/device/1";
  KEKD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<const BackendKey> key,
                            backend->OpenKey(Spec(), wrap(kLabel, Spec(), "pkcs11", 2), Never()));
  KEKD_ASSERT_OK_AND_ASSIGN(
      const std::shared_ptr<const BackendKey> same,
      CreateMemoryKey(Algorithm::kXaes256Gcm, SecretFromText(std::string(32, 'k')),
                      RandomSource::System()));
  KEKD_ASSERT_OK_AND_ASSIGN(const std::string sealed,
                            key->Encrypt(SecretFromText("seed"), AsBytes("aad"), Never()));
  KEKD_EXPECT_OK(same->Decrypt(AsBytes(sealed), AsBytes("aad"), Never()));

  KeySpec other_ring = Spec();
  other_ring.ring.ring_uuid = other_ring.ring.cluster_id;
  KeySpec other_cluster = Spec();
  other_cluster.ring.cluster_id = other_cluster.ring.ring_uuid;
  for (const KeyMaterial& other :
       {wrap("kekd/kek-wrap/1", Spec(), "pkcs11", 2), wrap(kLabel, Spec(4), "pkcs11", 2),
        wrap(kLabel, other_ring, "pkcs11", 2), wrap(kLabel, other_cluster, "pkcs11", 2),
        wrap(kLabel, Spec(), "other", 2), wrap(kLabel, Spec(), "pkcs11", 1)}) {
    EXPECT_THAT(backend->OpenKey(Spec(), other, Never()), StatusIs(absl::StatusCode::kDataLoss));
  }
}

TEST_F(EnvelopeKeyBackendTest, RefusesWrapsThatAreNone) {
  KEKD_ASSERT_OK_AND_ASSIGN(const KeyMaterial material, Generate());
  KeyMaterial none = material;
  none.wraps.clear();
  KeyMaterial other_type = material;
  other_type.wraps[0].type = WrapType::kRingKey;
  KeyMaterial empty = material;
  empty.wraps[0].blob.clear();
  KeyMaterial cut = material;
  cut.wraps[0].blob.resize(1);
  for (const KeyMaterial& wrong : {none, other_type, empty, cut}) {
    EXPECT_THAT(Open(wrong), StatusIs(absl::StatusCode::kDataLoss));
  }
  KeyMaterial newer = material;
  newer.wraps[0].blob[0] = '\xc8';
  EXPECT_THAT(Open(newer), StatusIs(absl::StatusCode::kUnimplemented));
}

// A destroyed version of the record has no wraps any more.
TEST_F(EnvelopeKeyBackendTest, DestroysTheDevicesKeyAlsoWithoutTheWrap) {
  KEKD_ASSERT_OK_AND_ASSIGN(KeyMaterial material, Generate());
  material.wraps.clear();
  KEKD_ASSERT_OK(backend_->DestroyKey(Spec(), material, Never()));
  EXPECT_EQ(device_->KeyCount(), 0);
  KEKD_EXPECT_OK(backend_->DestroyKey(Spec(), material, Never()));
}

TEST_F(EnvelopeKeyBackendTest, IsProvedWhereverItsDeviceIsToUnwrapIt) {
  KEKD_ASSERT_OK_AND_ASSIGN(const KeyMaterial material, Generate());
  KEKD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<const BackendKey> key, Open(material));
  device_->QueueFailure(Call::kProveEverywhere, absl::FailedPreconditionError("token b lacks it"));
  EXPECT_THAT(key->ProveEverywhere(Never()), StatusIs(absl::StatusCode::kFailedPrecondition));
  KEKD_EXPECT_OK(key->ProveEverywhere(Never()));
  // Not by what is in memory: the key on the device may be gone since, or be another.
  device_->QueueFailure(Call::kDecrypt, absl::NotFoundError("the key is gone"));
  EXPECT_THAT(key->ProveEverywhere(Never()), StatusIs(absl::StatusCode::kNotFound));
  device_->QueueFailure(Call::kDecrypt, absl::InvalidArgumentError("does not authenticate"));
  EXPECT_THAT(key->ProveEverywhere(Never()), StatusIs(absl::StatusCode::kFailedPrecondition));
  device_->QueueWrongPlaintext();
  EXPECT_THAT(key->ProveEverywhere(Never()), StatusIs(absl::StatusCode::kFailedPrecondition));
  KEKD_EXPECT_OK(key->ProveEverywhere(Never()));
}

TEST_F(EnvelopeKeyBackendTest, LeavesTheDevicesOwnKeysToTheDevice) {
  KEKD_ASSERT_OK_AND_ASSIGN(const KeyMaterial material, backend_->GenerateKey(Spec(), Never()));
  EXPECT_EQ(material.custody, Custody::kDevice);
  KEKD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<const BackendKey> key, Open(material));
  EXPECT_TRUE(key->MayBlock());
  EXPECT_NE(backend_->adopter(), nullptr);
  KEKD_ASSERT_OK(backend_->DestroyKey(Spec(), material, Never()));
  EXPECT_EQ(device_->KeyCount(), 0);
}

TEST_F(EnvelopeKeyBackendTest, OfSeveralAtOnceOneAsksTheDevice) {
  KEKD_ASSERT_OK_AND_ASSIGN(const KeyMaterial material, Generate());
  const int before = device_->CallCount(Call::kDecrypt);
  std::latch asked(1), go_on(1);
  device_->Queue(Call::kDecrypt, [&] {
    asked.count_down();
    go_on.wait();
    return absl::OkStatus();
  });
  std::vector<std::shared_ptr<const BackendKey>> keys(4);
  {
    std::vector<std::jthread> threads;
    threads.emplace_back([&] { keys[0] = *Open(material); });
    asked.wait();
    // Whoever has no time left does not wait for the others' device.
    EXPECT_THAT(Open(material, absl::Now() + absl::Milliseconds(5)),
                StatusIs(absl::StatusCode::kDeadlineExceeded));
    for (size_t i = 1; i < keys.size(); ++i) {
      threads.emplace_back([&, i] { keys[i] = *Open(material, absl::Now() + absl::Seconds(60)); });
    }
    absl::SleepFor(absl::Milliseconds(50));
    go_on.count_down();
  }
  for (const auto& key : keys) EXPECT_EQ(key, keys[0]);
  EXPECT_EQ(device_->CallCount(Call::kDecrypt), before + 1);
}

TEST_F(EnvelopeKeyBackendTest, WhoHasMoreTimeThanTheFirstAsksAgain) {
  KEKD_ASSERT_OK_AND_ASSIGN(const KeyMaterial material, Generate());
  std::latch asked(1), go_on(1);
  device_->Queue(Call::kDecrypt, [&] {
    asked.count_down();
    go_on.wait();
    return absl::DeadlineExceededError("the first one's time was up");
  });
  absl::Status first;
  {
    std::jthread thread([&] { first = Open(material).status(); });
    asked.wait();
    std::jthread second([&] { KEKD_EXPECT_OK(Open(material)); });
    absl::SleepFor(absl::Milliseconds(20));
    go_on.count_down();
  }
  EXPECT_THAT(first, StatusIs(absl::StatusCode::kDeadlineExceeded));
}

TEST_F(EnvelopeKeyBackendTest, ABackendMakesKeysInTheCustodyThatIsAskedForOrNone) {
  KEKD_ASSERT_OK_AND_ASSIGN(KeyMaterial material,
                            GenerateKeyIn(Custody::kEnvelope, *backend_, Spec(), Never()));
  EXPECT_EQ(material.custody, Custody::kEnvelope);
  for (const std::optional<Custody> custody : {std::optional<Custody>(), {Custody::kDevice}}) {
    KEKD_ASSERT_OK_AND_ASSIGN(material, GenerateKeyIn(custody, *backend_, Spec(), Never()));
    EXPECT_EQ(material.custody, Custody::kDevice);
  }
  EXPECT_THAT(GenerateKeyIn(Custody::kEnvelope, *device_, Spec(), Never()),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("\"device\" only")));
}

}  // namespace
}  // namespace kekd
