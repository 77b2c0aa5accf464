#include "tests/fuzz/keyring_rules.h"

#include <cstdint>
#include <set>
#include <string>

#include "tests/fuzz/choices.h"

namespace kekd::testing {

void CheckRingValue(const Keyring& ring) {
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
void CheckRingStep(const Keyring& before, const Keyring& after) {
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

}  // namespace kekd::testing
