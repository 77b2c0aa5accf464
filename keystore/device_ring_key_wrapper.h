// Wraps of a ring key by a key on a device.
#ifndef KEKD_KEYSTORE_DEVICE_RING_KEY_WRAPPER_H_
#define KEKD_KEYSTORE_DEVICE_RING_KEY_WRAPPER_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "keystore/key_backend.h"
#include "keystore/ring_key_wrapper.h"

namespace kekd {

struct DeviceRingKeyWrapperOptions {
  WrapType type = WrapType::kPkcs11;
  std::string device;  // for people: "token prod"
  // The device's backend, anew for each call and gone after it: nothing that could use the device's
  // keys outlives the moment in which it is needed. Custody `device`.
  std::function<absl::StatusOr<std::unique_ptr<KeyBackend>>()> connect;
  absl::Duration open_timeout;  // of UnwrapRingKey, so that the next wrap can be tried
  absl::Duration make_timeout;  // of what makes a wrap, or destroys its key
};

// Each wrap is under a key of its own that WrapRingKey makes on the device and Discard destroys;
// Wrap::reference names it. A wrap is proved by unwrapping before it is returned, and its key
// destroyed again if that fails. WrapRingKeyAgain uses the key that there is.
std::unique_ptr<RingKeyWrapper> CreateDeviceRingKeyWrapper(DeviceRingKeyWrapperOptions options);

}  // namespace kekd

#endif  // KEKD_KEYSTORE_DEVICE_RING_KEY_WRAPPER_H_
