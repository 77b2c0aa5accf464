// Custody `envelope` over a backend of devices: the device wraps the key, kekd works with it.
#ifndef KEKD_KEYSTORE_ENVELOPE_KEY_BACKEND_H_
#define KEKD_KEYSTORE_ENVELOPE_KEY_BACKEND_H_

#include <memory>

#include "base/random_source.h"
#include "keystore/key_backend.h"

namespace kekd {

// Adds an EnvelopeMaker to `device`, whose keys are of custody `device`: 32 random bytes a key,
// used as the software backend uses its own (XAES-256-GCM), wrapped by a key of their own on the
// device, which is asked once when the key is opened and never again. Who opens a key that is just
// being opened waits for that one. All else is `device`'s: what Describe, Probe and Places say, its
// adopter and attester, and its keys of custody `device`; also whether a key can be unwrapped
// everywhere (ProveEverywhere, which does ask it). Wraps are of type `wrap_type`. `random` outlives
// the backend and its keys.
std::unique_ptr<KeyBackend> CreateEnvelopeKeyBackend(std::unique_ptr<KeyBackend> device,
                                                     WrapType wrap_type,
                                                     const RandomSource& random);

}  // namespace kekd

#endif  // KEKD_KEYSTORE_ENVELOPE_KEY_BACKEND_H_
