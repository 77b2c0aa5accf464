// The files of a keyring's folder. For FileKeyringStore's own use.
#ifndef KEKD_KEYSTORE_RING_FOLDER_H_
#define KEKD_KEYSTORE_RING_FOLDER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/durable_file.h"
#include "base/file_system.h"
#include "base/uuid.h"
#include "keystore/file_keyring_store.h"
#include "keystore/high_water.h"
#include "keystore/keyring.h"
#include "keystore/ring_key.h"

namespace kekd::ring_folder {

using Options = FileKeyringStore::Options;

std::string RecordPath(const Options& options);
std::string GenerationPath(const Options& options, uint64_t generation);

// The folders (0700), where they are missing.
absl::Status MakeFolders(const Options& options);
// PermissionDenied, with what to run, if anybody but root and the ring's user could put another
// file in place.
absl::Status CheckFolders(const Options& options);

// Files that root makes belong to whom the ring's folder belongs. Anybody else's are his own: he
// could not give them away, not even to the folder's group unless he is in it.
absl::StatusOr<DurableFileOptions> FileOptions(const Options& options);

// The lock that the one writer holds; Unavailable if another process has it.
absl::StatusOr<std::unique_ptr<FileLock>> LockFolder(const Options& options);

struct OpenedRecord {
  Keyring keyring;
  std::shared_ptr<const RingKey> ring_key;
  std::string opener;  // of the ring key; empty if it was given
};

// Reads and authenticates one record: under `ring_key`, or, if that is null, under what the
// wrappers open. `generation`, if not null, is also set for a record that has the right form only.
absl::StatusOr<OpenedRecord> ReadRecord(const Options& options, const std::string& path,
                                        std::shared_ptr<const RingKey> ring_key,
                                        std::optional<uint64_t>* generation = nullptr);
// The same for the current record; its errors tell what to do.
absl::StatusOr<OpenedRecord> ReadCurrent(const Options& options,
                                         std::shared_ptr<const RingKey> ring_key,
                                         std::optional<uint64_t>* generation = nullptr);

// Of a record that tells of something unknown: DataLoss if nobody with this ring key wrote it.
absl::Status CheckNewer(const Options& options, const std::string& path, const RingKey& ring_key);

// Before anything is locked: where there is no ring, no lock file is left behind.
absl::Status CheckThereIsOne(const Options& options);

// The numbers of the kept generations, ascending.
absl::StatusOr<std::vector<uint64_t>> KeptGenerations(const Options& options);

// The highest generation that anything here tells of: what `known` is, and the kept generations. A
// lost high-water file does not know of these, and their numbers must not come back.
absl::StatusOr<uint64_t> HighestGeneration(const Options& options, uint64_t known);

// Removes what a write that was cut off has left of `path`. Under the ring's lock only.
absl::Status RemoveTemporary(FileSystem& fs, absl::string_view path);

// Removes what writes that were cut off have left of any file of this ring. Best effort: whatever
// stays is tried again by the next commit. Under the ring's lock only.
void RemoveTemporaries(const Options& options, const Uuid& ring_uuid);

// Writes the newest record a second time, under its number, as a file of its own: a bad sector in
// one of the two must not lose what was acknowledged. The commit itself is done by then.
// False, after a warning in the log, if it could not be written.
bool WriteCopy(const Options& options, uint64_t generation, absl::string_view bytes,
               const DurableFileOptions& file_options);

struct CheckedRecord {
  Keyring keyring;
  HighWater high_water;
};

// Reads the current record and checks it against the high-water file, which is read first: a commit
// between the two looks then makes the record newer than the mark, and not a rollback of it. A mark
// under the former ring key counts: a change of the ring key may have been cut off before it
// reached the mark, or have come with a record from another node.
absl::StatusOr<CheckedRecord> ReadChecked(const Options& options, const Uuid& ring_uuid,
                                          const std::shared_ptr<const RingKey>& ring_key);

}  // namespace kekd::ring_folder

#endif  // KEKD_KEYSTORE_RING_FOLDER_H_
