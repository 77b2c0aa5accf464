// Keys in software: made by kekd, kept in the record under the ring key.
#ifndef KEKD_KEYSTORE_SOFTWARE_KEY_BACKEND_H_
#define KEKD_KEYSTORE_SOFTWARE_KEY_BACKEND_H_

#include <memory>

#include "absl/strings/string_view.h"
#include "base/random_source.h"
#include "keystore/key_backend.h"
#include "keystore/ring_key.h"

namespace kekd {

inline constexpr absl::string_view kSoftwareBackend = "software";

// The software backend, custody envelope: 32 random bytes a key, used with XAES-256-GCM, whose
// random 192-bit nonces need no counter that would have to survive a crash. Nothing of it blocks,
// so deadlines are not looked at. `random` outlives the backend and its keys.
std::unique_ptr<KeyBackend> CreateSoftwareKeyBackend(std::shared_ptr<const CurrentRingKey> ring_key,
                                                     const RandomSource& random);
// The same for a ring whose ring key does not change meanwhile.
std::unique_ptr<KeyBackend> CreateSoftwareKeyBackend(std::shared_ptr<const RingKey> ring_key,
                                                     const RandomSource& random);

}  // namespace kekd

#endif  // KEKD_KEYSTORE_SOFTWARE_KEY_BACKEND_H_
