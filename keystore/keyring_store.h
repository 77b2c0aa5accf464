// Where a keyring is kept.
#ifndef KEKD_KEYSTORE_KEYRING_STORE_H_
#define KEKD_KEYSTORE_KEYRING_STORE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "keystore/backup_log.h"
#include "keystore/keyring.h"
#include "keystore/ring_key.h"
#include "keystore/ring_key_wrapper.h"

namespace kekd {

// KeyringStore keeps one keyring durably. Corruption is an error and never a reset. Thread-safe.
class KeyringStore {
 public:
  virtual ~KeyringStore() = default;

  // The newest committed keyring. DataLoss if it is damaged, opened by another key, or older than
  // one that was committed here before; Unimplemented if a newer kekd wrote it; NotFound if there
  // is none.
  virtual absl::StatusOr<std::shared_ptr<const Keyring>> Load() = 0;

  // Replaces the keyring by `next` if the stored one still has generation `expected_generation`
  // (else Aborted), and returns `next` with the generation it was given, which no keyring of this
  // ring ever had. When it returns OK the change survives a power cut. When it fails, Load tells
  // which of the two there is; an acknowledged generation is never lost.
  virtual absl::StatusOr<std::shared_ptr<const Keyring>> Commit(const Keyring& next,
                                                                uint64_t expected_generation) = 0;

  // What the stored keyring is authenticated with. Lives as long as anybody holds it.
  virtual std::shared_ptr<const CurrentRingKey> ring_key() const = 0;
  // Opens a ring key from other wraps than the stored ones, by the same secrets: what `wraps` would
  // be opened with at the next start. Errors as those of a start.
  virtual absl::StatusOr<std::shared_ptr<const RingKey>> OpenRingKey(
      absl::Span<const Wrap> wraps) = 0;
  // What opened the ring key, for people ("key file /etc/kekd/prod.key"), at the start, when
  // SetWrappers was called or when the ring key was changed last; empty if it was made here. Waits
  // for no disk and no device.
  virtual std::string Opener() = 0;
  // Takes other secrets for the ones to open the ring key with, if one of them opens the ring as it
  // is stored now; else an error, and nothing changes.
  virtual absl::Status SetWrappers(std::vector<std::unique_ptr<RingKeyWrapper>> wrappers) = 0;
  // As Commit, with `ring_key` as the ring key from then on. What else is authenticated with the
  // ring key is made anew, and older generations, which the former ring key opens, are removed.
  virtual absl::StatusOr<std::shared_ptr<const Keyring>> CommitWithRingKey(
      const Keyring& next, uint64_t expected_generation,
      std::shared_ptr<const RingKey> ring_key) = 0;

  // The backups of the keyring that are known here (backup_log.h). NotFound if none ever was;
  // DataLoss if the list is damaged.
  virtual absl::StatusOr<std::vector<BackupLogEntry>> Backups() = 0;
  // Adds one, or what is new of it. A damaged list is begun anew.
  virtual absl::Status RecordBackup(const BackupLogEntry& entry) = 0;
};

}  // namespace kekd

#endif  // KEKD_KEYSTORE_KEYRING_STORE_H_
