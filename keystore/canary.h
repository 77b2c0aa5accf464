// Canaries: the proof that a key is the one its version names.
#ifndef KEKD_KEYSTORE_CANARY_H_
#define KEKD_KEYSTORE_CANARY_H_

#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/random_source.h"
#include "keystore/key_backend.h"

namespace kekd {

// Makes a key and the version that names it: generates, encrypts 32 random bytes under it (the
// canary, with the associated data of ciphertext.h), decrypts and compares them, derives the key
// id. The version is pre-activation and in no keyring yet. A key that fails the proof is destroyed
// again. Without a custody it is the backend's own (GenerateKeyIn).
absl::StatusOr<KeyVersion> MakeKeyVersion(const KeySpec& spec, KeyBackend& backend,
                                          const RandomSource& random, absl::Time now,
                                          absl::Time deadline,
                                          std::optional<Custody> custody = std::nullopt);

// The same with a key that is there already (KeyAdopter), which stays whatever happens.
// FailedPrecondition if the backend can't adopt keys.
absl::StatusOr<KeyVersion> AdoptKeyVersion(const KeySpec& spec, KeyBackend& backend,
                                           absl::string_view reference, bool allow_extractable,
                                           const RandomSource& random, absl::Time now,
                                           absl::Time deadline);

// Destroys a key that MakeKeyVersion has made and that surely came into no record, as long as it
// lies outside the record at all; within kDestroyTimeout. A key that stays is named in the log.
inline constexpr absl::Duration kDestroyTimeout = absl::Seconds(2);
void DestroyUnusedKey(const KeySpec& spec, const KeyMaterial& material, KeyBackend& backend);

// OK if `key` decrypts the version's canary and the canary fits the key id. DataLoss if it doesn't:
// this is another key, or the canary is damaged. The backend's own errors as they are.
absl::Status CheckCanary(const RingIdentity& ring, const KeyVersion& version, const BackendKey& key,
                         absl::Time deadline);

}  // namespace kekd

#endif  // KEKD_KEYSTORE_CANARY_H_
