// What the rotation manager sees of a keyring.
#ifndef KEKD_KEYSTORE_ROTATION_RING_VIEW_H_
#define KEKD_KEYSTORE_ROTATION_RING_VIEW_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "keystore/backup_log.h"
#include "keystore/key_state.h"
#include "keystore/keyring.h"
#include "keystore/rotation_record.h"

namespace kekd {

// RingView is one generation of a keyring without anything that is wrapped, as kekd tells it on its
// admin socket and as it is read from the files. Plain data.
struct RingView {
  struct Version {
    uint32_t number = 0;
    std::string key_id;
    std::string backend;
    Custody custody = Custody::kEnvelope;
    KeyState state = KeyState::kPreActivation;
    bool compromised = false;
    absl::Time creation_time = absl::InfiniteFuture();
    absl::Time activation_time = absl::InfiniteFuture();
  };

  std::string name;
  uint64_t generation = 0;
  std::vector<Version> versions;  // by number, from 1
  std::optional<RotationRecord> rotation;
  // Versions that may decrypt and are in no verified backup that is known here, and when the newest
  // of these backups was made.
  std::vector<uint32_t> without_backup;
  absl::Time newest_backup = absl::InfinitePast();

  // Null if there is none.
  const Version* Primary() const;
  const Version* Find(uint32_t number) const;
};

RingView ViewOf(const Keyring& keyring, const std::vector<BackupLogEntry>& backups);

}  // namespace kekd

#endif  // KEKD_KEYSTORE_ROTATION_RING_VIEW_H_
