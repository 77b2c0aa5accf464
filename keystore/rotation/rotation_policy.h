// When a keyring is due for a rotation.
#ifndef KEKD_KEYSTORE_ROTATION_ROTATION_POLICY_H_
#define KEKD_KEYSTORE_ROTATION_ROTATION_POLICY_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "keystore/rotation/ring_view.h"

namespace kekd {

// A time of the week in UTC at which an automatic rotation may begin.
struct RotationWindow {
  absl::Duration begin;   // since Monday 00:00
  absl::Duration length;  // may reach into the next week
};

// "Sat 22:00-04:00", or without the day for every day: those of one element. InvalidArgument, with
// what is expected, for anything else.
absl::StatusOr<std::vector<RotationWindow>> ParseRotationWindow(absl::string_view text);

// What an operator has said about rotations. Pure.
struct RotationPolicy {
  enum class Mode {
    kOff,
    kNotify,  // say that one is due
    kAuto,    // and have `kekctl rotate --if-due` carry it out
  };
  Mode mode = Mode::kOff;
  // How long a version is the primary (SP 800-57 part 1, section 5.3); infinite: as long as one
  // likes.
  absl::Duration cryptoperiod = absl::InfiniteDuration();
  std::optional<uint64_t> max_uses;     // how often kekd encrypts under it
  std::vector<RotationWindow> windows;  // none: at any time
};

absl::string_view ToString(RotationPolicy::Mode mode);  // "off", "notify", "auto"
std::optional<RotationPolicy::Mode> RotationModeFromText(absl::string_view text);

struct RotationDue {
  bool due = false;
  std::string reason;      // why, or why not, for people
  bool in_window = false;  // whether an automatic one may begin now
};

// `uses` is what is known of the encryptions under the primary, at least. A rotation that runs is
// not due: it is to be gone on with. A compromised primary is, whatever the policy.
RotationDue IsRotationDue(const RotationPolicy& policy, const RingView& ring, uint64_t uses,
                          absl::Time now);

}  // namespace kekd

#endif  // KEKD_KEYSTORE_ROTATION_ROTATION_POLICY_H_
