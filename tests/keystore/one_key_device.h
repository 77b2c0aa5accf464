// A device with one key that is the same in every run, for files that are written once.
#ifndef KEKD_TESTS_KEYSTORE_ONE_KEY_DEVICE_H_
#define KEKD_TESTS_KEYSTORE_ONE_KEY_DEVICE_H_

#include <memory>

#include "base/random_source.h"
#include "keystore/aead.h"
#include "keystore/key_backend.h"

namespace kekd::testing {

// The key: 32 times the letter d, AES-256-GCM.
std::unique_ptr<const Aead> TheOneKey(const RandomSource& random = RandomSource::System());

// A backend of type "pkcs11" whose every key, "device:key", is the one. `random` outlives it.
std::unique_ptr<KeyBackend> CreateOneKeyDevice(const RandomSource& random = RandomSource::System());

}  // namespace kekd::testing

#endif  // KEKD_TESTS_KEYSTORE_ONE_KEY_DEVICE_H_
