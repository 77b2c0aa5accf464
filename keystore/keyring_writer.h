// The one place where a keyring changes.
#ifndef KEKD_KEYSTORE_KEYRING_WRITER_H_
#define KEKD_KEYSTORE_KEYRING_WRITER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "base/random_source.h"
#include "base/uuid.h"
#include "keystore/backup_log.h"
#include "keystore/key_backend.h"
#include "keystore/keyring_store.h"
#include "keystore/open_keyring.h"
#include "keystore/transition.h"

namespace kekd {

// KeyringWriter carries transitions out: first durably in the store, then in what is served. It is
// the same in kekd (behind the admin socket) and in kekctl when kekd is down. Thread-safe; one
// transition at a time.
class KeyringWriter final {
 public:
  // What a change waits at most for the keys of other versions that could not be opened yet.
  static constexpr absl::Duration kReopenTimeout = absl::Seconds(3);

  struct Options {
    std::shared_ptr<KeyringStore> store;
    std::shared_ptr<const BackendSet> backends;
    const RandomSource* random = nullptr;  // outlives the writer
    const Clock* clock = nullptr;          // outlives the writer
    // What Create waits at most for keys on devices, from when the ring is loaded. Who serves the
    // ring takes kReopenTimeout: a device that is silent must not keep the other keys from being
    // served, and Reopen opens its keys later.
    absl::Duration open_timeout = absl::InfiniteDuration();
  };
  struct Applied {
    std::shared_ptr<const OpenKeyring> keyring;  // with the change in it
    uint32_t version = 0;                        // the key version made or changed, or 0
    // What of it is not as it was asked for and is to be mended or repeated; mostly empty.
    std::string warning = {};
  };

  // Loads the ring and opens its keys; one that can't be opened in time is without its key.
  static absl::StatusOr<std::unique_ptr<KeyringWriter>> Create(Options options,
                                                               absl::Time deadline);

  // What is served now. Lives as long as the writer.
  const std::shared_ptr<CurrentKeyring>& current() const { return current_; }
  // Where it is kept. Lives as long as the writer.
  KeyringStore& store() const { return *options_.store; }

  // Carries `transition` out on generation `expected_generation`: Aborted if the ring is of another
  // one. A request id that was applied before changes nothing and returns the ring as it is now,
  // whatever generation is expected; InvalidArgument if something else was asked for then. Nothing
  // is answered as done that the store has not reported as durable: a ring that a failed commit
  // left is committed once more first. A version is promoted only after its key has decrypted its
  // canary here, in every place that is to hold it. A key on a device that was made for a version
  // that surely came into no record is destroyed again; an adopted one never is. `who` is told to
  // whoever comes too late with another change.
  absl::StatusOr<Applied> Apply(const Transition& transition, uint64_t expected_generation,
                                const Uuid& request_id, absl::Time deadline,
                                absl::string_view who = "");

  // Proves that this node can decrypt under a version now, in every place that is to hold it, and
  // says so for another node (SignNodeProof). Errors as of a promotion.
  absl::StatusOr<std::string> ProveNode(uint32_t number, absl::string_view node,
                                        absl::Time deadline) const;

  // Tries to open again what could not be opened, and publishes it. For the health check. A change
  // need not wait for a device that hangs meanwhile; nor does it: then nothing is published.
  void Reopen(absl::Time deadline);

  // The backups that are known here, as of the last look at the disk (CheckStore, RefreshBackups):
  // who asks must not wait for a disk that hangs.
  absl::StatusOr<std::vector<BackupLogEntry>> Backups() const;
  void RefreshBackups();

  // The places of the ring's backends, where one has several (KeyBackend::Places).
  std::vector<KeyPlace> Places() const;

  // Whether the record on the disk still is the one that is served.
  absl::Status CheckStore();

 private:
  KeyringWriter(Options options, std::shared_ptr<const OpenKeyring> opened);

  // The newest change of this writer, for the loser of two changes at once.
  struct LastChange {
    std::string who;
    std::string what;
    absl::Time time;
  };
  // A ring as a transition makes it, before it is stored.
  struct Change {
    Keyring next;
    uint32_t version = 0;
    bool made_key = false;  // the version's key was made for it
    bool ends_key = false;  // what lies outside the record of the version's key goes with it
    std::shared_ptr<const RingKey> ring_key = nullptr;  // a new one, if it has one
  };

  absl::Status TooLateLocked(uint64_t generation, uint64_t expected_generation) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::StatusOr<Change> ChangedLocked(const OpenKeyring& current, const Transition& transition,
                                       absl::Time deadline) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::StatusOr<Change> WithCreatedLocked(const Keyring& ring, const CreateVersion& create,
                                           absl::Time deadline) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::StatusOr<Change> WithAdoptedLocked(const Keyring& ring, const AdoptKey& adopt,
                                           absl::Time deadline) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::StatusOr<Change> WithRotationBegunLocked(const Keyring& ring, const BeginRotation& begin,
                                                 absl::Time deadline)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::StatusOr<Change> WithNodeProvedLocked(const Keyring& ring, const RecordNodeProof& record)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Destroys what lies outside the record of a version that the record tells to be destroyed.
  absl::Status EndKeyLocked(const Keyring& ring, uint32_t number, absl::Time deadline)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // What becomes of the key that was made for a change whose commit failed.
  void SettleMadeKeyLocked(const Change& change) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::StatusOr<Change> WithNewRingKeyLocked(const Keyring& ring, const ReplaceRingKey& replace)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::StatusOr<Applied> AfterFailedCommitLocked(const absl::Status& failure,
                                                  const Uuid& request_id, absl::Time deadline)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Commits what is served once more, after a commit that failed late.
  absl::Status ConfirmLocked(absl::Time deadline) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void PublishLocked(std::shared_ptr<const Keyring> keyring, absl::Time deadline)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Options options_;
  const std::shared_ptr<CurrentKeyring> current_;
  Mutex mu_;
  mutable Mutex backups_mu_;
  absl::StatusOr<std::vector<BackupLogEntry>> backups_ ABSL_GUARDED_BY(backups_mu_);
  // Whether what is served came from a commit that failed after it had taken place.
  bool unconfirmed_ ABSL_GUARDED_BY(mu_) = false;
  std::optional<LastChange> last_change_ ABSL_GUARDED_BY(mu_);
};

}  // namespace kekd

#endif  // KEKD_KEYSTORE_KEYRING_WRITER_H_
