// Any sequence of changes to a keyring as a value: what the state table promises holds after each
// of them. (keyring_store_fuzz makes them where they are kept.)
#include <utility>

#include "base/bytes.h"
#include "tests/fuzz/choices.h"
#include "tests/fuzz/keyring_rules.h"
#include "tests/keystore/test_ring.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using kekd::Keyring;
  kekd::testing::Choices input(kekd::AsText(kekd::ByteView(data, size)));
  Keyring ring = kekd::testing::EmptyTestKeyring();
  uint64_t generation = 0;
  for (int step = 0; step < 40 && !input.empty(); ++step) {
    const auto number = input.Below(ring.NextVersionNumber() + 2);
    const absl::Time now = absl::FromUnixSeconds(1'800'000'000 + step);
    absl::StatusOr<Keyring> next = ring;
    switch (input.Below(6)) {
      case 0:
        next = ring.WithNewVersion(kekd::testing::TestVersion(ring.NextVersionNumber()));
        break;
      case 1: {
        kekd::KeyVersion version = kekd::testing::TestVersion(number);
        constexpr kekd::KeyState kStates[] = {kekd::KeyState::kActive, kekd::KeyState::kDestroyed,
                                              kekd::KeyState::kDeactivated};
        version.state = kStates[input.Below(3)];
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
    kekd::testing::CheckRingValue(*next);
    kekd::testing::CheckRingStep(ring, *next);
    ring = *std::move(next);
  }
  return 0;
}
