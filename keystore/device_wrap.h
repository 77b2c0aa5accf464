// 32 bytes as a key on a device wraps them: a KEK in custody `envelope`, a ring key.
#ifndef KEKD_KEYSTORE_DEVICE_WRAP_H_
#define KEKD_KEYSTORE_DEVICE_WRAP_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/bytes.h"
#include "base/secret_bytes.h"
#include "keystore/aead.h"
#include "keystore/key_backend.h"
#include "keystore/key_version.h"

namespace kekd {

// Wrap::blob of such a wrap: the algorithm of the device's key (u8), then what that key has made.
struct DeviceWrap {
  Algorithm algorithm = Algorithm::kAes256Gcm;
  ByteView sealed;  // points into the blob

  // DataLoss if it is none.
  static absl::StatusOr<DeviceWrap> Parse(absl::string_view blob);
};

// The device's own key, as the device's backend knows it.
KeyMaterial WrappingKeyMaterial(absl::string_view key_reference, Algorithm algorithm);

// The blob of a wrap of `secret`, proved by unwrapping: Internal if the device gives back something
// else.
absl::StatusOr<std::string> WrapByDevice(const BackendKey& key, const SecretBytes& secret,
                                         absl::string_view associated_data, absl::Time deadline);

// InvalidArgument if it is not a wrap of 32 bytes by this key with this associated data; else the
// errors of BackendKey::Decrypt.
absl::StatusOr<SecretBytes> UnwrapByDevice(const BackendKey& key, ByteView sealed,
                                           absl::string_view associated_data, absl::Time deadline);

}  // namespace kekd

#endif  // KEKD_KEYSTORE_DEVICE_WRAP_H_
