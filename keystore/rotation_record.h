// A rotation as the keyring's record tells of it.
#ifndef KEKD_KEYSTORE_ROTATION_RECORD_H_
#define KEKD_KEYSTORE_ROTATION_RECORD_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace kekd {

// What a rotation is to do next. The names are those of the runbook (docs/rotation.md), of
// `kekctl rotate --until` and of the model in tests/simulation. What comes before the record tells
// of a rotation, preflight and generate, has no number here.
enum class RotationStep {
  kSelfTest = 1,  // the new version opens its canary, in every place that is to hold it
  kProve = 2,     // every node of the roster proves that it can decrypt under it
  kPromote = 3,   // it becomes the primary
  kObserve = 4,   // every API server has been seen with its key_id
  kMigrate = 5,   // what is stored is written again
  kScan = 6,      // nothing is left under another version
  kDone = 7,
  kAborted = 8,
};

absl::string_view ToString(RotationStep step);  // "self-test", "prove", …
// The step of that name; none if it is no step's.
std::optional<RotationStep> RotationStepFromText(absl::string_view text);

// Whether it can be the name of a node: a host's, of letters, digits, '.', '-' and '_'.
bool IsNodeName(absl::string_view text);

// A node that has proved that it can decrypt under the new version.
struct ProvedNode {
  std::string node;
  absl::Time time;

  friend bool operator==(const ProvedNode& a, const ProvedNode& b) {
    return a.node == b.node && a.time == b.time;
  }
};

// The newest rotation of a keyring, whether it runs or has ended. Its name is `to`: numbers of
// versions are never reused. Times are kept to the millisecond.
struct RotationRecord {
  static constexpr size_t kMaxNodes = 64;
  static constexpr size_t kMaxTextBytes = 256;  // of a name and of a reason

  uint32_t from = 0;  // the primary when it began; 0: there was none
  uint32_t to = 0;
  RotationStep step = RotationStep::kSelfTest;
  std::string who;                 // began it, for people: "alice@cp1"
  std::string reason;              // as it was given
  std::vector<std::string> nodes;  // that are to prove, in order; each once
  std::vector<ProvedNode> proved;  // of these, each once
  absl::Time begin_time = absl::InfiniteFuture();
  absl::Time step_time = absl::InfiniteFuture();  // when `step` was reached
  std::string end_reason;                         // of one that was aborted

  bool IsRunning() const { return step < RotationStep::kDone; }
  // Whether the new version has become the primary: there is no way back then.
  bool IsPromoted() const { return step > RotationStep::kPromote && step < RotationStep::kAborted; }
  // The nodes that have not proved yet.
  std::vector<std::string> Unproved() const;

  friend bool operator==(const RotationRecord& a, const RotationRecord& b) {
    return a.from == b.from && a.to == b.to && a.step == b.step && a.who == b.who &&
           a.reason == b.reason && a.nodes == b.nodes && a.proved == b.proved &&
           a.begin_time == b.begin_time && a.step_time == b.step_time &&
           a.end_reason == b.end_reason;
  }
};

// InvalidArgument, naming the rule, if the record breaks one that does not depend on the keyring.
absl::Status CheckRotationRecord(const RotationRecord& rotation);

// "the rotation to key version 4, which alice@cp1 began 2026-11-22T02:00:00Z and which is to
// migrate next", for errors.
std::string DescribeRotation(const RotationRecord& rotation);

}  // namespace kekd

#endif  // KEKD_KEYSTORE_ROTATION_RECORD_H_
