#include "tests/cluster/test_objects.h"

#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/bytes.h"
#include "base/random_source.h"
#include "keystore/aead.h"
#include "keystore/canary.h"
#include "keystore/ciphertext.h"
#include "keystore/digest.h"
#include "tests/cluster/etcd_values.h"
#include "tests/keystore/test_ring.h"

namespace kekd::testing {
namespace {

constexpr absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

}  // namespace

SecretBytes CountingBytes(uint8_t first, size_t size) {
  SecretBytes bytes(size);
  for (uint8_t& byte : bytes.RevealMutable(SecretAccessToken())) byte = first++;
  return bytes;
}

std::string SealUnderKey(const SecretBytes& key, absl::string_view etcd_key,
                         absl::string_view plaintext) {
  const auto aead = CreateAead(Algorithm::kAes256Gcm, key.Clone(), RandomSource::System());
  if (!aead.ok()) abort();
  return *(*aead)->Encrypt(SecretBytes::CopyOf(AsBytes(plaintext)), AsBytes(etcd_key));
}

std::string SealUnderSeed(const SecretBytes& seed, absl::string_view etcd_key,
                          absl::string_view plaintext) {
  std::string info(32, '\0');
  if (!RandomSource::System().Fill(AsWritableBytes(info)).ok()) abort();
  const absl::StatusOr<SecretBytes> key = HkdfExpandSha256(seed, AsBytes(info));
  if (!key.ok()) abort();
  return info + SealUnderKey(*key, etcd_key, plaintext);
}

TestClusterRing::TestClusterRing() : ring_(EmptyTestKeyring()) {
  auto fake = std::make_unique<FakeKeyBackend>();
  backend_ = fake.get();
  backends_.Add(std::move(fake));
  for (uint32_t number = 1; number <= 4; ++number) {
    ring_ = *ring_.WithNewVersion(*MakeKeyVersion({ring_.identity(), number}, *backend_,
                                                  RandomSource::System(), kNow,
                                                  absl::InfiniteFuture()));
  }
  for (uint32_t number = 1; number <= 3; ++number) ring_ = *ring_.WithPromoted(number, kNow);
  open_ = Open();
  for (uint32_t number = 1; number <= 4; ++number) {
    sources_.push_back(EncryptSource(Seed(), number));
  }
  ring_ = *ring_.WithDestroyed(1, kNow);
}

std::shared_ptr<const OpenKeyring> TestClusterRing::Open() const {
  return OpenKeyring::Open(std::make_shared<const Keyring>(ring_), backends_, nullptr,
                           absl::InfiniteFuture());
}

std::string TestClusterRing::KeyIdOf(uint32_t version) const {
  return ring_.Find(version)->key_id.text();
}

std::string TestClusterRing::EncryptSource(const SecretBytes& source, uint32_t version) const {
  const OpenKeyring::Entry& entry = *open_->Find(version);
  const absl::StatusOr<std::string> sealed =
      entry.key->Encrypt(source, AsBytes(entry.associated_data), absl::InfiniteFuture());
  if (!sealed.ok()) abort();
  return Ciphertext::Header(entry.version->material.algorithm, version) + *sealed;
}

std::string TestClusterRing::Value(absl::string_view etcd_key, absl::string_view plaintext,
                                   uint32_t version) const {
  return ObjectFields{.encrypted_data = SealUnderSeed(Seed(), etcd_key, plaintext),
                      .key_id = KeyIdOf(version),
                      .dek_source = sources_[version - 1]}
      .Value();
}

}  // namespace kekd::testing
