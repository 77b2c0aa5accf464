// The states of a key version.
#ifndef KEKD_KEYSTORE_KEY_STATE_H_
#define KEKD_KEYSTORE_KEY_STATE_H_

#include <optional>

#include "absl/strings/string_view.h"

namespace kekd {

// NIST SP 800-57 part 1 revision 5, section 7. "Compromised" is a mark beside the state, because a
// compromised key still has to decrypt until its data is re-encrypted.
enum class KeyState {
  kPreActivation,  // made, proved, not used on data yet
  kActive,         // the primary: new data is encrypted under it
  kDeactivated,    // decrypts only
  kDestroyed,      // the material is gone, the record stays
};

absl::string_view ToString(KeyState state);  // "pre-activation", "active", …
// The state of that name; none if it is no state's.
std::optional<KeyState> KeyStateFromText(absl::string_view text);

inline bool CanEncrypt(KeyState state) { return state == KeyState::kActive; }
// A pre-activation version decrypts too: in a control plane of several nodes another one may have
// promoted it already.
inline bool CanDecrypt(KeyState state) { return state != KeyState::kDestroyed; }

// Where the key material is.
enum class Custody {
  kDevice,    // the key never leaves the backend
  kEnvelope,  // kekd made the key; wraps protect it at rest
};

absl::string_view ToString(Custody custody);  // "device", "envelope"
// The custody of that name; none if it is no custody's.
std::optional<Custody> CustodyFromText(absl::string_view text);

}  // namespace kekd

#endif  // KEKD_KEYSTORE_KEY_STATE_H_
