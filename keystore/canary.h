// Canaries: the proof that a key is the one its version names.
#ifndef KEKD_KEYSTORE_CANARY_H_
#define KEKD_KEYSTORE_CANARY_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/random_source.h"
#include "keystore/key_backend.h"

namespace kekd {

// Makes a key and the version that names it: generates, encrypts 32 random bytes under it (the
// canary, with the associated data of ciphertext.h), decrypts and compares them, derives the key
// id. The version is pre-activation and in no keyring yet.
absl::StatusOr<KeyVersion> MakeKeyVersion(const KeySpec& spec, KeyBackend& backend,
                                          const RandomSource& random, absl::Time now,
                                          absl::Time deadline);

// OK if `key` decrypts the version's canary and the canary fits the key id. DataLoss if it doesn't:
// this is another key, or the canary is damaged. The backend's own errors as they are.
absl::Status CheckCanary(const RingIdentity& ring, const KeyVersion& version, const BackendKey& key,
                         absl::Time deadline);

}  // namespace kekd

#endif  // KEKD_KEYSTORE_CANARY_H_
