#include "tests/contract/key_backend_contract.h"

#include <gmock/gmock.h>

#include <set>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "keystore/ciphertext.h"
#include "tests/support/secrets.h"
#include "tests/support/status_matchers.h"

namespace kekd::testing {
namespace {

using ::testing::AnyOf;
using ::testing::Not;

constexpr size_t kSizes[] = {1, 32, 512};

SecretBytes PlaintextOf(size_t size) {
  std::string text;
  for (size_t i = 0; i < size; ++i) text.push_back(static_cast<char>(i * 7 + 3));
  return SecretFromText(text);
}

// gtest's ASSERT_… returns from the function it stands in only.
#define KEKD_CONTRACT_MAKE_KEY(number, material, key) \
  KeyMaterial material;                               \
  std::shared_ptr<const BackendKey> key;              \
  MakeKey(number, &material, &key);                   \
  if (HasFatalFailure()) return

}  // namespace

KeyBackendContract::KeyBackendContract()
    : world_(GetParam().make_world()), backend_(world_->NewBackend()) {}

KeySpec KeyBackendContract::Spec(uint32_t number) {
  KeySpec spec;
  spec.ring.name = "contract";
  spec.ring.cluster_id = *Uuid::Parse("11111111-1111-4111-8111-111111111111");
  spec.ring.ring_uuid = *Uuid::Parse("22222222-2222-4222-8222-222222222222");
  spec.version = number;
  return spec;
}

void KeyBackendContract::MakeKey(uint32_t number, KeyMaterial* material,
                                 std::shared_ptr<const BackendKey>* key) {
  KEKD_ASSERT_OK_AND_ASSIGN(*material,
                            GenerateKeyIn(GetParam().custody, *backend_, Spec(number), Deadline()));
  KEKD_ASSERT_OK_AND_ASSIGN(*key, backend_->OpenKey(Spec(number), *material, Deadline()));
}

std::string ParamName(const ::testing::TestParamInfo<BackendContractParam>& info) {
  return info.param.name;
}

TEST_P(KeyBackendContract, DescribesItself) {
  EXPECT_FALSE(backend_->Describe().type.empty());
  EXPECT_FALSE(backend_->Describe().detail.empty());
  KEKD_EXPECT_OK(backend_->Probe(Deadline()));
}

TEST_P(KeyBackendContract, DecryptsWhatItEncrypted) {
  KEKD_CONTRACT_MAKE_KEY(1, material, key);
  for (const size_t size : kSizes) {
    for (const char* associated_data : {"a", "associated data of some length"}) {
      const SecretBytes plaintext = PlaintextOf(size);
      KEKD_ASSERT_OK_AND_ASSIGN(
          const std::string sealed,
          key->Encrypt(plaintext, AsBytes(absl::string_view(associated_data)), Deadline()));
      KEKD_ASSERT_OK_AND_ASSIGN(
          const SecretBytes opened,
          key->Decrypt(AsBytes(sealed), AsBytes(absl::string_view(associated_data)), Deadline()));
      EXPECT_TRUE(SecretBytes::ConstantTimeEquals(opened, plaintext)) << size;
    }
  }
}

// The ciphertext format counts on it: no more than nonce, plaintext and tag.
TEST_P(KeyBackendContract, AddsExactlyNonceAndTag) {
  KEKD_CONTRACT_MAKE_KEY(1, material, key);
  EXPECT_EQ(key->algorithm(), material.algorithm);
  for (const size_t size : kSizes) {
    KEKD_ASSERT_OK_AND_ASSIGN(const std::string sealed,
                              key->Encrypt(PlaintextOf(size), AsBytes("aad"), Deadline()));
    ByteView rest = AsBytes(sealed);
    if (key->algorithm() == Algorithm::kAes256GcmWrappedKey) {
      KEKD_ASSERT_OK_AND_ASSIGN(const WrappedKeyCiphertext parts,
                                WrappedKeyCiphertext::Parse(rest));
      rest = parts.sealed;
    }
    EXPECT_EQ(rest.size(), NonceSize(key->algorithm()) + size + kAeadTagBytes);
    EXPECT_LE(Ciphertext::kHeaderBytes + sealed.size(), Ciphertext::kMaxBytes);
  }
}

TEST_P(KeyBackendContract, NeverEncryptsAlikeTwice) {
  KEKD_CONTRACT_MAKE_KEY(1, material, key);
  const SecretBytes plaintext = PlaintextOf(32);
  std::set<std::string> nonces;
  std::set<std::string> rests;
  for (int i = 0; i < 50; ++i) {
    KEKD_ASSERT_OK_AND_ASSIGN(const std::string sealed,
                              key->Encrypt(plaintext, AsBytes("aad"), Deadline()));
    nonces.insert(sealed.substr(0, NonceSize(key->algorithm())));
    rests.insert(sealed.substr(NonceSize(key->algorithm())));
  }
  EXPECT_EQ(nonces.size(), 50u);
  EXPECT_EQ(rests.size(), 50u);
}

TEST_P(KeyBackendContract, RefusesOtherAssociatedData) {
  KEKD_CONTRACT_MAKE_KEY(1, material, key);
  KEKD_ASSERT_OK_AND_ASSIGN(const std::string sealed,
                            key->Encrypt(PlaintextOf(32), AsBytes("aad"), Deadline()));
  for (const absl::string_view other : {"", "aa", "aad ", "aae", "AAD"}) {
    EXPECT_THAT(key->Decrypt(AsBytes(sealed), AsBytes(other), Deadline()),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << other;
  }
}

TEST_P(KeyBackendContract, RefusesEveryFlippedBit) {
  KEKD_CONTRACT_MAKE_KEY(1, material, key);
  KEKD_ASSERT_OK_AND_ASSIGN(const std::string sealed,
                            key->Encrypt(PlaintextOf(4), AsBytes("aad"), Deadline()));
  for (size_t bit = 0; bit < 8 * sealed.size(); ++bit) {
    std::string flipped = sealed;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    EXPECT_THAT(key->Decrypt(AsBytes(flipped), AsBytes("aad"), Deadline()),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << "bit " << bit;
  }
  KEKD_EXPECT_OK(key->Decrypt(AsBytes(sealed), AsBytes("aad"), Deadline()));
}

TEST_P(KeyBackendContract, RefusesEveryTruncation) {
  KEKD_CONTRACT_MAKE_KEY(1, material, key);
  KEKD_ASSERT_OK_AND_ASSIGN(const std::string sealed,
                            key->Encrypt(PlaintextOf(4), AsBytes("aad"), Deadline()));
  for (size_t size = 0; size < sealed.size(); ++size) {
    EXPECT_THAT(key->Decrypt(AsBytes(sealed).first(size), AsBytes("aad"), Deadline()),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << size;
  }
}

TEST_P(KeyBackendContract, OneKeyDoesNotOpenWhatAnotherMade) {
  KEKD_CONTRACT_MAKE_KEY(1, first_material, first);
  KEKD_CONTRACT_MAKE_KEY(2, second_material, second);
  EXPECT_FALSE(first_material == second_material);
  KEKD_ASSERT_OK_AND_ASSIGN(const std::string sealed,
                            first->Encrypt(PlaintextOf(32), AsBytes("aad"), Deadline()));
  EXPECT_THAT(second->Decrypt(AsBytes(sealed), AsBytes("aad"), Deadline()),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_P(KeyBackendContract, MakesAnotherKeyEachTimeForTheSameSpec) {
  KEKD_CONTRACT_MAKE_KEY(1, first_material, first);
  KEKD_CONTRACT_MAKE_KEY(1, second_material, second);
  KEKD_ASSERT_OK_AND_ASSIGN(const std::string sealed,
                            first->Encrypt(PlaintextOf(32), AsBytes("aad"), Deadline()));
  EXPECT_THAT(second->Decrypt(AsBytes(sealed), AsBytes("aad"), Deadline()),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_P(KeyBackendContract, OpensAKeyAgainAfterARestart) {
  KEKD_CONTRACT_MAKE_KEY(1, material, key);
  KEKD_ASSERT_OK_AND_ASSIGN(const std::string sealed,
                            key->Encrypt(PlaintextOf(32), AsBytes("aad"), Deadline()));
  const std::unique_ptr<KeyBackend> restarted = world_->NewBackend();
  EXPECT_EQ(restarted->Describe().type, backend_->Describe().type);
  KEKD_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<const BackendKey> again,
                            restarted->OpenKey(Spec(1), material, Deadline()));
  KEKD_ASSERT_OK_AND_ASSIGN(const SecretBytes opened,
                            again->Decrypt(AsBytes(sealed), AsBytes("aad"), Deadline()));
  EXPECT_TRUE(SecretBytes::ConstantTimeEquals(opened, PlaintextOf(32)));
}

TEST_P(KeyBackendContract, RefusesMaterialOfAnotherSpec) {
  KEKD_CONTRACT_MAKE_KEY(1, material, key);
  KeySpec other_version = Spec(2);
  KeySpec other_ring = Spec(1);
  other_ring.ring.ring_uuid = *Uuid::Parse("33333333-3333-4333-8333-333333333333");
  KeySpec other_cluster = Spec(1);
  other_cluster.ring.cluster_id = *Uuid::Parse("33333333-3333-4333-8333-333333333333");
  for (const KeySpec& spec : {other_version, other_ring, other_cluster}) {
    EXPECT_THAT(backend_->OpenKey(spec, material, Deadline()),
                StatusIs(absl::StatusCode::kDataLoss));
  }
}

TEST_P(KeyBackendContract, RefusesMaterialThatIsDamaged) {
  KEKD_CONTRACT_MAKE_KEY(1, material, key);
  for (Wrap& wrap : material.wraps) wrap.blob.back() = static_cast<char>(wrap.blob.back() ^ 1);
  if (material.wraps.empty()) material.key_reference += "x";
  EXPECT_THAT(backend_->OpenKey(Spec(1), material, Deadline()),
              AnyOf(StatusIs(absl::StatusCode::kDataLoss), StatusIs(absl::StatusCode::kNotFound)));
  EXPECT_THAT(backend_->OpenKey(Spec(1), KeyMaterial{}, Deadline()), Not(IsOk()));
}

TEST_P(KeyBackendContract, MaterialNamesWhereTheKeyIs) {
  KEKD_CONTRACT_MAKE_KEY(1, material, key);
  if (material.custody == Custody::kEnvelope) {
    EXPECT_FALSE(material.wraps.empty());
  } else {
    EXPECT_FALSE(material.key_reference.empty());
    EXPECT_TRUE(material.wraps.empty());
  }
}

TEST_P(KeyBackendContract, DestroysAKeyAsOftenAsItIsAsked) {
  KEKD_CONTRACT_MAKE_KEY(1, material, key);
  KEKD_CONTRACT_MAKE_KEY(2, kept_material, kept);
  KEKD_EXPECT_OK(backend_->DestroyKey(Spec(1), material, Deadline()));
  KEKD_EXPECT_OK(backend_->DestroyKey(Spec(1), material, Deadline()));
  KEKD_EXPECT_OK(world_->NewBackend()->DestroyKey(Spec(1), material, Deadline()));
  if (GetParam().destroys_keys) {
    EXPECT_THAT(backend_->OpenKey(Spec(1), material, Deadline()),
                StatusIs(absl::StatusCode::kNotFound));
  }
  KEKD_EXPECT_OK(kept->Encrypt(PlaintextOf(1), AsBytes("aad"), Deadline()));
  KEKD_EXPECT_OK(backend_->OpenKey(Spec(2), kept_material, Deadline()));
}

TEST_P(KeyBackendContract, ServesEightThreadsOnOneKey) {
  KEKD_CONTRACT_MAKE_KEY(1, material, key);
  std::vector<std::jthread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&key = *key, t] {
      const std::string associated_data = absl::StrCat("thread ", t);
      for (size_t i = 1; i <= 50; ++i) {
        const SecretBytes plaintext = PlaintextOf(i);
        const absl::StatusOr<std::string> sealed =
            key.Encrypt(plaintext, AsBytes(associated_data), Deadline());
        KEKD_ASSERT_OK(sealed);
        const absl::StatusOr<SecretBytes> opened =
            key.Decrypt(AsBytes(*sealed), AsBytes(associated_data), Deadline());
        KEKD_ASSERT_OK(opened);
        ASSERT_TRUE(SecretBytes::ConstantTimeEquals(plaintext, *opened));
        ASSERT_FALSE(key.Decrypt(AsBytes(*sealed), AsBytes("other"), Deadline()).ok());
      }
    });
  }
}

}  // namespace kekd::testing
