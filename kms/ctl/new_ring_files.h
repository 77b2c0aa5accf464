// What has to be in place before a keyring is made or restored.
#ifndef KEKD_KMS_CTL_NEW_RING_FILES_H_
#define KEKD_KMS_CTL_NEW_RING_FILES_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/file_system.h"
#include "base/unique_fd.h"
#include "kms/config/config.h"

namespace kekd {

// Held while a keyring and its key file are made. Without it, one of two kekctl at once could
// remove the key file that the other has just used. It is the configuration file that is locked, as
// it is what both have in common and is there already.
absl::StatusOr<UniqueFd> LockConfiguration(const std::string& path);

// FailedPrecondition unless the folders are there in which the keyring's and the state folder are
// to be made.
absl::Status ExpectFoldersForRing(FileSystem& fs, const Config& config,
                                  const KeyringConfig& keyring);

// Makes them where they are missing if root is at work: then they belong, as all that is made in
// them will, to whom the one of them that is there belongs, or else the folder above the keyring's.
// So a daemon that is not root can use what root has made or restored for it.
absl::Status MakeFoldersForRing(FileSystem& fs, const Config& config, const KeyringConfig& keyring);

// Key files that this call made, removed again unless they are kept.
class NewKeyFiles final {
 public:
  explicit NewKeyFiles(FileSystem& fs) : fs_(fs) {}
  ~NewKeyFiles();
  NewKeyFiles(const NewKeyFiles&) = delete;
  NewKeyFiles& operator=(const NewKeyFiles&) = delete;

  // Makes the key files of the keyring's unlocks that are not there. They belong to whom the
  // keyring's folder belongs, so that root can make a ring for kekd's user.
  absl::Status MakeMissing(const KeyringConfig& keyring);
  // They stay; their paths.
  std::vector<std::string> Keep() { return std::exchange(paths_, {}); }

 private:
  FileSystem& fs_;
  std::vector<std::string> paths_;
};

}  // namespace kekd

#endif  // KEKD_KMS_CTL_NEW_RING_FILES_H_
