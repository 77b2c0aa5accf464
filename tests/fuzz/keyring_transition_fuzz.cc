// Any sequence of changes to a keyring: what the state table promises holds after each of them.
#include <fuzzer/FuzzedDataProvider.h>

#include <cstdlib>
#include <set>
#include <string>
#include <utility>

#include "tests/keystore/test_ring.h"

namespace kekd {
namespace {

void Require(bool condition) {
  if (!condition) abort();
}

void CheckValue(const Keyring& ring) {
  int active = 0;
  bool was_active = false;
  uint32_t number = 0;
  std::set<std::string> key_ids;
  for (const KeyVersion& version : ring.versions()) {
    Require(version.number == ++number);
    Require(key_ids.insert(version.key_id.text()).second);
    if (version.state == KeyState::kActive) ++active;
    was_active = was_active || version.activation_time != absl::InfiniteFuture();
    Require((version.state == KeyState::kDestroyed) == version.material.wraps.empty());
  }
  Require(active == (was_active ? 1 : 0));
  Require((ring.Primary() != nullptr) == (active == 1));
  Require(ring.NextVersionNumber() == number + 1);
  Require(Keyring::Create(ring.parts()).ok());
}

// Nothing that was is undone: states go forward, marks and records stay.
void CheckStep(const Keyring& before, const Keyring& after) {
  Require(after.versions().size() >= before.versions().size());
  for (const KeyVersion& old : before.versions()) {
    const KeyVersion& now = *after.Find(old.number);
    Require(now.state >= old.state);
    Require(now.key_id == old.key_id && now.canary == old.canary && now.backend == old.backend);
    Require(!old.IsCompromised() || now.compromise_time == old.compromise_time);
    Require(now.state != KeyState::kActive || old.state == KeyState::kActive ||
            !old.IsCompromised());
    // Whoever was primary is deactivated before it is destroyed.
    Require(!(old.state == KeyState::kActive && now.state == KeyState::kDestroyed));
  }
}

}  // namespace
}  // namespace kekd

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using kekd::Keyring;
  FuzzedDataProvider input(data, size);
  Keyring ring = kekd::testing::EmptyTestKeyring();
  uint64_t generation = 0;
  for (int step = 0; step < 40 && input.remaining_bytes() > 0; ++step) {
    const auto number = input.ConsumeIntegralInRange<uint32_t>(0, ring.NextVersionNumber() + 1);
    const absl::Time now = absl::FromUnixSeconds(1'800'000'000 + step);
    absl::StatusOr<Keyring> next = ring;
    switch (input.ConsumeIntegralInRange<int>(0, 5)) {
      case 0:
        next = ring.WithNewVersion(kekd::testing::TestVersion(ring.NextVersionNumber()));
        break;
      case 1: {
        kekd::KeyVersion version = kekd::testing::TestVersion(number);
        version.state = input.PickValueInArray(
            {kekd::KeyState::kActive, kekd::KeyState::kDestroyed, kekd::KeyState::kDeactivated});
        next = ring.WithNewVersion(std::move(version));
        break;
      }
      case 2:
        next = ring.WithPromoted(number, now);
        break;
      case 3:
        next = ring.WithCompromised(number, now);
        break;
      case 4:
        next = ring.WithDestroyed(number, now);
        break;
      default:
        next = ring.WithApplied(kekd::testing::TestUuid(static_cast<uint8_t>(step)), number, "")
                   .WithGeneration(++generation);
        break;
    }
    if (!next.ok()) continue;
    kekd::CheckValue(*next);
    kekd::CheckStep(ring, *next);
    ring = *std::move(next);
  }
  return 0;
}
