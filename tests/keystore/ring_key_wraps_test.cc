// Wraps of the ring key over the life of a ring: added, removed with a new ring key, cut off at any
// point.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cerrno>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/status_macros.h"
#include "keystore/canary.h"
#include "keystore/envelope_key_backend.h"
#include "keystore/file_keyring_store.h"
#include "keystore/key_file.h"
#include "keystore/keyring_writer.h"
#include "keystore/ring_key_wrapper.h"
#include "tests/fakes/fake_key_backend.h"
#include "tests/fakes/fault_injecting_file_system.h"
#include "tests/keystore/test_ring.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace kekd {
namespace {

using ::kekd::testing::FakeKeyBackend;
using ::kekd::testing::Fault;
using ::kekd::testing::FaultInjectingFileSystem;
using ::kekd::testing::KeyFileWrapper;
using ::kekd::testing::ReadTestFile;
using ::kekd::testing::StatusIs;
using ::kekd::testing::TempDirectory;
using ::kekd::testing::TestFileExists;
using ::kekd::testing::TestIdentity;
using ::kekd::testing::TestRing;
using ::kekd::testing::TestUuid;
using ::kekd::testing::WriteTestFile;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Access = FileKeyringStore::Access;

class RingKeyWrapsTest : public ::testing::Test {
 protected:
  RingKeyWrapsTest() {
    KEKD_EXPECT_OK(CreateKeyFile(FileSystem::System(), second_file_, std::nullopt, std::nullopt,
                                 RandomSource::System()));
    WritePassphrase("correct horse battery staple");
  }
  void SetUp() override { KEKD_ASSERT_OK(ring_.Create()); }

  void WritePassphrase(const std::string& passphrase) {
    WriteTestFile(passphrase_file_, passphrase);
    ASSERT_EQ(chmod(passphrase_file_.c_str(), 0600), 0);
  }
  std::unique_ptr<RingKeyWrapper> Passphrase() const {
    return CreatePassphraseWrapper(CreateFileSecretSource(FileSystem::System(), "passphrase file",
                                                          passphrase_file_, std::nullopt),
                                   "the safe", KdfFunction::kPbkdf2HmacSha512,
                                   RandomSource::System());
  }
  // A writer whose backend "fake" wraps keys too. What it asks of the device, `device` tells.
  std::unique_ptr<KeyringWriter> WriterWithDevice(FakeKeyBackend** device) {
    absl::StatusOr<std::unique_ptr<FileKeyringStore>> store = ring_.Open(Access::kExclusive);
    KEKD_EXPECT_OK(store.status());
    store_ = store->get();
    auto fake = std::make_unique<FakeKeyBackend>();
    *device = fake.get();
    return *ring_.OpenWriter(
        *std::move(store),
        CreateEnvelopeKeyBackend(std::move(fake), WrapType::kPkcs11, RandomSource::System()));
  }
  std::unique_ptr<KeyringWriter> Writer(FileSystem& fs = FileSystem::System()) {
    absl::StatusOr<std::unique_ptr<FileKeyringStore>> store = ring_.Open(Access::kExclusive, fs);
    KEKD_EXPECT_OK(store.status());
    store_ = store->get();
    return *ring_.OpenWriter(*std::move(store));
  }
  absl::StatusOr<KeyringWriter::Applied> Apply(KeyringWriter& writer, const Transition& transition,
                                               uint8_t request) {
    return writer.Apply(transition, writer.current()->Get()->keyring().generation(),
                        TestUuid(request), absl::InfiniteFuture());
  }
  // As kekctl does it: the new wrap is made outside.
  absl::Status Add(KeyringWriter& writer, const RingKeyWrapper& wrapper, uint8_t request) {
    const Keyring& ring = writer.current()->Get()->keyring();
    KEKD_ASSIGN_OR_RETURN(Wrap wrap,
                          wrapper.WrapRingKey(*store_->ring_key()->Get(), ring.identity()));
    wrap.number = ring.next_wrap_number();
    return Apply(writer, AddWrap{std::move(wrap)}, request).status();
  }
  // A new ring key, wrapped by these wrappers under these numbers.
  ReplaceRingKey Replacement(const std::vector<uint32_t>& removed,
                             const std::vector<std::pair<uint32_t, const RingKeyWrapper*>>& kept) {
    const auto ring_key = *RingKey::Generate(TestIdentity().ring_uuid, RandomSource::System());
    ReplaceRingKey replace{.removed = removed, .wraps = {}};
    for (const auto& [number, wrapper] : kept) {
      replace.wraps.push_back(*wrapper->WrapRingKey(*ring_key, TestIdentity()));
      replace.wraps.back().number = number;
    }
    return replace;
  }
  FileKeyringStore::Options OptionsWith(std::unique_ptr<RingKeyWrapper> wrapper) {
    FileKeyringStore::Options options = ring_.Options();
    options.wrappers.clear();
    options.wrappers.push_back(std::move(wrapper));
    return options;
  }
  absl::Status OpenWith(std::unique_ptr<RingKeyWrapper> wrapper) {
    return FileKeyringStore::Open(OptionsWith(std::move(wrapper)), Access::kReadOnly).status();
  }

  // The new ring as an older kekd would have written it.
  void WriteInFormat(uint16_t format) {
    const auto writer = Writer();
    Keyring::Parts parts = writer->current()->Get()->keyring().parts();
    parts.format = format;
    if (format == 1) parts.ring_key_wraps[0].creation_time = absl::InfiniteFuture();
    KEKD_ASSERT_OK_AND_ASSIGN(const Keyring old, Keyring::Create(std::move(parts)));
    KEKD_ASSERT_OK_AND_ASSIGN(const std::string record,
                              EncodeRecord(old, *store_->ring_key()->Get()));
    WriteTestFile(ring_.record(), record);
    WriteTestFile(ring_.generation(1), record);
  }

  TestRing ring_;
  TempDirectory folder_;
  const std::string second_file_ = folder_.File("second.key");
  const std::string passphrase_file_ = folder_.File("passphrase");
  FileKeyringStore* store_ = nullptr;  // the writer's
};

TEST_F(RingKeyWrapsTest, AnyOfThemOpensTheRing) {
  {
    const auto writer = Writer();
    KEKD_ASSERT_OK(Add(*writer, *KeyFileWrapper(second_file_), 1));
    KEKD_ASSERT_OK(Add(*writer, *Passphrase(), 2));
    const Keyring& ring = writer->current()->Get()->keyring();
    ASSERT_EQ(ring.ring_key_wraps().size(), 3u);
    EXPECT_EQ(ring.FindWrap(3)->type, WrapType::kPassphrase);
    EXPECT_EQ(ring.FindWrap(3)->reference, "the safe");
    EXPECT_EQ(ring.FindWrap(3)->creation_time, ring_.clock().Now());
    EXPECT_EQ(ring.next_wrap_number(), 4u);
  }
  KEKD_EXPECT_OK(OpenWith(KeyFileWrapper(ring_.key_file())));
  KEKD_EXPECT_OK(OpenWith(KeyFileWrapper(second_file_)));
  KEKD_EXPECT_OK(OpenWith(Passphrase()));
  WritePassphrase("wrong horse battery staple");
  EXPECT_THAT(OpenWith(Passphrase()),
              StatusIs(absl::StatusCode::kDataLoss,
                       AllOf(HasSubstr(passphrase_file_), HasSubstr("does not open"))));
}

// A disk that fails once must not look like a damaged keyring because another wrap of the same type
// is not this secret's.
TEST_F(RingKeyWrapsTest, SecretThatCouldNotBeReadOnceIsNotCalledTheWrongOne) {
  KEKD_ASSERT_OK(Add(*Writer(), *KeyFileWrapper(second_file_), 1));
  FaultInjectingFileSystem fs;
  fs.Inject({.call_name = "ReadSecretFile", .error = EIO});
  EXPECT_THAT(
      FileKeyringStore::Open(OptionsWith(KeyFileWrapper(ring_.key_file(), fs)), Access::kReadOnly)
          .status(),
      StatusIs(absl::StatusCode::kInternal, AllOf(HasSubstr("EIO"), HasSubstr(ring_.key_file()))));
}

TEST_F(RingKeyWrapsTest, RefusesANumberThatIsNotTheNext) {
  const auto writer = Writer();
  Wrap wrap =
      *KeyFileWrapper(second_file_)->WrapRingKey(*store_->ring_key()->Get(), TestIdentity());
  for (const uint32_t number : {0u, 1u, 3u}) {
    wrap.number = number;
    EXPECT_THAT(Apply(*writer, AddWrap{wrap}, 1), StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

TEST_F(RingKeyWrapsTest, RefusesAShortPassphraseAndOneThatIsNotThere) {
  const auto writer = Writer();
  WritePassphrase("short");
  EXPECT_THAT(Add(*writer, *Passphrase(), 1),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr(passphrase_file_), HasSubstr("12"))));
}

TEST_F(RingKeyWrapsTest, RemovingOneMakesANewRingKey) {
  const auto second = KeyFileWrapper(second_file_);
  const auto first = KeyFileWrapper(ring_.key_file());
  {
    const auto writer = Writer();
    KEKD_ASSERT_OK(Add(*writer, *second, 1));
    KEKD_ASSERT_OK(Apply(*writer, CreateVersion{"software"}, 2));
    const auto before = store_->ring_key()->Get();
    KEKD_ASSERT_OK(Apply(*writer, Replacement({2}, {{1, first.get()}}), 3));
    EXPECT_FALSE(
        SecretBytes::ConstantTimeEquals(before->secret(), store_->ring_key()->Get()->secret()));
    KEKD_EXPECT_OK(writer->CheckStore());
    // A key that is made now is under the new ring key.
    KEKD_ASSERT_OK(Apply(*writer, CreateVersion{"software"}, 4));
    KEKD_ASSERT_OK(Apply(*writer, PromoteVersion{3}, 5));
  }
  EXPECT_THAT(OpenWith(KeyFileWrapper(second_file_)), StatusIs(absl::StatusCode::kDataLoss));
  const auto writer = Writer();
  const auto opened = writer->current()->Get();
  EXPECT_EQ(opened->keyring().ring_key_number(), 2u);
  for (const auto& entry : opened->entries()) {
    KEKD_ASSERT_OK(entry.status);
    KEKD_EXPECT_OK(CheckCanary(TestIdentity(), *entry.version, *entry.key, absl::InfiniteFuture()));
  }
  // What the removed wrap could open is gone: generations 1 to 3.
  for (const uint64_t generation : {1u, 2u, 3u}) {
    EXPECT_FALSE(TestFileExists(ring_.generation(generation))) << generation;
  }
  KEKD_ASSERT_OK_AND_ASSIGN(const auto reports, FileKeyringStore::Verify(ring_.Options()));
  EXPECT_EQ(reports.size(), 4u);  // the ring, and generations 4, 5 and 6
  for (const auto& report : reports) KEKD_EXPECT_OK(report.status) << report.path;
}

TEST_F(RingKeyWrapsTest, ARingOfFormat2HasNoKeysThatADeviceWraps) {
  WriteInFormat(2);
  FakeKeyBackend* device = nullptr;
  const auto writer = WriterWithDevice(&device);
  const CreateVersion wrapped{.backend = "fake", .custody = Custody::kEnvelope};
  EXPECT_THAT(Apply(*writer, wrapped, 1),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("keyring upgrade")));
  EXPECT_EQ(device->CallCount(FakeKeyBackend::Call::kGenerateKey), 0);
  KEKD_ASSERT_OK(Apply(*writer, CreateVersion{"fake"}, 2));
  // Nor does a reader of format 2 know what a key makes that wraps one-time keys.
  const Keyring& before = writer->current()->Get()->keyring();
  KeyVersion one_time = *before.Find(2);
  one_time.number = 3;
  one_time.material.algorithm = Algorithm::kAes256GcmWrappedKey;
  EXPECT_THAT(before.WithNewVersion(one_time),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("keyring upgrade")));
  Keyring::Parts smuggled = before.parts();
  smuggled.versions.push_back(one_time);
  EXPECT_THAT(Keyring::Create(std::move(smuggled)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("format 2")));
  KEKD_ASSERT_OK(Apply(*writer, UpgradeFormat{}, 3));
  KEKD_ASSERT_OK(Apply(*writer, wrapped, 4));
  Keyring::Parts parts = writer->current()->Get()->keyring().parts();
  parts.format = 2;
  EXPECT_THAT(Keyring::Create(std::move(parts)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("format 2")));
}

TEST_F(RingKeyWrapsTest, ANewRingKeyLeavesTheWrapsOfADeviceAsTheyAre) {
  const auto first = KeyFileWrapper(ring_.key_file());
  FakeKeyBackend* device = nullptr;
  const auto writer = WriterWithDevice(&device);
  KEKD_ASSERT_OK(
      Apply(*writer, CreateVersion{.backend = "fake", .custody = Custody::kEnvelope}, 1));
  KEKD_ASSERT_OK(Add(*writer, *KeyFileWrapper(second_file_), 2));
  const KeyMaterial before = writer->current()->Get()->keyring().Find(2)->material;
  const int asked = device->CallCount(FakeKeyBackend::Call::kDecrypt);
  KEKD_ASSERT_OK(Apply(*writer, Replacement({2}, {{1, first.get()}}), 3));
  EXPECT_EQ(writer->current()->Get()->keyring().Find(2)->material, before);
  EXPECT_EQ(device->CallCount(FakeKeyBackend::Call::kDecrypt), asked);
}

TEST_F(RingKeyWrapsTest, RefusesWhatWouldLockTheRing) {
  const auto first = KeyFileWrapper(ring_.key_file());
  const auto second = KeyFileWrapper(second_file_);
  const auto writer = Writer();
  KEKD_ASSERT_OK(Add(*writer, *second, 1));
  // kekd's configuration has the first only.
  EXPECT_THAT(Apply(*writer, Replacement({1}, {{2, second.get()}}), 2),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("unlock")));
  EXPECT_THAT(Apply(*writer, Replacement({1, 2}, {}), 2),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  // One is forgotten, one is unknown, one is invented.
  EXPECT_THAT(Apply(*writer, Replacement({}, {{1, first.get()}}), 2),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(Apply(*writer, Replacement({7}, {{1, first.get()}}), 2),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("no wrap 7")));
  EXPECT_THAT(Apply(*writer, Replacement({2}, {{3, first.get()}}), 2),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(Apply(*writer, Replacement({2}, {{2, first.get()}}), 2),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(Apply(*writer, Replacement({2, 2}, {}), 2).status(), ::testing::Not(testing::IsOk()));
  // A wrap that is named twice must not hide that another is left out.
  KEKD_ASSERT_OK(Add(*writer, *Passphrase(), 3));
  EXPECT_THAT(Apply(*writer, Replacement({2, 2}, {{1, first.get()}}), 4),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  const std::string record = ReadTestFile(ring_.record());
  // The ring key that there is.
  ReplaceRingKey same{.removed = {2, 3},
                      .wraps = {*first->WrapRingKey(*store_->ring_key()->Get(), TestIdentity())}};
  same.wraps[0].number = 1;
  EXPECT_THAT(Apply(*writer, same, 2), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(ReadTestFile(ring_.record()), record);
}

// A rollback to a generation under an earlier ring key must not cost what came after it.
TEST_F(RingKeyWrapsTest, KeepsWhatARollbackLeftUnderALaterRingKey) {
  const auto first = KeyFileWrapper(ring_.key_file());
  std::string older;
  {
    const auto writer = Writer();
    KEKD_ASSERT_OK(Add(*writer, *KeyFileWrapper(second_file_), 1));
    older = ReadTestFile(ring_.record());
    KEKD_ASSERT_OK(Apply(*writer, Replacement({2}, {{1, first.get()}}), 2));
    for (uint8_t i = 0; i < FileKeyringStore::kKeptGenerations + 4; ++i) {
      KEKD_ASSERT_OK(Apply(*writer, CreateVersion{"software"}, static_cast<uint8_t>(10 + i)));
    }
  }
  const std::string newest = ReadTestFile(ring_.record());
  WriteTestFile(ring_.record(), older);
  KEKD_ASSERT_OK(FileKeyringStore::AcceptRollback(ring_.Options(), 2));
  {
    const auto writer = Writer();
    KEKD_ASSERT_OK(Apply(*writer, CreateVersion{"software"}, 90));
    KEKD_ASSERT_OK(Apply(*writer, CreateVersion{"software"}, 91));
  }
  constexpr uint64_t kNewest = 3 + FileKeyringStore::kKeptGenerations + 4;
  EXPECT_EQ(ReadTestFile(ring_.generation(kNewest)), newest);
  EXPECT_TRUE(TestFileExists(ring_.generation(kNewest - 1)));
}

// What was accepted as older is not acceptable for ever.
TEST_F(RingKeyWrapsTest, AnAcceptedRollbackEndsWhenTheNewestIsBack) {
  const std::string older = ReadTestFile(ring_.record());
  KEKD_ASSERT_OK(Apply(*Writer(), CreateVersion{"software"}, 1));
  const std::string newest = ReadTestFile(ring_.record());
  WriteTestFile(ring_.record(), older);
  KEKD_ASSERT_OK(FileKeyringStore::AcceptRollback(ring_.Options(), 1));
  WriteTestFile(ring_.record(), newest);
  KEKD_ASSERT_OK(ring_.Open(Access::kExclusive));
  WriteTestFile(ring_.record(), older);
  EXPECT_THAT(ring_.Open(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("rolled back")));
}

TEST_F(RingKeyWrapsTest, RefusesWrapsThatCostMoreToOpenThanUsual) {
  const auto writer = Writer();
  Wrap wrap = *Passphrase()->WrapRingKey(*store_->ring_key()->Get(), TestIdentity());
  wrap.number = 2;
  wrap.kdf->iterations *= 10;
  EXPECT_THAT(Apply(*writer, AddWrap{wrap}, 1), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(RingKeyWrapsTest, TellsARepeatedRequestFromAReusedId) {
  const auto writer = Writer();
  const Transition create = CreateVersion{"software"};
  KEKD_ASSERT_OK(Apply(*writer, create, 1));
  KEKD_ASSERT_OK_AND_ASSIGN(const auto again, Apply(*writer, create, 1));
  EXPECT_EQ(again.version, 2u);
  EXPECT_THAT(Apply(*writer, PromoteVersion{2}, 1),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("request id")));
}

TEST_F(RingKeyWrapsTest, NewSecretsAreTakenOnlyIfTheyOpenTheRing) {
  const auto writer = Writer();
  std::vector<std::unique_ptr<RingKeyWrapper>> wrappers;
  wrappers.push_back(KeyFileWrapper(second_file_));
  EXPECT_THAT(store_->SetWrappers(std::move(wrappers)), StatusIs(absl::StatusCode::kDataLoss));
  const auto first = KeyFileWrapper(ring_.key_file());
  const auto second = KeyFileWrapper(second_file_);
  KEKD_ASSERT_OK(Add(*writer, *second, 1));
  wrappers.clear();
  wrappers.push_back(KeyFileWrapper(second_file_));
  KEKD_ASSERT_OK(store_->SetWrappers(std::move(wrappers)));
  // And then the first wrap can go.
  KEKD_EXPECT_OK(Apply(*writer, Replacement({1}, {{2, second.get()}}), 2));
}

// The mark of another node, or one that a power cut kept from being raised, is under the former
// ring key.
TEST_F(RingKeyWrapsTest, KnowsAMarkUnderTheFormerRingKey) {
  const std::string mark = ReadTestFile(ring_.high_water());
  {
    const auto first = KeyFileWrapper(ring_.key_file());
    const auto writer = Writer();
    KEKD_ASSERT_OK(Add(*writer, *KeyFileWrapper(second_file_), 1));
    KEKD_ASSERT_OK(Apply(*writer, Replacement({2}, {{1, first.get()}}), 2));
  }
  const std::string raised = ReadTestFile(ring_.high_water());
  WriteTestFile(ring_.high_water(), mark);
  KEKD_ASSERT_OK(ring_.Open(Access::kReadOnly));
  KEKD_ASSERT_OK(ring_.Open(Access::kExclusive));
  // It is raised, under the new ring key.
  EXPECT_EQ(ReadTestFile(ring_.high_water()), raised);
  std::string altered = mark;
  altered[30] ^= 1;
  WriteTestFile(ring_.high_water(), altered);
  EXPECT_THAT(ring_.Open(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("high-water")));
}

TEST_F(RingKeyWrapsTest, ARingOfFormat1IsServedAndChangedAndRefusesNewerThings) {
  WriteInFormat(1);
  const auto writer = Writer();
  EXPECT_EQ(writer->current()->Get()->keyring().format(), 1u);
  KEKD_ASSERT_OK(Apply(*writer, CreateVersion{"software"}, 1));
  EXPECT_EQ(writer->current()->Get()->keyring().format(), 1u);
  EXPECT_THAT(Add(*writer, *Passphrase(), 2),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("keyring upgrade")));
  KEKD_ASSERT_OK(Apply(*writer, UpgradeFormat{}, 3));
  EXPECT_EQ(writer->current()->Get()->keyring().format(), Keyring::kFormat);
  EXPECT_THAT(Apply(*writer, UpgradeFormat{}, 4),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("already")));
  KEKD_EXPECT_OK(Add(*writer, *Passphrase(), 5));
  EXPECT_EQ(writer->current()->Get()->keyring().versions().size(), 2u);
}

class RingKeyFaultTest : public RingKeyWrapsTest,
                         public ::testing::WithParamInterface<Fault::Kind> {};

// Every call of the change of the ring key fails once in every way: there is always a ring that
// opens, and its keys are those that there were.
TEST_P(RingKeyFaultTest, LeavesTheOldRingKeyOrTheNewOne) {
  const auto first = KeyFileWrapper(ring_.key_file());
  const auto second = KeyFileWrapper(second_file_);
  uint8_t request = 0;
  for (size_t call = 0;; ++call) {
    SCOPED_TRACE(call);
    ASSERT_LT(call, 200u);
    FaultInjectingFileSystem fs;
    bool acknowledged = false;
    bool injected = false;
    uint32_t number_before = 0;
    {
      const auto writer = Writer(fs);
      const Keyring& ring = writer->current()->Get()->keyring();
      number_before = ring.ring_key_number();
      const uint32_t wrap = ring.next_wrap_number();
      KEKD_ASSERT_OK(Add(*writer, *second, ++request));
      fs.Reset();
      fs.Inject({.call = call, .kind = GetParam(), .error = EIO, .written = 7});
      acknowledged = Apply(*writer, Replacement({wrap}, {{1, first.get()}}), ++request).ok();
      injected = fs.injected_all();
    }
    // After a restart, on a file system that works.
    {
      const auto writer = Writer();
      const auto opened = writer->current()->Get();
      for (const auto& entry : opened->entries()) {
        KEKD_ASSERT_OK(entry.status);
        KEKD_ASSERT_OK(
            CheckCanary(TestIdentity(), *entry.version, *entry.key, absl::InfiniteFuture()));
      }
      const bool renewed = opened->keyring().ring_key_number() != number_before;
      EXPECT_TRUE(renewed || !acknowledged);
      // Whatever was cut off, it can be done now, and then nothing else opens the ring.
      const auto& wraps = opened->keyring().ring_key_wraps();
      if (wraps.size() > 1) {
        KEKD_ASSERT_OK(
            Apply(*writer, Replacement({wraps.back().number}, {{1, first.get()}}), ++request));
      } else {
        KEKD_ASSERT_OK(Apply(*writer, CreateVersion{"software"}, ++request));
      }
    }
    EXPECT_THAT(OpenWith(KeyFileWrapper(second_file_)), StatusIs(absl::StatusCode::kDataLoss));
    KEKD_ASSERT_OK_AND_ASSIGN(const auto reports,
                              FileKeyringStore::Verify(OptionsWith(KeyFileWrapper(second_file_))));
    for (const auto& report : reports) EXPECT_FALSE(report.status.ok()) << report.path;
    if (!injected) {
      EXPECT_TRUE(acknowledged);
      EXPECT_GT(call, 20u);
      break;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(, RingKeyFaultTest,
                         ::testing::Values(Fault::Kind::kError, Fault::Kind::kErrorAfterDone,
                                           Fault::Kind::kShortWrite, Fault::Kind::kCrash));

}  // namespace
}  // namespace kekd
