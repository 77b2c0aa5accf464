#include "keystore/keyring_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "keystore/envelope_key_backend.h"
#include "tests/fakes/fake_key_backend.h"
#include "tests/fakes/fault_injecting_file_system.h"
#include "tests/keystore/test_ring.h"
#include "tests/support/secrets.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace kekd {
namespace {

using ::kekd::testing::FakeKeyBackend;
using ::kekd::testing::Fault;
using ::kekd::testing::FaultInjectingFileSystem;
using ::kekd::testing::ReadTestFile;
using ::kekd::testing::RevealedText;
using ::kekd::testing::SecretFromText;
using ::kekd::testing::StatusIs;
using ::kekd::testing::TestRing;
using ::kekd::testing::TestUuid;
using ::kekd::testing::WriteTestFile;
using ::testing::HasSubstr;
using Call = ::kekd::testing::FakeKeyBackend::Call;

class KeyringWriterTest : public ::testing::Test {
 protected:
  void SetUp() override {
    KEKD_ASSERT_OK(ring_.Create());
    OpenWriter();
  }
  // The first thing that the new backend's device is asked to decrypt fails as `first_decrypt`
  // says.
  void OpenWriter(absl::Duration open_timeout = absl::InfiniteDuration(),
                  const absl::Status& first_decrypt = absl::OkStatus()) {
    writer_.reset();  // lets the lock go
    KEKD_ASSERT_OK_AND_ASSIGN(std::unique_ptr<FileKeyringStore> store,
                              ring_.Open(FileKeyringStore::Access::kExclusive, fs_));
    auto fake = std::make_unique<FakeKeyBackend>(device_);
    fake_ = fake.get();
    if (!first_decrypt.ok()) fake_->QueueFailure(Call::kDecrypt, first_decrypt);
    KEKD_ASSERT_OK_AND_ASSIGN(
        writer_, ring_.OpenWriter(std::move(store),
                                  CreateEnvelopeKeyBackend(std::move(fake), WrapType::kPkcs11,
                                                           RandomSource::System()),
                                  open_timeout));
  }
  absl::StatusOr<KeyringWriter::Applied> Apply(const Transition& transition, uint64_t expected,
                                               uint8_t request) {
    return writer_->Apply(transition, expected, TestUuid(request), absl::InfiniteFuture());
  }
  const Keyring& Served() const { return writer_->current()->Get()->keyring(); }
  // What a restarted kekd would find.
  std::shared_ptr<const Keyring> Stored() {
    return *(*ring_.Open(FileKeyringStore::Access::kReadOnly))->Load();
  }

  TestRing ring_;
  FaultInjectingFileSystem fs_;
  const std::shared_ptr<FakeKeyBackend::Device> device_ = FakeKeyBackend::NewDevice();
  FakeKeyBackend* fake_ = nullptr;
  std::unique_ptr<KeyringWriter> writer_;
};

TEST_F(KeyringWriterTest, CreatesAndPromotesDurablyBeforeItServes) {
  KEKD_ASSERT_OK_AND_ASSIGN(const KeyringWriter::Applied created,
                            Apply(CreateVersion{"software"}, 1, 1));
  EXPECT_EQ(created.version, 2u);
  EXPECT_EQ(created.keyring->keyring().generation(), 2u);
  EXPECT_EQ(Served().Find(2)->state, KeyState::kPreActivation);
  EXPECT_EQ(Served().Primary()->number, 1u);
  EXPECT_EQ(Stored()->versions(), Served().versions());

  ring_.clock().Advance(absl::Minutes(5));
  KEKD_ASSERT_OK_AND_ASSIGN(const KeyringWriter::Applied promoted, Apply(PromoteVersion{2}, 2, 2));
  EXPECT_EQ(promoted.version, 2u);
  EXPECT_EQ(Served().Primary()->number, 2u);
  EXPECT_EQ(Served().Primary()->activation_time, ring_.clock().Now());
  EXPECT_EQ(Stored()->Primary()->number, 2u);
  KEKD_EXPECT_OK(writer_->CheckStore());
}

TEST_F(KeyringWriterTest, RepeatedRequestChangesNothingWhateverItExpects) {
  KEKD_ASSERT_OK(Apply(CreateVersion{"software"}, 1, 1));
  for (const uint64_t expected : {1u, 2u, 99u}) {
    KEKD_ASSERT_OK_AND_ASSIGN(const KeyringWriter::Applied again,
                              Apply(CreateVersion{"software"}, expected, 1));
    EXPECT_EQ(again.version, 2u);
    EXPECT_EQ(again.keyring->keyring().generation(), 2u);
  }
  OpenWriter();  // also after a restart
  KEKD_ASSERT_OK_AND_ASSIGN(const KeyringWriter::Applied again,
                            Apply(CreateVersion{"software"}, 1, 1));
  EXPECT_EQ(again.version, 2u);
  EXPECT_EQ(Served().versions().size(), 2u);
}

TEST_F(KeyringWriterTest, TellsWhoComesTooLateWhoWasFirst) {
  KEKD_ASSERT_OK(writer_->Apply(CreateVersion{"software"}, 1, TestUuid(1), absl::InfiniteFuture(),
                                "uid 0 (pid 123)"));
  ring_.clock().Advance(absl::Seconds(3));
  EXPECT_THAT(
      Apply(CreateVersion{"software"}, 1, 2),
      StatusIs(absl::StatusCode::kAborted,
               HasSubstr("changed 3 s ago by uid 0 (pid 123): created key version 2; look at it")));
  KEKD_ASSERT_OK(Apply(PromoteVersion{2}, 2, 3));
  EXPECT_THAT(Apply(CreateVersion{"software"}, 2, 4),
              StatusIs(absl::StatusCode::kAborted,
                       HasSubstr("changed 0 s ago: promoted key version 2; look at it")));
  OpenWriter();
  EXPECT_THAT(Apply(CreateVersion{"software"}, 2, 5),
              StatusIs(absl::StatusCode::kAborted, HasSubstr("somebody changed it; look at it")));
}

TEST_F(KeyringWriterTest, RefusesAnotherGenerationThanTheExpected) {
  for (const uint64_t expected : {0u, 2u}) {
    EXPECT_THAT(Apply(CreateVersion{"software"}, expected, 1),
                StatusIs(absl::StatusCode::kAborted));
  }
  EXPECT_EQ(Served().versions().size(), 1u);
  EXPECT_EQ(fake_->CallCount(Call::kGenerateKey), 0);
}

TEST_F(KeyringWriterTest, RemembersTheGenerationThatTheCommitReallyGave) {
  KEKD_ASSERT_OK(Apply(CreateVersion{"software"}, 1, 1));
  KEKD_ASSERT_OK(Apply(CreateVersion{"software"}, 2, 2));
  writer_.reset();
  WriteTestFile(ring_.record(), ReadTestFile(ring_.generation(2)));
  KEKD_ASSERT_OK(FileKeyringStore::AcceptRollback(ring_.Options(), 2));
  OpenWriter();
  KEKD_ASSERT_OK(Apply(CreateVersion{"software"}, 2, 3));
  EXPECT_EQ(Served().generation(), 4u);
  EXPECT_EQ(Served().FindApplied(TestUuid(3))->generation, 4u);
  EXPECT_EQ(Stored()->FindApplied(TestUuid(3))->generation, 4u);
}

TEST_F(KeyringWriterTest, CommitsOnceMoreWhatACommitLeftThatFailedLate) {
  // The rename is done, only the folder's sync is not: the change has taken place, but may be gone
  // after a power cut. A second commit makes sure.
  fs_.Inject({.call_name = "SyncDirectory", .error = EIO});
  KEKD_ASSERT_OK_AND_ASSIGN(const KeyringWriter::Applied applied,
                            Apply(CreateVersion{"software"}, 1, 1));
  EXPECT_EQ(applied.version, 2u);
  EXPECT_EQ(Served().generation(), 3u);
  EXPECT_EQ(Stored()->generation(), 3u);
  EXPECT_EQ(Served().versions(), Stored()->versions());
  EXPECT_EQ(Served().versions().size(), 2u);
}

TEST_F(KeyringWriterTest, AnswersDoneOnlyOnceTheStoreHasSaidSo) {
  // From the folder's sync on nothing works: the change may have taken place, but nobody knows.
  fs_.Inject(
      {.call_name = "SyncDirectory", .kind = kekd::testing::Fault::Kind::kCrash, .error = EIO});
  EXPECT_THAT(Apply(CreateVersion{"software"}, 1, 1),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("not known")));
  EXPECT_EQ(Served().generation(), 1u);
  fs_.Reset();
  // The same request later finds it, commits it once more and is answered as the first would have.
  KEKD_ASSERT_OK_AND_ASSIGN(const KeyringWriter::Applied again,
                            Apply(CreateVersion{"software"}, 1, 1));
  EXPECT_EQ(again.version, 2u);
  EXPECT_EQ(Served().versions().size(), 2u);
  EXPECT_EQ(Served().versions(), Stored()->versions());
}

TEST_F(KeyringWriterTest, ServesTheOldRingWhenACommitFailsEarly) {
  fs_.Inject({.call_name = "Append", .error = ENOSPC});
  EXPECT_THAT(Apply(CreateVersion{"software"}, 1, 1),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("ENOSPC")));
  EXPECT_EQ(Served().generation(), 1u);
  EXPECT_EQ(Stored()->generation(), 1u);
  KEKD_EXPECT_OK(Apply(CreateVersion{"software"}, 1, 1));
}

// Whatever call fails, what is served is what is stored, and the same request goes through later.
TEST_F(KeyringWriterTest, ServesWhatIsStoredAfterEveryFault) {
  uint8_t request = 0;
  for (size_t call = 0;; ++call) {
    SCOPED_TRACE(call);
    ++request;
    const uint64_t generation = Served().generation();
    const uint32_t next = Served().NextVersionNumber();
    fs_.Reset();
    fs_.Inject({.call = call, .error = EIO});
    const bool applied = Apply(CreateVersion{"software"}, generation, request).ok();
    const bool injected = fs_.injected_all();
    fs_.Reset();
    if (applied) {
      EXPECT_GE(Served().generation(), generation + 1);  // a late failure is committed once more
    }
    EXPECT_EQ(Served().versions(), Stored()->versions());
    KEKD_EXPECT_OK(writer_->CheckStore());
    KEKD_ASSERT_OK_AND_ASSIGN(const KeyringWriter::Applied again,
                              Apply(CreateVersion{"software"}, generation, request));
    EXPECT_EQ(again.version, next);
    if (!injected) break;
    ASSERT_LT(call, 200u);
  }
}

TEST_F(KeyringWriterTest, PromotesNothingThatDoesNotProveItsKey) {
  KEKD_ASSERT_OK(Apply(CreateVersion{"fake"}, 1, 1));
  fake_->QueueFailure(Call::kDecrypt, absl::InvalidArgumentError("not authentic"));
  EXPECT_THAT(Apply(PromoteVersion{2}, 2, 2),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("can't be promoted")));
  fake_->QueueFailure(Call::kDecrypt, absl::UnavailableError("away"));
  EXPECT_THAT(Apply(PromoteVersion{2}, 2, 3), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(Served().Primary()->number, 1u);
  EXPECT_EQ(Stored()->generation(), 2u);
  KEKD_EXPECT_OK(Apply(PromoteVersion{2}, 2, 4));
  EXPECT_EQ(Served().Primary()->number, 2u);
}

TEST_F(KeyringWriterTest, PromotesNothingThatIsNotInEveryPlaceThatIsToHoldIt) {
  KEKD_ASSERT_OK(Apply(CreateVersion{"fake"}, 1, 1));
  fake_->QueueFailure(Call::kProveEverywhere, absl::FailedPreconditionError("token b lacks it"));
  EXPECT_THAT(Apply(PromoteVersion{2}, 2, 2),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("can't be promoted"), HasSubstr("token b lacks it"))));
  EXPECT_EQ(Served().Primary()->number, 1u);
  KEKD_EXPECT_OK(Apply(PromoteVersion{2}, 2, 3));
}

TEST_F(KeyringWriterTest, PromotesNothingThatCouldNotBeOpenedUntilItCan) {
  KEKD_ASSERT_OK(Apply(CreateVersion{"fake"}, 1, 1));
  fake_ = nullptr;
  writer_.reset();
  KEKD_ASSERT_OK_AND_ASSIGN(std::unique_ptr<FileKeyringStore> store, ring_.Open());
  auto fake = std::make_unique<FakeKeyBackend>(device_);
  fake->QueueFailure(Call::kOpenKey, absl::UnavailableError("token is away"));
  KEKD_ASSERT_OK_AND_ASSIGN(writer_, ring_.OpenWriter(std::move(store), std::move(fake)));
  EXPECT_THAT(Apply(PromoteVersion{2}, 2, 2),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("token is away")));
  writer_->Reopen(absl::InfiniteFuture());
  KEKD_EXPECT_OK(Apply(PromoteVersion{2}, 2, 2));
}

TEST_F(KeyringWriterTest, CreatesInTheCustodyThatIsAskedFor) {
  const CreateVersion wrapped{.backend = "fake", .custody = Custody::kEnvelope};
  KEKD_ASSERT_OK(Apply(wrapped, 1, 1));
  EXPECT_EQ(Stored()->Find(2)->material.custody, Custody::kEnvelope);
  EXPECT_EQ(Stored()->Find(2)->material.wraps[0].type, WrapType::kPkcs11);
  KEKD_ASSERT_OK(Apply(CreateVersion{"fake"}, 2, 2));
  EXPECT_EQ(Stored()->Find(3)->material.custody, Custody::kDevice);
  EXPECT_THAT(Apply(CreateVersion{.backend = "software", .custody = Custody::kDevice}, 3, 3),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("\"envelope\" only")));
  EXPECT_EQ(Served().versions().size(), 3u);
  // The same request again is not the same with another custody.
  KEKD_EXPECT_OK(Apply(wrapped, 1, 1));
  EXPECT_THAT(Apply(CreateVersion{"fake"}, 1, 1), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Apply(CreateVersion{.backend = "fake", .custody = Custody::kDevice}, 1, 1),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(KeyringWriterTest, OpensAWrappedKeyLaterThatItsDeviceDidNotUnwrapYet) {
  KEKD_ASSERT_OK(Apply(CreateVersion{.backend = "fake", .custody = Custody::kEnvelope}, 1, 1));
  KEKD_ASSERT_OK(Apply(PromoteVersion{2}, 2, 2));
  OpenWriter(KeyringWriter::kReopenTimeout, absl::UnavailableError("away"));
  EXPECT_LT(fake_->LastDeadline(Call::kOpenKey), absl::Now() + absl::Seconds(4));
  EXPECT_THAT(writer_->current()->Get()->Primary()->status,
              StatusIs(absl::StatusCode::kUnavailable));
  fake_->QueueFailure(Call::kOpenKey, absl::UnavailableError("away"));
  for (const bool opened : {false, true, true}) {
    writer_->Reopen(absl::InfiniteFuture());
    EXPECT_EQ(writer_->current()->Get()->Primary()->status.ok(), opened);
  }
  EXPECT_EQ(fake_->CallCount(Call::kDecrypt), 2);  // once that failed, and once
}

TEST_F(KeyringWriterTest, LeavesNoWrappingKeyOnTheDeviceThatNothingUses) {
  const CreateVersion wrapped{.backend = "fake", .custody = Custody::kEnvelope};
  fs_.Inject({.call_name = "Append", .error = ENOSPC});  // the commit fails early
  EXPECT_FALSE(Apply(wrapped, 1, 1).ok());
  EXPECT_EQ(fake_->KeyCount(), 0);
  // The canary can't be made.
  fake_->Queue(Call::kDecrypt, [] { return absl::OkStatus(); });
  fake_->QueueFailure(Call::kDecrypt, absl::UnavailableError("away"));
  EXPECT_FALSE(Apply(wrapped, 1, 2).ok());
  EXPECT_EQ(fake_->KeyCount(), 0);
  KEKD_EXPECT_OK(Apply(wrapped, 1, 3));
  EXPECT_EQ(fake_->KeyCount(), 1);
}

TEST_F(KeyringWriterTest, MovesFromSoftwareToDeviceToEnvelopeAndBackWithAllStillOpening) {
  std::vector<std::pair<uint32_t, std::string>> stored;
  const auto encrypt = [&] {
    const OpenKeyring::Entry& primary = *writer_->current()->Get()->Primary();
    stored.emplace_back(
        primary.version->number,
        *primary.key->Encrypt(SecretFromText("seed"), AsBytes(primary.associated_data),
                              absl::InfiniteFuture()));
  };
  const auto expect_all_open = [&] {
    const std::shared_ptr<const OpenKeyring> now = writer_->current()->Get();
    for (const auto& [number, sealed] : stored) {
      const OpenKeyring::Entry& entry = *now->Find(number);
      KEKD_ASSERT_OK(entry.status);
      KEKD_ASSERT_OK_AND_ASSIGN(const SecretBytes opened,
                                entry.key->Decrypt(AsBytes(sealed), AsBytes(entry.associated_data),
                                                   absl::InfiniteFuture()));
      EXPECT_EQ(RevealedText(opened), "seed") << number;
    }
  };
  encrypt();
  uint8_t request = 0;
  for (const CreateVersion& next :
       {CreateVersion{"fake"}, CreateVersion{.backend = "fake", .custody = Custody::kEnvelope},
        CreateVersion{"software"}}) {
    KEKD_ASSERT_OK_AND_ASSIGN(const KeyringWriter::Applied made,
                              Apply(next, Served().generation(), ++request));
    KEKD_ASSERT_OK(Apply(PromoteVersion{made.version}, Served().generation(), ++request));
    encrypt();
    expect_all_open();
    OpenWriter();  // as after a restart
    expect_all_open();
  }
  EXPECT_EQ(stored.size(), 4u);
}

TEST_F(KeyringWriterTest, RefusesUnknownVersionsAndBackends) {
  EXPECT_THAT(Apply(PromoteVersion{9}, 1, 1), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(Apply(PromoteVersion{1}, 1, 1), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(Apply(CreateVersion{"pkcs11"}, 1, 1),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(Stored()->generation(), 1u);
}

TEST_F(KeyringWriterTest, AdoptsAKeyAsItIs) {
  const std::string reference = fake_->AddForeignKey();
  KEKD_ASSERT_OK_AND_ASSIGN(const KeyringWriter::Applied adopted,
                            Apply(AdoptKey{.backend = "fake", .reference = reference}, 1, 1));
  EXPECT_EQ(adopted.version, 2u);
  EXPECT_EQ(Stored()->Find(2)->material.key_reference, reference + "?for=2");
  EXPECT_EQ(Served().Find(2)->state, KeyState::kPreActivation);
  EXPECT_EQ(fake_->CallCount(Call::kGenerateKey), 0);
  KEKD_EXPECT_OK(Apply(PromoteVersion{2}, 2, 2));
  EXPECT_THAT(Apply(AdoptKey{.backend = "fake", .reference = reference}, 3, 3),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("key version 2 already")));
}

TEST_F(KeyringWriterTest, WaitsNotLongForDevicesIfItsOwnerDoesNot) {
  KEKD_ASSERT_OK(Apply(CreateVersion{"fake"}, 1, 1));
  OpenWriter();
  EXPECT_EQ(fake_->LastDeadline(Call::kOpenKey), absl::InfiniteFuture());
  OpenWriter(KeyringWriter::kReopenTimeout);
  EXPECT_EQ(fake_->CallCount(Call::kOpenKey), 1);
  EXPECT_LT(fake_->LastDeadline(Call::kOpenKey), absl::Now() + absl::Seconds(4));
}

TEST_F(KeyringWriterTest, AdoptsNothingThatIsNotFit) {
  const std::string reference = fake_->AddForeignKey(/*extractable=*/true);
  EXPECT_THAT(Apply(AdoptKey{.backend = "fake", .reference = reference}, 1, 1),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("could leave")));
  EXPECT_THAT(Apply(AdoptKey{.backend = "software", .reference = "x"}, 1, 2),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("can't adopt")));
  EXPECT_THAT(Apply(AdoptKey{.backend = "fake", .reference = "fake:key-99"}, 1, 3),
              StatusIs(absl::StatusCode::kNotFound));
  fake_->QueueWrongPlaintext();
  const AdoptKey allowed{.backend = "fake", .reference = reference, .allow_extractable = true};
  EXPECT_THAT(Apply(allowed, 1, 4), StatusIs(absl::StatusCode::kInternal));
  EXPECT_EQ(Served().generation(), 1u);
  EXPECT_EQ(fake_->KeyCount(), 1);
  KEKD_EXPECT_OK(Apply(allowed, 1, 5));
}

TEST_F(KeyringWriterTest, LeavesNoKeyOnTheDeviceThatNothingUses) {
  fake_->QueueWrongPlaintext();  // the proof fails
  EXPECT_THAT(Apply(CreateVersion{"fake"}, 1, 1), StatusIs(absl::StatusCode::kInternal));
  EXPECT_EQ(fake_->KeyCount(), 0);
  fs_.Inject({.call_name = "Append", .error = ENOSPC});  // the commit fails early
  EXPECT_FALSE(Apply(CreateVersion{"fake"}, 1, 2).ok());
  EXPECT_EQ(fake_->KeyCount(), 0);
  EXPECT_EQ(fake_->CallCount(Call::kDestroyKey), 2);
  KEKD_EXPECT_OK(Apply(CreateVersion{"fake"}, 1, 3));
  EXPECT_EQ(fake_->KeyCount(), 1);
}

// Whatever call fails: there is a key for each version of the record, and for no other.
TEST_F(KeyringWriterTest, HasAKeyForEachStoredVersionAfterEveryFault) {
  uint8_t request = 0;
  for (const Fault::Kind kind : {Fault::Kind::kError, Fault::Kind::kErrorAfterDone}) {
    for (size_t call = 0;; ++call) {
      SCOPED_TRACE(call);
      fs_.Reset();
      fs_.Inject({.call = call, .kind = kind, .error = EIO});
      (void)Apply(CreateVersion{"fake"}, Served().generation(), ++request);
      const bool injected = fs_.injected_all();
      fs_.Reset();
      const auto stored = Stored();
      int versions = 0;
      for (const KeyVersion& version : stored->versions()) versions += version.backend == "fake";
      EXPECT_EQ(fake_->KeyCount(), versions);
      if (!injected) break;
      ASSERT_LT(call, 100u);
    }
  }
  EXPECT_GT(fake_->CallCount(Call::kDestroyKey), 0);
}

TEST_F(KeyringWriterTest, KeepsAKeyIfTheOutcomeIsNotKnown) {
  fs_.Inject({.call_name = "SyncDirectory", .kind = Fault::Kind::kCrash, .error = EIO});
  EXPECT_THAT(Apply(CreateVersion{"fake"}, 1, 1),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("not known")));
  fs_.Reset();
  EXPECT_EQ(fake_->KeyCount(), 1);
  EXPECT_EQ(fake_->CallCount(Call::kDestroyKey), 0);
  KEKD_EXPECT_OK(Apply(CreateVersion{"fake"}, 1, 1));  // it was in the record
  EXPECT_EQ(fake_->KeyCount(), 1);
}

TEST_F(KeyringWriterTest, NeverDestroysAnAdoptedKey) {
  const std::string reference = fake_->AddForeignKey();
  fs_.Inject({.call_name = "Append", .error = ENOSPC});
  EXPECT_FALSE(Apply(AdoptKey{.backend = "fake", .reference = reference}, 1, 1).ok());
  EXPECT_EQ(fake_->KeyCount(), 1);
  EXPECT_EQ(fake_->CallCount(Call::kDestroyKey), 0);
}

TEST_F(KeyringWriterTest, NoticesThatTheFileWasReplacedUnderIt) {
  KEKD_ASSERT_OK(Apply(CreateVersion{"software"}, 1, 1));
  WriteTestFile(ring_.record(), ReadTestFile(ring_.generation(1)));
  EXPECT_THAT(writer_->CheckStore(), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_EQ(Served().versions().size(), 2u);
}

}  // namespace
}  // namespace kekd
