// What is to be said of a backup.
#ifndef KEKD_KMS_CTL_BACKUP_REPORT_H_
#define KEKD_KMS_CTL_BACKUP_REPORT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "kekd/admin/v1/admin.pb.h"
#include "keystore/backup.h"

namespace kekd {

// The keyring that is here, if it could be opened and is the one that was backed up.
struct CurrentRing {
  uint64_t generation = 0;
  std::vector<uint32_t> missing;  // versions that may decrypt and are not in the backup
};

struct BackupReport {
  std::string path;
  BackupHeader header;
  std::vector<VersionProof> proofs;      // of every version that may decrypt
  std::vector<std::string> share_files;  // that were written
  bool showed_words = false;             // the shares were shown as words
  // In the list of backups, else why it is not; nothing where it was not tried, as there is no
  // keyring here.
  std::optional<absl::Status> recorded;
  bool compares = false;  // with the keyring that is here; see `current`
  // What is here instead, where it is another keyring than the one that was backed up.
  std::string other_ring;
  std::optional<CurrentRing> current;
};

// The word of the caller let the backup in although a later generation was committed here, or the
// high-water file that tells of one could not be checked.
struct Overruled {
  std::optional<uint64_t> generation;  // the highest; nothing if it can't be told
};

struct RestoreReport {
  BackupReport backup;
  std::string directory;
  uint64_t generation = 0;                 // of the keyring that is there now
  std::vector<std::string> new_wraps;      // what opens it and did not open the backup's
  std::vector<std::string> new_key_files;  // that were made
  // All that open it now, also those that were removed after the backup was made.
  admin::v1::Keyring keyring;
  std::optional<Overruled> overruled;
};

}  // namespace kekd

#endif  // KEKD_KMS_CTL_BACKUP_REPORT_H_
