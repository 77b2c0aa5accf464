// Where a keyring is kept.
#ifndef KEKD_KEYSTORE_KEYRING_STORE_H_
#define KEKD_KEYSTORE_KEYRING_STORE_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "keystore/keyring.h"

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
};

}  // namespace kekd

#endif  // KEKD_KEYSTORE_KEYRING_STORE_H_
