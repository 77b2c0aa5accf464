#include "keystore/device_wrap.h"

#include <cstdint>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace kekd {

absl::StatusOr<DeviceWrap> DeviceWrap::Parse(absl::string_view blob) {
  if (blob.empty()) return absl::DataLossError("what a device should have wrapped is empty");
  KEKD_ASSIGN_OR_RETURN(const Algorithm algorithm,
                        AlgorithmFromNumber(static_cast<uint8_t>(blob.front())));
  return DeviceWrap{algorithm, AsBytes(blob).subspan(1)};
}

KeyMaterial WrappingKeyMaterial(absl::string_view key_reference, Algorithm algorithm) {
  return {.custody = Custody::kDevice,
          .algorithm = algorithm,
          .key_reference = std::string(key_reference),
          .wraps = {}};
}

absl::StatusOr<std::string> WrapByDevice(const BackendKey& key, const SecretBytes& secret,
                                         absl::string_view associated_data, absl::Time deadline) {
  KEKD_ASSIGN_OR_RETURN(const std::string sealed,
                        key.Encrypt(secret, AsBytes(associated_data), deadline));
  KEKD_ASSIGN_OR_RETURN(const SecretBytes again,
                        key.Decrypt(AsBytes(sealed), AsBytes(associated_data), deadline));
  if (!SecretBytes::ConstantTimeEquals(secret, again)) {
    return absl::InternalError("the device unwraps the key that it has wrapped to another one");
  }
  return absl::StrCat(std::string(1, static_cast<char>(key.algorithm())), sealed);
}

absl::StatusOr<SecretBytes> UnwrapByDevice(const BackendKey& key, ByteView sealed,
                                           absl::string_view associated_data, absl::Time deadline) {
  KEKD_ASSIGN_OR_RETURN(SecretBytes secret,
                        key.Decrypt(sealed, AsBytes(associated_data), deadline));
  if (secret.size() == kAes256KeyBytes) return secret;
  return absl::InvalidArgumentError("what the device has unwrapped is no key of 32 bytes");
}

}  // namespace kekd
