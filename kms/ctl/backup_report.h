// What is to be said of a backup.
#ifndef KEKD_KMS_CTL_BACKUP_REPORT_H_
#define KEKD_KMS_CTL_BACKUP_REPORT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "keystore/backup.h"

namespace kekd {

struct BackupReport {
  std::string path;
  BackupHeader header;
  std::vector<VersionProof> proofs;      // of every version that may decrypt
  std::vector<std::string> share_files;  // that were written
  bool showed_words = false;             // the shares were shown as words
  absl::Status recorded;                 // in the list of backups; else why it is not
  // The keyring that is here, if it is the one that was backed up.
  struct Current {
    uint64_t generation = 0;
    std::vector<uint32_t> missing;  // versions that may decrypt and are not in the backup
  };
  std::optional<Current> current;
};

struct RestoreReport {
  BackupReport backup;
  std::string directory;
  uint64_t generation = 0;                 // of the keyring that is there now
  std::vector<std::string> new_wraps;      // what opens it and did not open the backup's
  std::vector<std::string> new_key_files;  // that were made
};

}  // namespace kekd

#endif  // KEKD_KMS_CTL_BACKUP_REPORT_H_
