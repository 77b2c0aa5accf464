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

std::optional<KeyState> KeyStateFromText(absl::string_view text) {
  for (const KeyState state : {KeyState::kPreActivation, KeyState::kActive, KeyState::kDeactivated,
                               KeyState::kDestroyed}) {
    if (text == ToString(state)) return state;
  }
  return std::nullopt;
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

std::optional<Custody> CustodyFromText(absl::string_view text) {
  for (const Custody custody : {Custody::kDevice, Custody::kEnvelope}) {
    if (text == ToString(custody)) return custody;
  }
  return std::nullopt;
}

}  // namespace kekd
