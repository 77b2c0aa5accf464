// A ring key under a key on a device: made, opened, refused, made anew, discarded.
#include "keystore/device_ring_key_wrapper.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "base/length_prefixed.h"
#include "keystore/envelope_key_backend.h"
#include "keystore/file_keyring_store.h"
#include "keystore/keyring_writer.h"
#include "tests/fakes/fake_key_backend.h"
#include "tests/keystore/one_key_device.h"
#include "tests/keystore/test_ring.h"
#include "tests/support/secrets.h"
#include "tests/support/status_matchers.h"

namespace kekd {
namespace {

using ::kekd::testing::CreateOneKeyDevice;
using ::kekd::testing::FakeKeyBackend;
using ::kekd::testing::KeyFileWrapper;
using ::kekd::testing::ReadTestFile;
using ::kekd::testing::SecretFromText;
using ::kekd::testing::StatusIs;
using ::kekd::testing::TestIdentity;
using ::kekd::testing::TestRing;
using ::kekd::testing::TestUuid;
using ::kekd::testing::TheOneKey;
using ::testing::AllOf;
using ::testing::HasSubstr;
using Access = FileKeyringStore::Access;
using Call = FakeKeyBackend::Call;

constexpr absl::Duration kOpenTimeout = absl::Seconds(7);

class DeviceRingKeyWrapperTest : public ::testing::Test {
 protected:
  // What `prepare_` does to a backend, it does to the one of each call.
  std::unique_ptr<RingKeyWrapper> Wrapper() {
    return CreateDeviceRingKeyWrapper(
        {.type = WrapType::kPkcs11,
         .device = "token prod",
         .connect = [this]() -> absl::StatusOr<std::unique_ptr<KeyBackend>> {
           ++connections_;
           auto backend = std::make_unique<FakeKeyBackend>(device_, "pkcs11");
           if (prepare_ != nullptr) prepare_(*backend);
           return backend;
         },
         .open_timeout = kOpenTimeout,
         .make_timeout = absl::Minutes(1)});
  }
  void EachTime(Call call, const absl::Status& status) {
    prepare_ = [call, status](FakeKeyBackend& backend) { backend.QueueFailure(call, status); };
  }
  int KeyCount() const { return FakeKeyBackend(device_).KeyCount(); }
  static std::shared_ptr<const RingKey> NewRingKey() {
    return *RingKey::Generate(TestIdentity().ring_uuid, RandomSource::System());
  }
  absl::StatusOr<std::shared_ptr<const RingKey>> Unwrap(const Wrap& wrap,
                                                        const RingIdentity& ring = TestIdentity()) {
    return wrapper_->UnwrapRingKey(wrap, ring, RandomSource::System());
  }
  static bool Same(const RingKey& a, const RingKey& b) {
    return SecretBytes::ConstantTimeEquals(a.secret(), b.secret());
  }

  std::shared_ptr<FakeKeyBackend::Device> device_ = FakeKeyBackend::NewDevice();
  std::function<void(FakeKeyBackend&)> prepare_;
  int connections_ = 0;
  const std::unique_ptr<RingKeyWrapper> wrapper_ = Wrapper();
  const std::shared_ptr<const RingKey> ring_key_ = NewRingKey();
};

TEST_F(DeviceRingKeyWrapperTest, WrapsUnderAKeyOfItsOwnAndOpensIt) {
  EXPECT_EQ(wrapper_->Describe(), "token prod");
  KEKD_ASSERT_OK_AND_ASSIGN(const Wrap wrap, wrapper_->WrapRingKey(*ring_key_, TestIdentity()));
  EXPECT_EQ(wrap.type, WrapType::kPkcs11);
  EXPECT_THAT(wrap.reference, HasSubstr("fake:key-1"));
  EXPECT_EQ(wrap.blob.size(), 1 + 12 + RingKey::kBytes + kAeadTagBytes);
  EXPECT_EQ(KeyCount(), 1);
  KEKD_ASSERT_OK_AND_ASSIGN(const auto opened, Unwrap(wrap));
  EXPECT_TRUE(Same(*opened, *ring_key_));
  EXPECT_EQ(connections_, 2);
  KEKD_ASSERT_OK_AND_ASSIGN(const Wrap second, wrapper_->WrapRingKey(*ring_key_, TestIdentity()));
  EXPECT_NE(second.reference, wrap.reference);
  EXPECT_EQ(KeyCount(), 2);
}

// docs/formats.md: what the device's key was given, and what stands before what it made.
TEST_F(DeviceRingKeyWrapperTest, BindsAWrapToRingPurposeBackendAndAlgorithm) {
  const auto token = CreateDeviceRingKeyWrapper({.device = "token golden",
                                                 .connect = [] { return CreateOneKeyDevice(); },
                                                 .open_timeout = kOpenTimeout,
                                                 .make_timeout = kOpenTimeout});
  const std::string secret(RingKey::kBytes, 'r');
  const auto wrap = [&](absl::string_view label, const RingIdentity& ring, absl::string_view type,
                        uint8_t algorithm) {
    LengthPrefixed fields;
    fields.Add(label).Add(ring.cluster_id.bytes()).Add(ring.ring_uuid.bytes());
    fields.Add(type).AddU8(algorithm);
    Wrap made;
    made.type = WrapType::kPkcs11;
    made.reference = "device:key";
    made.blob = "\x02" + *TheOneKey()->Encrypt(SecretFromText(secret), AsBytes(fields.bytes()));
    return made;
  };
  const auto open = [&](const Wrap& each) {
    return token->UnwrapRingKey(each, TestIdentity(), RandomSource::System());
  };
  constexpr absl::string_view kLabel = "kekd/ring-key-wrap/device/1";
  const RingIdentity ring = TestIdentity();
  KEKD_ASSERT_OK_AND_ASSIGN(const auto opened, open(wrap(kLabel, ring, "pkcs11", 2)));
  EXPECT_TRUE(SecretBytes::ConstantTimeEquals(opened->secret(), SecretFromText(secret)));

  RingIdentity other_ring = ring;
  other_ring.ring_uuid = ring.cluster_id;
  RingIdentity other_cluster = ring;
  other_cluster.cluster_id = ring.ring_uuid;
  for (const Wrap& other :
       {wrap("kekd/ring-key-wrap/1", ring, "pkcs11", 2), wrap(kLabel, other_ring, "pkcs11", 2),
        wrap(kLabel, other_cluster, "pkcs11", 2), wrap(kLabel, ring, "other", 2),
        wrap(kLabel, ring, "pkcs11", 1)}) {
    EXPECT_THAT(open(other), StatusIs(absl::StatusCode::kDataLoss,
                                      HasSubstr("token golden does not open this keyring")));
  }
  // A KEK that the same key has wrapped is no ring key.
  const std::unique_ptr<KeyBackend> envelope =
      CreateEnvelopeKeyBackend(CreateOneKeyDevice(), WrapType::kPkcs11, RandomSource::System());
  KEKD_ASSERT_OK_AND_ASSIGN(const KeyMaterial kek,
                            envelope->envelope_maker()->GenerateEnvelopeKey(
                                {ring, KeySpec::kForRingKey}, absl::InfiniteFuture()));
  Wrap of_kek = kek.wraps.at(0);
  of_kek.reference = kek.key_reference;
  EXPECT_THAT(open(of_kek), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(DeviceRingKeyWrapperTest, RefusesABlobThatIsNone) {
  KEKD_ASSERT_OK_AND_ASSIGN(Wrap wrap, wrapper_->WrapRingKey(*ring_key_, TestIdentity()));
  const std::string blob = wrap.blob;
  for (size_t i = 1; i < blob.size(); ++i) {
    wrap.blob = blob;
    wrap.blob[i] = static_cast<char>(wrap.blob[i] ^ 1);
    EXPECT_THAT(Unwrap(wrap), StatusIs(absl::StatusCode::kDataLoss)) << i;
    wrap.blob = blob.substr(0, i);
    EXPECT_THAT(Unwrap(wrap), StatusIs(absl::StatusCode::kDataLoss)) << i;
  }
  wrap.blob.clear();
  EXPECT_THAT(Unwrap(wrap), StatusIs(absl::StatusCode::kDataLoss));
  wrap.blob = "\x63" + blob.substr(1);
  EXPECT_THAT(Unwrap(wrap), StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("token prod")));
}

TEST_F(DeviceRingKeyWrapperTest, LeavesNoKeyBehindWhereTheWrapFails) {
  prepare_ = [](FakeKeyBackend& backend) { backend.QueueWrongPlaintext(); };
  EXPECT_THAT(wrapper_->WrapRingKey(*ring_key_, TestIdentity()),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("token prod")));
  EXPECT_EQ(KeyCount(), 0);
  for (const Call call : {Call::kGenerateKey, Call::kOpenKey, Call::kEncrypt, Call::kDecrypt}) {
    EachTime(call, absl::UnavailableError("away"));
    EXPECT_THAT(wrapper_->WrapRingKey(*ring_key_, TestIdentity()),
                StatusIs(absl::StatusCode::kUnavailable, "token prod: away"));
    EXPECT_EQ(KeyCount(), 0);
  }
}

TEST_F(DeviceRingKeyWrapperTest, WrapsANewRingKeyUnderTheKeyThatThereIs) {
  KEKD_ASSERT_OK_AND_ASSIGN(Wrap wrap, wrapper_->WrapRingKey(*ring_key_, TestIdentity()));
  wrap.number = 4;
  wrap.node = "here";
  const std::shared_ptr<const RingKey> next = NewRingKey();
  KEKD_ASSERT_OK_AND_ASSIGN(const Wrap again,
                            wrapper_->WrapRingKeyAgain(wrap, *next, TestIdentity()));
  EXPECT_EQ(again.reference, wrap.reference);
  EXPECT_EQ(again.number, 4u);
  EXPECT_EQ(again.node, "here");
  EXPECT_NE(again.blob, wrap.blob);
  EXPECT_EQ(KeyCount(), 1);
  KEKD_ASSERT_OK_AND_ASSIGN(const auto opened, Unwrap(again));
  EXPECT_TRUE(Same(*opened, *next));
  EachTime(Call::kEncrypt, absl::UnavailableError("away"));
  EXPECT_THAT(wrapper_->WrapRingKeyAgain(wrap, *next, TestIdentity()),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(KeyCount(), 1);
}

TEST_F(DeviceRingKeyWrapperTest, TellsAnotherKeyFromADeviceThatIsAway) {
  KEKD_ASSERT_OK_AND_ASSIGN(const Wrap wrap, wrapper_->WrapRingKey(*ring_key_, TestIdentity()));
  for (const Call call : {Call::kOpenKey, Call::kDecrypt}) {
    for (const absl::Status& status :
         {absl::UnavailableError("away"), absl::DeadlineExceededError("hangs"),
          absl::FailedPreconditionError("the PIN was refused")}) {
      EachTime(call, status);
      EXPECT_THAT(Unwrap(wrap),
                  StatusIs(status.code(), absl::StrCat("token prod: ", status.message())));
    }
  }
  // Of the same name.
  device_ = FakeKeyBackend::NewDevice();
  prepare_ = nullptr;
  KEKD_ASSERT_OK(wrapper_->WrapRingKey(*ring_key_, TestIdentity()));
  EXPECT_THAT(Unwrap(wrap), StatusIs(absl::StatusCode::kDataLoss,
                                     AllOf(HasSubstr("token prod does not open this keyring"),
                                           HasSubstr("another than the one"))));
  device_ = FakeKeyBackend::NewDevice();
  EXPECT_THAT(Unwrap(wrap), StatusIs(absl::StatusCode::kDataLoss,
                                     HasSubstr("token prod does not open this keyring")));
}

TEST_F(DeviceRingKeyWrapperTest, GivesTheDeviceItsTimeAndNoMore) {
  KEKD_ASSERT_OK_AND_ASSIGN(const Wrap wrap, wrapper_->WrapRingKey(*ring_key_, TestIdentity()));
  absl::Time deadline;
  prepare_ = [&](FakeKeyBackend& backend) {
    backend.Queue(Call::kDecrypt, [&] {
      deadline = backend.LastDeadline(Call::kDecrypt);
      return absl::OkStatus();
    });
  };
  const absl::Time began = absl::Now();
  KEKD_ASSERT_OK(Unwrap(wrap));
  EXPECT_GE(deadline, began + kOpenTimeout);
  EXPECT_LE(deadline, absl::Now() + kOpenTimeout);
}

TEST_F(DeviceRingKeyWrapperTest, DiscardDestroysTheKeyOnce) {
  KEKD_ASSERT_OK_AND_ASSIGN(const Wrap wrap, wrapper_->WrapRingKey(*ring_key_, TestIdentity()));
  KEKD_ASSERT_OK_AND_ASSIGN(const Wrap other, wrapper_->WrapRingKey(*ring_key_, TestIdentity()));
  EachTime(Call::kDestroyKey, absl::UnavailableError("away"));
  EXPECT_THAT(wrapper_->Discard(wrap, TestIdentity()),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("token prod")));
  prepare_ = nullptr;
  KEKD_EXPECT_OK(wrapper_->Discard(wrap, TestIdentity()));
  KEKD_EXPECT_OK(wrapper_->Discard(wrap, TestIdentity()));
  EXPECT_EQ(KeyCount(), 1);
  KEKD_EXPECT_OK(Unwrap(other));
}

TEST_F(DeviceRingKeyWrapperTest, NewWrapsAreDiscardedUnlessTheyAreKept) {
  {
    NewWraps made(TestIdentity());
    KEKD_ASSERT_OK(made.Make(*wrapper_, *ring_key_));
    KEKD_ASSERT_OK(made.Make(*wrapper_, *ring_key_));
    EXPECT_EQ(KeyCount(), 2);
  }
  EXPECT_EQ(KeyCount(), 0);
  {
    NewWraps made(TestIdentity());
    KEKD_ASSERT_OK(made.Make(*wrapper_, *ring_key_));
    made.Keep();
  }
  EXPECT_EQ(KeyCount(), 1);
}

// The same over the life of a ring.
class DeviceWrappedRingTest : public DeviceRingKeyWrapperTest {
 protected:
  enum class Ways { kDevice, kDeviceThenFile };
  FileKeyringStore::Options Options(Ways ways) {
    FileKeyringStore::Options options = ring_.Options();
    options.wrappers.clear();
    options.wrappers.push_back(Wrapper());
    if (ways == Ways::kDeviceThenFile) {
      options.wrappers.push_back(KeyFileWrapper(ring_.key_file()));
    }
    return options;
  }
  absl::StatusOr<std::unique_ptr<FileKeyringStore>> Open(Ways ways,
                                                         Access access = Access::kExclusive) {
    return FileKeyringStore::Open(Options(ways), access);
  }
  // Ring generation 2: wrap 1 by a key file, wrap 2 by the device.
  void MakeRing() {
    KEKD_ASSERT_OK(ring_.Create());
    KEKD_ASSERT_OK_AND_ASSIGN(auto store, ring_.Open());
    KEKD_ASSERT_OK_AND_ASSIGN(Wrap wrap,
                              wrapper_->WrapRingKey(*store->ring_key()->Get(), TestIdentity()));
    wrap.number = 2;
    KEKD_ASSERT_OK_AND_ASSIGN(const auto writer, ring_.OpenWriter(std::move(store)));
    KEKD_ASSERT_OK(writer->Apply(AddWrap{wrap}, 1, TestUuid(1), absl::InfiniteFuture()));
  }

  TestRing ring_;
};

TEST_F(DeviceWrappedRingTest, DeviceThatIsAwayIsPassedOver) {
  MakeRing();
  {
    KEKD_ASSERT_OK_AND_ASSIGN(const auto store, Open(Ways::kDeviceThenFile));
    EXPECT_EQ(store->Opener(), "token prod");
  }
  EachTime(Call::kOpenKey, absl::DeadlineExceededError("hangs"));
  {
    KEKD_ASSERT_OK_AND_ASSIGN(const auto store, Open(Ways::kDeviceThenFile));
    EXPECT_EQ(store->Opener(), "key file " + ring_.key_file());
  }
  EXPECT_THAT(Open(Ways::kDevice),
              StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("token prod: hangs")));
}

// Or a start would wait for it as often as there are wraps.
TEST_F(DeviceWrappedRingTest, DeviceThatIsAwayIsAskedOnceForSeveralWraps) {
  std::vector<Wrap> wraps;
  for (int i = 0; i < 3; ++i) {
    wraps.push_back(*wrapper_->WrapRingKey(*ring_key_, TestIdentity()));
  }
  connections_ = 0;
  EachTime(Call::kOpenKey, absl::UnavailableError("away"));
  EXPECT_THAT(OpenRingKeyWith(wraps, *wrapper_, TestIdentity(), RandomSource::System()),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(connections_, 1);
  // One whose key is gone says nothing of the others.
  prepare_ = nullptr;
  KEKD_ASSERT_OK(wrapper_->Discard(wraps[0], TestIdentity()));
  KEKD_EXPECT_OK(OpenRingKeyWith(wraps, *wrapper_, TestIdentity(), RandomSource::System()));
}

TEST_F(DeviceWrappedRingTest, CreationThatFailsLeavesNoKeyOnTheDevice) {
  const auto make = [&](const absl::Status& failure) {
    return FileKeyringStore::Create(
        Options(Ways::kDeviceThenFile), TestIdentity(), absl::Now(),
        [&](const Keyring& empty,
            const std::shared_ptr<const RingKey>&) -> absl::StatusOr<Keyring> {
          if (!failure.ok()) return failure;
          return empty;
        });
  };
  KEKD_ASSERT_OK(ring_.Create());  // for the key file
  std::filesystem::remove_all(ring_.directory());
  std::filesystem::remove_all(ring_.state_directory());
  EXPECT_THAT(make(absl::InternalError("no first key")), StatusIs(absl::StatusCode::kInternal));
  EXPECT_EQ(KeyCount(), 0);
  KEKD_ASSERT_OK(make(absl::OkStatus()));
  EXPECT_EQ(KeyCount(), 1);
  KEKD_EXPECT_OK(Open(Ways::kDevice));
}

TEST_F(DeviceWrappedRingTest, NewRingKeyIsUnderTheSameKeyAndTheWriterOpensIt) {
  MakeRing();
  EachTime(Call::kOpenKey, absl::UnavailableError("away"));
  KEKD_ASSERT_OK_AND_ASSIGN(std::unique_ptr<FileKeyringStore> opened, Open(Ways::kDeviceThenFile));
  prepare_ = nullptr;
  FileKeyringStore* const store = opened.get();
  EXPECT_EQ(store->Opener(), "key file " + ring_.key_file());
  const std::string before = ReadTestFile(ring_.record());
  KEKD_ASSERT_OK_AND_ASSIGN(const auto writer, ring_.OpenWriter(std::move(opened)));
  const std::shared_ptr<const RingKey> next = NewRingKey();
  const Wrap there = *writer->current()->Get()->keyring().FindWrap(2);
  KEKD_ASSERT_OK_AND_ASSIGN(const Wrap again,
                            wrapper_->WrapRingKeyAgain(there, *next, TestIdentity()));
  KEKD_ASSERT_OK(writer->Apply(ReplaceRingKey{.removed = {1}, .wraps = {again}}, 2, TestUuid(2),
                               absl::InfiniteFuture()));
  EXPECT_EQ(store->Opener(), "token prod");
  EXPECT_EQ(KeyCount(), 1);
  KEKD_EXPECT_OK(writer->CheckStore());
  EXPECT_TRUE(Same(*store->ring_key()->Get(), *next));
  EXPECT_NE(ReadTestFile(ring_.record()), before);
}

TEST_F(DeviceWrappedRingTest, RemovedWrapOpensItsOldRecordAndNothingNewer) {
  MakeRing();
  const std::string old_record = ReadTestFile(ring_.record());
  {
    KEKD_ASSERT_OK_AND_ASSIGN(auto store, Open(Ways::kDeviceThenFile));
    KEKD_ASSERT_OK_AND_ASSIGN(const auto writer, ring_.OpenWriter(std::move(store)));
    const Wrap there = *writer->current()->Get()->keyring().FindWrap(1);
    KEKD_ASSERT_OK_AND_ASSIGN(
        const Wrap again,
        KeyFileWrapper(ring_.key_file())->WrapRingKeyAgain(there, *NewRingKey(), TestIdentity()));
    KEKD_ASSERT_OK(writer->Apply(ReplaceRingKey{.removed = {2}, .wraps = {again}}, 2, TestUuid(2),
                                 absl::InfiniteFuture()));
  }
  // The key is still on the device: whoever removed the wrap has not destroyed it.
  KEKD_ASSERT_OK_AND_ASSIGN(const UnverifiedRecord old, UnverifiedRecord::Parse(old_record));
  KEKD_ASSERT_OK_AND_ASSIGN(
      const OpenedRingKey former,
      OpenRingKeyWith(old.ring_key_wraps(), *wrapper_, TestIdentity(), RandomSource::System()));
  KEKD_EXPECT_OK(old.Verify(*former.ring_key));
  EXPECT_THAT(Open(Ways::kDevice), StatusIs(absl::StatusCode::kNotFound));
  KEKD_ASSERT_OK_AND_ASSIGN(const UnverifiedRecord newer,
                            UnverifiedRecord::Parse(ReadTestFile(ring_.record())));
  EXPECT_THAT(newer.Verify(*former.ring_key), StatusIs(absl::StatusCode::kDataLoss));
}

// The end of the version would be the end of the wrap.
TEST_F(DeviceWrappedRingTest, KeyOfAWrapIsAdoptedByNoVersion) {
  MakeRing();
  auto backend = std::make_unique<FakeKeyBackend>(device_, "pkcs11");
  Wrap wrap = *wrapper_->WrapRingKey(*ring_key_, TestIdentity());
  wrap.number = 3;
  wrap.reference = backend->AddForeignKey();
  KEKD_ASSERT_OK_AND_ASSIGN(auto store, Open(Ways::kDevice));
  KEKD_ASSERT_OK_AND_ASSIGN(const auto writer,
                            ring_.OpenWriter(std::move(store), std::move(backend)));
  const AdoptKey adopt{.backend = "pkcs11", .reference = wrap.reference};
  KEKD_ASSERT_OK(writer->Apply(AddWrap{wrap}, 2, TestUuid(2), absl::InfiniteFuture()));
  EXPECT_THAT(writer->Apply(adopt, 3, TestUuid(3), absl::InfiniteFuture()).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("wrap 3")));
  const AdoptKey other{.backend = "pkcs11",
                       .reference = FakeKeyBackend(device_, "pkcs11").AddForeignKey()};
  KEKD_EXPECT_OK(writer->Apply(other, 3, TestUuid(4), absl::InfiniteFuture()).status());
}

TEST_F(DeviceWrappedRingTest, RestoreMakesAWrapWhereTheKeyIsGone) {
  MakeRing();
  FileKeyringStore::RestoreRequest request;
  const std::string record = ReadTestFile(ring_.record());
  {
    KEKD_ASSERT_OK_AND_ASSIGN(const auto store, Open(Ways::kDevice, Access::kReadOnly));
    KEKD_ASSERT_OK_AND_ASSIGN(request.keyring, store->Load());
    request.ring_key = store->ring_key()->Get();
  }
  request.record = record;
  request.now = ring_.clock().Now();
  const auto lose = [&] {
    std::filesystem::remove_all(ring_.directory());
    std::filesystem::remove_all(ring_.state_directory());
  };
  lose();
  // It opens the backup's own wrap: nothing is made.
  {
    KEKD_ASSERT_OK_AND_ASSIGN(const auto restored,
                              FileKeyringStore::Restore(Options(Ways::kDevice), request));
    EXPECT_TRUE(restored.new_wraps.empty());
  }
  EXPECT_EQ(KeyCount(), 1);
  lose();
  device_ = FakeKeyBackend::NewDevice();  // another board
  {
    KEKD_ASSERT_OK_AND_ASSIGN(const auto restored,
                              FileKeyringStore::Restore(Options(Ways::kDevice), request));
    EXPECT_EQ(restored.new_wraps, std::vector<std::string>{"token prod"});
  }
  EXPECT_EQ(KeyCount(), 1);
  KEKD_EXPECT_OK(Open(Ways::kDevice));
}

TEST_F(DeviceWrappedRingTest, ARingOfFormat2HasNoWrapByADevice) {
  MakeRing();
  KEKD_ASSERT_OK_AND_ASSIGN(const auto store, Open(Ways::kDevice, Access::kReadOnly));
  KEKD_ASSERT_OK_AND_ASSIGN(const auto keyring, store->Load());
  Keyring::Parts parts = keyring->parts();
  const Wrap wrap = parts.ring_key_wraps.at(1);
  parts.format = 2;
  EXPECT_THAT(Keyring::Create(parts),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("format 2")));
  parts.ring_key_wraps.pop_back();
  parts.next_wrap_number = 2;
  KEKD_ASSERT_OK_AND_ASSIGN(const Keyring old, Keyring::Create(parts));
  EXPECT_THAT(old.WithWrap(wrap, absl::Now()),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("keyring upgrade")));
  parts = keyring->parts();
  parts.ring_key_wraps.at(1).reference.clear();
  EXPECT_THAT(Keyring::Create(parts),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("which key")));
}

}  // namespace
}  // namespace kekd
