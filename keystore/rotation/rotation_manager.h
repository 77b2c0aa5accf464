// Takes a keyring from one primary to the next, step by step.
#ifndef KEKD_KEYSTORE_ROTATION_ROTATION_MANAGER_H_
#define KEKD_KEYSTORE_ROTATION_ROTATION_MANAGER_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "keystore/rotation/ring_view.h"
#include "keystore/transition.h"

namespace kekd {

// The keyring that is rotated, whoever writes it.
class RotatedRing {
 public:
  virtual ~RotatedRing() = default;
  virtual absl::StatusOr<RingView> Read() = 0;
  // Carries a transition out on that generation and returns the ring after it: Aborted if it is of
  // another one. After any other error the change may have been made: Read tells.
  virtual absl::StatusOr<RingView> Apply(const Transition& transition, uint64_t generation) = 0;
  // The proof of the node that this runs on (KeyringWriter::ProveNode).
  virtual absl::StatusOr<std::string> ProveThisNode(uint32_t version, absl::string_view node) = 0;
};

// What a rotation must know of the cluster and has it do. Every call may be made again from the
// beginning. An error is what hinders, with what to do about it.
class RotationCluster {
 public:
  virtual ~RotationCluster() = default;

  // Whether the calls below would be able to do what they do: before anything is changed.
  virtual absl::Status Preflight(const RingView& ring) = 0;

  // Which API servers encrypt with this key_id, as they themselves say.
  struct Observation {
    std::vector<std::string> seen;
    std::vector<std::string> waiting;  // with what they have instead
    // Why the API servers could not be asked, or not all of them: then nothing but time tells.
    // Empty if they were.
    std::string unknown;
  };
  virtual absl::StatusOr<Observation> Observe(absl::string_view key_id) = 0;

  // Has everything that is encrypted with this provider written again. Goes on where an earlier
  // call for the same key_id stopped. Returns what it did, for people.
  virtual absl::StatusOr<std::string> Migrate(absl::string_view key_id) = 0;

  // What is stored under other keys than this one, now.
  struct Remainder {
    uint64_t stale = 0;                // objects that an API server would write under the primary
    std::vector<std::string> samples;  // some of them: what and under which key
    std::vector<std::string> gaps;     // what could not be looked at: nothing is known of it
    std::string seen;                  // what was looked at, for people
  };
  virtual absl::StatusOr<Remainder> Scan(absl::string_view key_id) = 0;
};

// RotationManager drives one rotation by the steps of RotationStep. All that it knows lies in the
// keyring, so that it can be ended at any point and another one, elsewhere, goes on. Two at once
// do no harm: each change is of one generation, and the later one sees what the earlier did.
// Not thread-safe.
class RotationManager final {
 public:
  // API servers look for a new key_id once a minute and, if they could not, stop writing with the
  // former one 3 minutes after; the documentation of KMS v2 asks for 3 + 5 minutes after a
  // rotation before what is stored is written again.
  static constexpr absl::Duration kDocumentedWait = absl::Minutes(8);
  static constexpr absl::Duration kObserveInterval = absl::Seconds(5);
  // How often the scan may find something stale and have it written again.
  static constexpr int kMaxRepeatedMigrations = 3;

  struct Options {
    RotatedRing* ring = nullptr;         // outlives the manager
    RotationCluster* cluster = nullptr;  // outlives the manager; null: there is no access to one
    std::string this_node;
    // Proofs of other nodes that were brought here; those that fit are recorded.
    std::vector<std::string> proofs;
    // Whether a version may be promoted that is in no verified backup, if it is one that lies in
    // the record (custody envelope).
    bool without_backup = false;
    // The version of the rotation since whose promotion somebody has seen every node serve the
    // keyring as it is; 0: nobody has. Asked for where the API servers can't be asked: one whose
    // kekd has an older copy encrypts under the former key for ever, however long one waits.
    uint32_t copies_taken = 0;
    // Time that passed since anything, unmoved by whoever sets clocks.
    std::function<absl::Duration()> elapsed;
  };

  explicit RotationManager(Options options) : options_(std::move(options)) {}

  struct Advanced {
    enum class Outcome {
      kStepped,        // something was done; go on at once
      kWaiting,        // ask again after `wait`
      kNeedsOperator,  // nothing goes on before somebody does what `said` tells; not an error
      kEnded,          // the rotation is done or was aborted
    };
    Outcome outcome = Outcome::kStepped;
    std::string said;  // what was done or is waited for, one line or several, for people
    absl::Duration wait = absl::ZeroDuration();
    RingView ring;  // as it is now
  };

  // Begins a rotation: looks whether it could be carried through, and makes its version. Where one
  // runs already nothing is changed: FailedPrecondition, with who began it and when.
  absl::StatusOr<Advanced> Begin(const BeginRotation& begin);

  // Does the next step of the rotation that runs, at most one. FailedPrecondition if there never
  // was one. An error leaves the rotation at its step; whoever calls again tries it again.
  absl::StatusOr<Advanced> Advance();

  // Ends the rotation that runs. FailedPrecondition if none does.
  absl::StatusOr<Advanced> Abort(absl::string_view reason);

 private:
  absl::StatusOr<Advanced> Apply(const RingView& ring, const Transition& transition,
                                 std::string said);
  absl::StatusOr<Advanced> SelfTest(const RingView& ring);
  absl::StatusOr<Advanced> Prove(const RingView& ring);
  absl::StatusOr<Advanced> Promote(const RingView& ring);
  absl::StatusOr<Advanced> Observe(const RingView& ring);
  absl::StatusOr<Advanced> Migrate(const RingView& ring);
  absl::StatusOr<Advanced> Scan(const RingView& ring);
  Advanced NeedsCluster(const RingView& ring) const;

  const Options options_;
  uint32_t to_ = 0;                               // of the rotation that the following is of
  std::optional<absl::Duration> observed_since_;  // by Options::elapsed
  int repeated_migrations_ = 0;
};

}  // namespace kekd

#endif  // KEKD_KEYSTORE_ROTATION_ROTATION_MANAGER_H_
