// The keys that a scan compares with and opens with.
#ifndef KEKD_KMS_CTL_SCAN_KEYS_H_
#define KEKD_KMS_CTL_SCAN_KEYS_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cluster/key_catalog.h"
#include "cluster/stored_object.h"
#include "keystore/open_keyring.h"
#include "kms/ctl/commands.h"
#include "kms/ctl/verbs.h"

namespace kekd {

struct ScanKeys {
  KeyCatalog catalog;
  std::vector<std::shared_ptr<const OpenKeyring>> keyrings;  // open; LoadOpenKeys only
  std::vector<std::string> from;  // "keyring prod", "backup /mnt/prod.backup"
  std::vector<Gap> missing;       // configured keyrings that could not be read; LoadKeyIds only
  std::string note;               // why there are none at all though none is missing, or empty
};

// The key ids of a backup, or of the configured keyrings (all, or the one of --keyring): from kekd,
// or from the files if it is not running. A keyring that can't be read is named as missing, as a
// scan is worth something without it. Needs no configuration.
absl::StatusOr<ScanKeys> LoadKeyIds(const CommandContext& context, const KeysFrom& from);

// The same with their keys open, from the files or the backup alone. Fails if one can't be read or
// if there is none: whoever asks for proof must not get half of it.
absl::StatusOr<ScanKeys> LoadOpenKeys(const CommandContext& context, const KeysFrom& from);

}  // namespace kekd

#endif  // KEKD_KMS_CTL_SCAN_KEYS_H_
