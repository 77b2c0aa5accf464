// A keyring in a folder.
#ifndef KEKD_KEYSTORE_FILE_KEYRING_STORE_H_
#define KEKD_KEYSTORE_FILE_KEYRING_STORE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "base/durable_file.h"
#include "base/file_system.h"
#include "base/mutex.h"
#include "base/random_source.h"
#include "keystore/backup_log.h"
#include "keystore/high_water.h"
#include "keystore/keyring_record.h"
#include "keystore/keyring_store.h"
#include "keystore/ring_key.h"
#include "keystore/ring_key_wrapper.h"

namespace kekd {

// FileKeyringStore keeps a keyring in a folder of its own:
//
//   keyring         the newest record (keyring_record.h)
//   keyring.<n>     a second copy of it under its number, and the kKeptGenerations before it
//   keyring.lock    held (flock) by the one process that may write
//
// and its high-water file in the state folder. A commit is: check the generation on the disk, keep
// the old record under its number, write the new one beside it, sync, rename, sync the folder,
// raise the high-water file, write the new record once more under its own number. A crash at any
// point leaves the old or the new record, whole. Thread-safe.
class FileKeyringStore final : public KeyringStore {
 public:
  static constexpr size_t kKeptGenerations = 32;

  struct Options {
    FileSystem* fs = nullptr;              // outlives the store
    const RandomSource* random = nullptr;  // outlives the store
    std::string directory;
    std::string state_directory;
    std::vector<std::unique_ptr<RingKeyWrapper>> wrappers;
  };
  enum class Access {
    kReadOnly,   // takes no lock and writes nothing
    kExclusive,  // the one writer: Unavailable if another process is
  };

  // Opens the ring that is there and checks it as Load does.
  static absl::StatusOr<std::unique_ptr<FileKeyringStore>> Open(Options options, Access access);

  // Fills a new ring with its first key versions.
  using InitialKeyring = absl::FunctionRef<absl::StatusOr<Keyring>(
      const Keyring& empty, const std::shared_ptr<const RingKey>& ring_key)>;
  // Makes a ring in one step: the folders (0700) if they are missing, a new ring key under every
  // wrapper, and what `initial` returns as generation 1. AlreadyExists if there is a ring, whole or
  // damaged. Files get the folder's owner.
  static absl::StatusOr<std::unique_ptr<FileKeyringStore>> Create(Options options,
                                                                  const RingIdentity& identity,
                                                                  absl::Time now,
                                                                  InitialKeyring initial);

  // Takes generation `generation`, which must be the one on the disk, for the newest. For a ring
  // that Open refuses because of its high-water file, and for nothing else. The numbers of the kept
  // generations count as used also if the high-water file is lost.
  static absl::StatusOr<std::shared_ptr<const Keyring>> AcceptRollback(const Options& options,
                                                                       uint64_t generation);

  // A keyring that was opened from a backup.
  struct RestoreRequest {
    std::shared_ptr<const Keyring> keyring;
    std::shared_ptr<const RingKey> ring_key;
    absl::string_view record;                     // its bytes
    std::optional<uint64_t> accepted_generation;  // restore it although a later one was here
    absl::Time now;
  };
  struct Restored {
    std::unique_ptr<FileKeyringStore> store;
    uint64_t generation = 0;             // above the backup's if it has new wraps
    std::vector<std::string> new_wraps;  // what opens the ring now and did not open the backup's
  };
  // Puts a keyring where there is none, in one step as Create does, so that every wrapper opens it:
  // one that opens none of its wraps gets a new one; the others stay, but for one of a key file at
  // the same place. AlreadyExists if there is a ring, whole or damaged; FailedPrecondition if the
  // high-water file tells of a later generation, or can't be checked, and
  // `request.accepted_generation` is not the keyring's.
  static absl::StatusOr<Restored> Restore(Options options, const RestoreRequest& request);
  // Only these refusals. Writes nothing.
  static absl::Status CheckCanRestore(const Options& options, const RestoreRequest& request);

  // What one file of the ring's folder is worth.
  struct CopyReport {
    std::string path;
    std::optional<uint64_t> generation;  // if the record's form allows to tell it
    absl::Status status;                 // OK if it is whole and authentic
    // The record itself is, whatever else `status` of the current one says.
    bool is_whole = false;
  };
  // Checks every record in the folder, the newest first. The first element is the current record;
  // its status also covers the high-water file. Writes nothing. Error only if the folder can't be
  // read.
  static absl::StatusOr<std::vector<CopyReport>> Verify(const Options& options);

  absl::StatusOr<std::shared_ptr<const Keyring>> Load() override;
  absl::StatusOr<std::shared_ptr<const Keyring>> Commit(const Keyring& next,
                                                        uint64_t expected_generation) override;

  absl::StatusOr<std::shared_ptr<const Keyring>> CommitWithRingKey(
      const Keyring& next, uint64_t expected_generation,
      std::shared_ptr<const RingKey> ring_key) override;
  std::shared_ptr<const CurrentRingKey> ring_key() const override { return ring_key_; }
  absl::StatusOr<std::shared_ptr<const RingKey>> OpenRingKey(absl::Span<const Wrap> wraps) override;
  std::string Opener() override;
  absl::Status SetWrappers(std::vector<std::unique_ptr<RingKeyWrapper>> wrappers) override;
  absl::StatusOr<std::vector<BackupLogEntry>> Backups() override;
  absl::Status RecordBackup(const BackupLogEntry& entry) override;

  const std::string& directory() const { return options_.directory; }

 private:
  FileKeyringStore(Options options, Access access, std::unique_ptr<FileLock> lock,
                   const Uuid& ring_uuid, std::shared_ptr<const RingKey> ring_key);

  // A high-water file that should be raised and can't be is an error for `insist_on_mark` only.
  absl::StatusOr<std::shared_ptr<const Keyring>> LoadLocked(bool insist_on_mark)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Of the record that is there, and `keyring` in it, nothing is known but that it can be read.
  absl::Status MakeDurable(const Keyring& keyring, const DurableFileOptions& file_options) const;
  absl::StatusOr<std::shared_ptr<const Keyring>> CommitLocked(
      const Keyring& next, uint64_t expected_generation,
      const std::shared_ptr<const RingKey>& ring_key) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::StatusOr<std::vector<BackupLogEntry>> BackupsLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Writes the list of backups under another ring key. A warning if it can't.
  void CarryBackupsOver(const absl::StatusOr<std::vector<BackupLogEntry>>& entries,
                        const RingKey& ring_key, const DurableFileOptions& file_options) const;
  void SetOpener(std::string opener);
  absl::Status KeepGeneration(uint64_t generation) const;
  // Removes all but the newest kKeptGenerations before `newest`, and, if `newest` has a second
  // copy, those under an earlier ring key: what opened a wrap that was removed opens them. A change
  // of the ring key that was cut off before it came here is made good by the next commit. Copies
  // under a later ring key (left by a rollback), damaged ones and that of generation `former` stay.
  void PruneGenerations(const Keyring& newest, uint64_t former, bool has_copy) const;

  const Options options_;  // but for its wrappers, which are in wrappers_
  const Access access_;
  const std::unique_ptr<FileLock> lock_;
  const Uuid ring_uuid_;
  const std::shared_ptr<CurrentRingKey> ring_key_;  // set under mu_ only
  Mutex mu_;                                        // one Load or Commit at a time
  std::vector<std::unique_ptr<RingKeyWrapper>> wrappers_ ABSL_GUARDED_BY(mu_);
  std::string coming_opener_ ABSL_GUARDED_BY(mu_);  // of the last OpenRingKey
  mutable Mutex opener_mu_;  // of who asks, and must not wait for a disk; taken after mu_
  std::string opener_ ABSL_GUARDED_BY(opener_mu_);
  // Of a commit that changes the ring key and that has not reported its end.
  std::shared_ptr<const RingKey> coming_ring_key_ ABSL_GUARDED_BY(mu_);
  uint64_t durable_generation_ ABSL_GUARDED_BY(mu_) = 0;  // was synced by this store
  bool mark_warned_ ABSL_GUARDED_BY(mu_) = false;         // one warning for each time that it can't
};

}  // namespace kekd

#endif  // KEKD_KEYSTORE_FILE_KEYRING_STORE_H_
