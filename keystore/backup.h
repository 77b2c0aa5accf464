// Backups of a keyring: one file that holds all that a software keyring is.
#ifndef KEKD_KEYSTORE_BACKUP_H_
#define KEKD_KEYSTORE_BACKUP_H_

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "base/bytes.h"
#include "base/random_source.h"
#include "base/secret_bytes.h"
#include "keystore/backup_header.h"
#include "keystore/backup_share.h"
#include "keystore/key_backend.h"
#include "keystore/keyring.h"
#include "keystore/open_keyring.h"
#include "keystore/ring_key.h"
#include "keystore/secret_source.h"

namespace kekd {

// A backup is the ring key and the keyring's record, sealed under a key that comes from a
// passphrase or from k of n shares, and from nothing else: no key file and no kekd is needed to
// open it. Of keys on a device it holds the references only, and keys that a device wraps as the
// device wrapped them: as the record does.

// Seal under a passphrase, which CheckNewPassphrase allows; `function` makes its key.
struct BackupPassphrase {
  const SecretBytes* passphrase = nullptr;
  KdfFunction function = KdfFunction::kScrypt;
};
// Either, or a new secret of which shares are made.
using BackupProtection = std::variant<BackupPassphrase, ShareNumbers>;

struct NewBackup {
  BackupHeader header;
  std::string bytes;                // the file
  std::vector<BackupShare> shares;  // if it is protected by shares: all of them
};

// Makes a backup of a record as it is on the disk. The record is verified under `ring_key` first:
// DataLoss if it does not fit. InvalidArgument for a passphrase or share numbers that won't do.
absl::StatusOr<NewBackup> MakeBackup(ByteView record, const RingKey& ring_key,
                                     const BackupProtection& protection,
                                     absl::string_view kekd_version, absl::Time now,
                                     const RandomSource& random);

// What opens a backup: a passphrase, read once from its source, or shares.
using BackupUnlock = std::variant<const SecretSource*, absl::Span<const BackupShare>>;

struct OpenedBackup {
  BackupHeader header;
  std::string record;  // as it was on the disk
  std::shared_ptr<const Keyring> keyring;
  std::shared_ptr<const RingKey> ring_key;
};

// Opens a backup and verifies what is in it. DataLoss if it is damaged; InvalidArgument if the
// passphrase is wrong, if it is opened by the other way, and as CombineBackupShares; the source's
// own errors as they are. `random` outlives the ring key.
absl::StatusOr<OpenedBackup> OpenBackup(ByteView bytes, const BackupUnlock& unlock,
                                        const RandomSource& random);

// The keyring of a backup with its keys, by what is in it alone: with the software backend under
// its ring key.
std::shared_ptr<const OpenKeyring> OpenBackupKeyring(const OpenedBackup& backup,
                                                     absl::Time deadline);

// What was found out of one key version.
struct VersionProof {
  enum class Result {
    kProven,     // its key is here: it decrypted the canary
    kElsewhere,  // a key on a device or at a remote, which can't be asked from here, is it or wraps
                 // it
    kFailed,     // its key should be here, and is not
  };
  uint32_t version = 0;
  KeyId key_id;
  KeyState state = KeyState::kPreActivation;
  Custody custody = Custody::kEnvelope;
  Result result = Result::kFailed;
  absl::Status status;  // why it is not proven
};

// Opens every version that may still decrypt, and its canary.
std::vector<VersionProof> ProveVersions(std::shared_ptr<const Keyring> keyring,
                                        const BackendSet& backends, absl::Time deadline);
// The same of a backup by what is in it alone: with the software backend under its ring key.
std::vector<VersionProof> ProveBackup(const OpenedBackup& backup, absl::Time deadline);
// DataLoss if one failed, naming the first; OK otherwise.
absl::Status CheckProofs(absl::Span<const VersionProof> proofs);

}  // namespace kekd

#endif  // KEKD_KEYSTORE_BACKUP_H_
