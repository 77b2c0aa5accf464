// A key-encryption key in kekd's own memory, open for use.
#ifndef KEKD_KEYSTORE_MEMORY_KEY_H_
#define KEKD_KEYSTORE_MEMORY_KEY_H_

#include <memory>

#include "absl/status/statusor.h"
#include "base/random_source.h"
#include "base/secret_bytes.h"
#include "keystore/aead.h"
#include "keystore/key_backend.h"

namespace kekd {

// The key of custody `envelope` once it is unwrapped, whatever had wrapped it. It never blocks, so
// deadlines are not looked at. InvalidArgument unless `kek` has kAes256KeyBytes bytes. `random`
// outlives the result.
absl::StatusOr<std::shared_ptr<const BackendKey>> CreateMemoryKey(Algorithm algorithm,
                                                                  SecretBytes kek,
                                                                  const RandomSource& random);

}  // namespace kekd

#endif  // KEKD_KEYSTORE_MEMORY_KEY_H_
