#include "keystore/key_state.h"

namespace kekd {

absl::string_view ToString(KeyState state) {
  switch (state) {
    case KeyState::kPreActivation:
      return "pre-activation";
    case KeyState::kActive:
      return "active";
    case KeyState::kDeactivated:
      return "deactivated";
    case KeyState::kDestroyed:
      return "destroyed";
  }
  return "?";
}

absl::string_view ToString(Custody custody) {
  switch (custody) {
    case Custody::kDevice:
      return "device";
    case Custody::kEnvelope:
      return "envelope";
  }
  return "?";
}

}  // namespace kekd
