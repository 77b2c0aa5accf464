#include "kms/service/envelope_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "keystore/ciphertext.h"
#include "tests/kms/rings/test_ring.h"
#include "tests/support/secrets.h"
#include "tests/support/status_matchers.h"

namespace kekd::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr absl::string_view kUid = "3f5c0f5e-6f0b-4f63-8a43-6a1b8e6f2d10";

class EnvelopeServiceTest : public ::testing::Test {
 protected:
  EnvelopeServiceTest() : service_(ring_.current(), health_) {}

  EnvelopeService::Encrypted Encrypt(
      absl::string_view plaintext = "a DEK seed of 32 bytes, no less!") {
    return service_.Encrypt(SecretFromText(plaintext), kUid, absl::InfiniteFuture()).value();
  }
  absl::StatusOr<SecretBytes> Decrypt(absl::string_view ciphertext, absl::string_view key_id,
                                      size_t annotations = 0) {
    return service_.Decrypt({ciphertext, key_id, kUid, annotations}, absl::InfiniteFuture());
  }

  TestRing ring_;
  std::shared_ptr<KeyringHealth> health_ = std::make_shared<KeyringHealth>();
  EnvelopeService service_;
};

TEST_F(EnvelopeServiceTest, HasNoStatusWithoutAnActiveVersion) {
  EXPECT_THAT(service_.Status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("kekctl key promote")));
  ring_.Create();  // pre-activation is not enough
  EXPECT_THAT(service_.Status(), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(service_.Encrypt(SecretFromText("x"), kUid, absl::InfiniteFuture()),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(EnvelopeServiceTest, GivesBackWhatItEncrypted) {
  ring_.CreateAndPromote();
  for (const size_t size : {1, 32, 512}) {
    const std::string plaintext(size, 'p');
    const EnvelopeService::Encrypted encrypted = Encrypt(plaintext);
    EXPECT_EQ(encrypted.key_id, service_.Status()->key_id);
    EXPECT_LE(encrypted.ciphertext.size(), EnvelopeService::kMaxCiphertextBytes);
    KEKD_ASSERT_OK_AND_ASSIGN(const SecretBytes opened,
                              Decrypt(encrypted.ciphertext, encrypted.key_id));
    EXPECT_EQ(RevealedText(opened), plaintext);
  }
}

TEST_F(EnvelopeServiceTest, StatusNeverAsksTheBackend) {
  ring_.CreateAndPromote();
  const auto calls = [this] {
    return ring_.backend().CallCount(FakeKeyBackend::Call::kEncrypt) +
           ring_.backend().CallCount(FakeKeyBackend::Call::kDecrypt) +
           ring_.backend().CallCount(FakeKeyBackend::Call::kProbe);
  };
  const int before = calls();
  for (int i = 0; i < 10; ++i) KEKD_EXPECT_OK(service_.Status());
  EXPECT_EQ(calls(), before);
}

TEST_F(EnvelopeServiceTest, RefusesPlaintextsItCouldNotHandOut) {
  ring_.CreateAndPromote();
  EXPECT_THAT(service_.Encrypt(SecretBytes(), kUid, absl::InfiniteFuture()),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(service_.Encrypt(SecretBytes(513), kUid, absl::InfiniteFuture()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("513")));
  EXPECT_THAT(service_.Encrypt(SecretBytes(32), std::string(1025, 'u'), absl::InfiniteFuture()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("uid")));
}

TEST_F(EnvelopeServiceTest, NeverHandsOutWhatItCouldNotDecrypt) {
  ring_.CreateAndPromote();
  ring_.backend().QueueCorruptedCiphertext();
  EXPECT_THAT(service_.Encrypt(SecretBytes(32), kUid, absl::InfiniteFuture()),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("verified")));
  ring_.backend().QueueWrongPlaintext();
  EXPECT_THAT(service_.Encrypt(SecretBytes(32), kUid, absl::InfiniteFuture()),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("verified")));
  // A device that went away between the two calls is no broken key.
  ring_.backend().QueueFailure(FakeKeyBackend::Call::kDecrypt, absl::UnavailableError("away"));
  EXPECT_THAT(service_.Encrypt(SecretBytes(32), kUid, absl::InfiniteFuture()),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("verified")));
  KEKD_EXPECT_OK(service_.Encrypt(SecretBytes(32), kUid, absl::InfiniteFuture()));
}

TEST_F(EnvelopeServiceTest, KeepsTheReasonOfABackendsFailureToItself) {
  ring_.CreateAndPromote();
  ring_.backend().QueueFailure(FakeKeyBackend::Call::kEncrypt,
                               absl::UnavailableError("/dev/token0: pin 1234"));
  EXPECT_THAT(service_.Encrypt(SecretBytes(32), kUid, absl::InfiniteFuture()),
              StatusIs(absl::StatusCode::kUnavailable, Not(HasSubstr("1234"))));
  const EnvelopeService::Encrypted encrypted = Encrypt();
  ring_.backend().QueueFailure(FakeKeyBackend::Call::kDecrypt,
                               absl::DataLossError("/dev/token0: pin 1234"));
  EXPECT_THAT(Decrypt(encrypted.ciphertext, encrypted.key_id),
              StatusIs(absl::StatusCode::kInternal, Not(HasSubstr("1234"))));
}

TEST_F(EnvelopeServiceTest, FormerVersionsDecryptAfterAPromotion) {
  ring_.CreateAndPromote();
  const EnvelopeService::Encrypted old = Encrypt();
  ring_.CreateAndPromote();
  const EnvelopeService::Encrypted fresh = Encrypt();
  EXPECT_NE(old.key_id, fresh.key_id);
  EXPECT_EQ(fresh.key_id, service_.Status()->key_id);
  KEKD_EXPECT_OK(Decrypt(old.ciphertext, old.key_id));
  KEKD_EXPECT_OK(Decrypt(fresh.ciphertext, fresh.key_id));
}

TEST_F(EnvelopeServiceTest, DecryptsUnderAVersionThatAnotherNodeHasPromotedAlready) {
  ring_.CreateAndPromote();
  const uint32_t next = ring_.Create();
  // What another node, on which `next` is the primary already, has encrypted.
  const OpenKeyring::Entry& entry = *ring_.current()->Get()->Find(next);
  const std::string ciphertext =
      Ciphertext::Header(entry.version->material.algorithm, next) +
      entry.key
          ->Encrypt(SecretFromText("seed"), AsBytes(entry.associated_data), absl::InfiniteFuture())
          .value();
  KEKD_ASSERT_OK_AND_ASSIGN(const SecretBytes opened, Decrypt(ciphertext, ring_.KeyIdOf(next)));
  EXPECT_EQ(RevealedText(opened), "seed");
}

TEST_F(EnvelopeServiceTest, RefusesAnUnknownKeyIdByName) {
  ring_.CreateAndPromote();
  const EnvelopeService::Encrypted encrypted = Encrypt();
  EXPECT_THAT(Decrypt(encrypted.ciphertext, "other.1.00112233445566778899aabbccddeeff"),
              StatusIs(absl::StatusCode::kNotFound,
                       AllOf(HasSubstr("other.1.00112233"), HasSubstr("another keyring"))));
  // No prefix, no suffix, no other spelling of a known one.
  for (const std::string& wrong :
       {encrypted.key_id + "0", encrypted.key_id.substr(1), "PROD" + encrypted.key_id.substr(4)}) {
    EXPECT_THAT(Decrypt(encrypted.ciphertext, wrong), StatusIs(absl::StatusCode::kNotFound));
  }
}

TEST_F(EnvelopeServiceTest, RefusesTheKeyIdOfAnotherVersion) {
  ring_.CreateAndPromote();
  const EnvelopeService::Encrypted old = Encrypt();
  ring_.CreateAndPromote();
  EXPECT_THAT(Decrypt(old.ciphertext, ring_.KeyIdOf(2)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("key version 1")));
}

TEST_F(EnvelopeServiceTest, RefusesEveryAlteredBit) {
  ring_.CreateAndPromote();
  const EnvelopeService::Encrypted encrypted = Encrypt();
  for (size_t bit = 0; bit < 8 * encrypted.ciphertext.size(); ++bit) {
    std::string altered = encrypted.ciphertext;
    altered[bit / 8] = static_cast<char>(altered[bit / 8] ^ (1 << (bit % 8)));
    const absl::Status status = Decrypt(altered, encrypted.key_id).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status) || absl::IsUnimplemented(status))
        << "bit " << bit << ": " << status;
  }
}

TEST_F(EnvelopeServiceTest, RefusesWhatTheContractDoesNotAllow) {
  ring_.CreateAndPromote();
  const EnvelopeService::Encrypted encrypted = Encrypt();
  EXPECT_THAT(Decrypt(encrypted.ciphertext, encrypted.key_id, /*annotations=*/1),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("annotations")));
  EXPECT_THAT(Decrypt("", encrypted.key_id), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Decrypt(std::string(1025, 'c'), encrypted.key_id),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("1025")));
  EXPECT_THAT(Decrypt(encrypted.ciphertext, ""), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Decrypt(encrypted.ciphertext, std::string(1025, 'k')),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("1025")));
}

TEST_F(EnvelopeServiceTest, TellsADegradedStateByTextAndAGraveOneByError) {
  ring_.CreateAndPromote();
  health_->Set({.healthz = "degraded: key version 1 does not decrypt"});
  EXPECT_THAT(service_.Status()->healthz, StartsWith("degraded"));
  KEKD_EXPECT_OK(service_.Encrypt(SecretBytes(32), kUid, absl::InfiniteFuture()));

  const EnvelopeService::Encrypted encrypted = Encrypt();
  health_->Set({.may_encrypt = absl::UnavailableError("kekd must not encrypt")});
  EXPECT_THAT(service_.Status(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(service_.Encrypt(SecretBytes(32), kUid, absl::InfiniteFuture()),
              StatusIs(absl::StatusCode::kUnavailable));
  KEKD_EXPECT_OK(Decrypt(encrypted.ciphertext, encrypted.key_id));  // whoever can still read, may
}

TEST_F(EnvelopeServiceTest, AReportOnAFormerPrimarySaysNothingOfTheNewOne) {
  ring_.CreateAndPromote();
  health_->Set({.may_encrypt = absl::UnavailableError("version 1 is away"), .primary_version = 1});
  EXPECT_THAT(service_.Status(), StatusIs(absl::StatusCode::kUnavailable));
  ring_.CreateAndPromote();
  KEKD_EXPECT_OK(service_.Status());
  KEKD_EXPECT_OK(service_.Encrypt(SecretBytes(32), kUid, absl::InfiniteFuture()));
}

TEST_F(EnvelopeServiceTest, DoesNotBelieveAReportThatIsTooOld) {
  ring_.CreateAndPromote();
  health_->Set({.valid_until = std::chrono::steady_clock::now() - std::chrono::seconds(1)});
  EXPECT_THAT(service_.Status()->healthz, HasSubstr("hangs"));
  KEKD_EXPECT_OK(service_.Encrypt(SecretBytes(32), kUid, absl::InfiniteFuture()));
}

TEST_F(EnvelopeServiceTest, CountsItsCalls) {
  ring_.CreateAndPromote();
  KEKD_EXPECT_OK(service_.Status());
  const EnvelopeService::Encrypted encrypted = Encrypt();
  KEKD_EXPECT_OK(Decrypt(encrypted.ciphertext, encrypted.key_id));
  EXPECT_THAT(Decrypt("", ""), Not(IsOk()));
  EXPECT_EQ(service_.counters().status, 1u);
  EXPECT_EQ(service_.counters().encrypt, 1u);
  EXPECT_EQ(service_.counters().decrypt, 2u);
  EXPECT_EQ(service_.counters().failed, 1u);
}

}  // namespace
}  // namespace kekd::testing
