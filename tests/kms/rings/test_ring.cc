#include "tests/kms/rings/test_ring.h"

#include <utility>

#include "absl/time/clock.h"
#include "base/random_source.h"
#include "base/uuid.h"
#include "keystore/envelope_key_backend.h"

namespace kekd::testing {
namespace {

Keyring EmptyKeyring() {
  Keyring::Parts parts;
  parts.identity.name = "prod";
  parts.identity.cluster_id = *Uuid::Parse("11111111-2222-4333-8444-555555555555");
  parts.identity.ring_uuid = *Uuid::Parse("aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee");
  parts.creation_time = absl::UnixEpoch() + absl::Hours(1);
  return *Keyring::Create(std::move(parts));
}

}  // namespace

TestRing::TestRing() : store_(std::make_shared<MemoryKeyringStore>(EmptyKeyring())) {
  auto backends = std::make_shared<BackendSet>();
  auto backend = std::make_unique<FakeKeyBackend>();
  backend_ = backend.get();
  backends->Add(
      CreateEnvelopeKeyBackend(std::move(backend), WrapType::kPkcs11, RandomSource::System()));
  writer_ = *KeyringWriter::Create({.store = store_,
                                    .backends = std::move(backends),
                                    .random = &RandomSource::System(),
                                    .clock = &clock_},
                                   absl::InfiniteFuture());
}

uint32_t TestRing::Apply(const Transition& transition) {
  return writer_
      ->Apply(transition, current()->Get()->keyring().generation(),
              *Uuid::Random(RandomSource::System()), absl::InfiniteFuture())
      .value()
      .version;
}

uint32_t TestRing::Create(std::optional<Custody> custody) {
  return Apply(CreateVersion{.backend = "fake", .custody = custody});
}

void TestRing::Promote(uint32_t number) { Apply(PromoteVersion{number}); }

uint32_t TestRing::CreateAndPromote() {
  const uint32_t number = Create();
  Promote(number);
  return number;
}

std::string TestRing::KeyIdOf(uint32_t number) const {
  return current()->Get()->keyring().Find(number)->key_id.text();
}

}  // namespace kekd::testing
