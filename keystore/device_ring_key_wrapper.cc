#include "keystore/device_ring_key_wrapper.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/length_prefixed.h"
#include "base/status_macros.h"
#include "keystore/canary.h"
#include "keystore/device_wrap.h"

namespace kekd {
namespace {

KeySpec SpecOf(const RingIdentity& ring) { return {ring, KeySpec::kForRingKey}; }

class DeviceRingKeyWrapper final : public RingKeyWrapper {
 public:
  explicit DeviceRingKeyWrapper(DeviceRingKeyWrapperOptions options)
      : options_(std::move(options)) {}

  WrapType type() const override { return options_.type; }
  std::string Describe() const override { return options_.device; }

  absl::StatusOr<Wrap> WrapRingKey(const RingKey& ring_key,
                                   const RingIdentity& ring) const override {
    const absl::Time deadline = absl::Now() + options_.make_timeout;
    KEKD_ASSIGN_OR_RETURN(const std::unique_ptr<KeyBackend> device, Connect());
    const absl::StatusOr<KeyMaterial> made = device->GenerateKey(SpecOf(ring), deadline);
    if (!made.ok()) return Named(made.status());
    absl::StatusOr<Wrap> wrap = WrapUnder(*made, ring_key, ring, *device, deadline);
    if (!wrap.ok()) DestroyUnusedKey(SpecOf(ring), *made, *device);
    return wrap;
  }

  absl::StatusOr<Wrap> WrapRingKeyAgain(const Wrap& former, const RingKey& ring_key,
                                        const RingIdentity& ring) const override {
    const absl::Time deadline = absl::Now() + options_.make_timeout;
    KEKD_ASSIGN_OR_RETURN(const KeyMaterial key, WrappingKeyOf(former));
    KEKD_ASSIGN_OR_RETURN(const std::unique_ptr<KeyBackend> device, Connect());
    KEKD_ASSIGN_OR_RETURN(Wrap wrap, WrapUnder(key, ring_key, ring, *device, deadline));
    wrap.number = former.number;
    wrap.node = former.node;
    return wrap;
  }

  absl::StatusOr<std::shared_ptr<const RingKey>> UnwrapRingKey(
      const Wrap& wrap, const RingIdentity& ring, const RandomSource& random) const override {
    const absl::Time deadline = absl::Now() + options_.open_timeout;
    KEKD_ASSIGN_OR_RETURN(const KeyMaterial material, WrappingKeyOf(wrap));
    KEKD_ASSIGN_OR_RETURN(const std::unique_ptr<KeyBackend> device, Connect());
    const absl::StatusOr<std::shared_ptr<const BackendKey>> key =
        device->OpenKey(SpecOf(ring), material, deadline);
    if (absl::IsNotFound(key.status())) return DoesNotOpen(key.status().message());
    if (absl::IsDataLoss(key.status())) return DoesNotOpen(key.status().message());
    if (!key.ok()) return Named(key.status());
    KEKD_ASSIGN_OR_RETURN(const DeviceWrap sealed, DeviceWrap::Parse(wrap.blob));
    absl::StatusOr<SecretBytes> secret = UnwrapByDevice(
        **key, sealed.sealed, AssociatedData(ring, *device, sealed.algorithm), deadline);
    if (absl::IsInvalidArgument(secret.status())) {
      return DoesNotOpen(
          "its key of that name is another than the one that has wrapped the ring key, or the "
          "keyring is damaged");
    }
    if (!secret.ok()) return Named(secret.status());
    return RingKey::Create(*std::move(secret), ring.ring_uuid, random);
  }

  absl::Status Discard(const Wrap& wrap, const RingIdentity& ring) const override {
    const absl::Time deadline = absl::Now() + options_.make_timeout;
    KEKD_ASSIGN_OR_RETURN(const KeyMaterial key, WrappingKeyOf(wrap));
    KEKD_ASSIGN_OR_RETURN(const std::unique_ptr<KeyBackend> device, Connect());
    return Named(device->DestroyKey(SpecOf(ring), key, deadline));
  }

 private:
  // With what failed before it.
  absl::Status Named(const absl::Status& status) const {
    return WithContext(status, options_.device);
  }

  absl::Status DoesNotOpen(absl::string_view why) const {
    return absl::DataLossError(absl::StrCat(options_.device, " does not open this keyring: ", why));
  }

  absl::StatusOr<std::unique_ptr<KeyBackend>> Connect() const {
    absl::StatusOr<std::unique_ptr<KeyBackend>> device = options_.connect();
    if (!device.ok()) return Named(device.status());
    return device;
  }

  absl::StatusOr<KeyMaterial> WrappingKeyOf(const Wrap& wrap) const {
    const absl::StatusOr<DeviceWrap> sealed = DeviceWrap::Parse(wrap.blob);
    if (!sealed.ok()) return Named(sealed.status());
    return WrappingKeyMaterial(wrap.reference, sealed->algorithm);
  }

  // Binds a wrap to its ring and to what it is of: a KEK's has another label (docs/formats.md).
  static std::string AssociatedData(const RingIdentity& ring, const KeyBackend& device,
                                    Algorithm algorithm) {
    LengthPrefixed fields;
    fields.Add("kekd/ring-key-wrap/device/1")
        .Add(ring.cluster_id.bytes())
        .Add(ring.ring_uuid.bytes())
        .Add(device.Describe().type)
        .AddU8(static_cast<uint8_t>(algorithm));
    return fields.bytes();
  }

  absl::StatusOr<Wrap> WrapUnder(const KeyMaterial& material, const RingKey& ring_key,
                                 const RingIdentity& ring, KeyBackend& device,
                                 absl::Time deadline) const {
    const absl::StatusOr<std::shared_ptr<const BackendKey>> key =
        device.OpenKey(SpecOf(ring), material, deadline);
    if (!key.ok()) return Named(key.status());
    absl::StatusOr<std::string> blob = WrapByDevice(
        **key, ring_key.secret(), AssociatedData(ring, device, material.algorithm), deadline);
    if (!blob.ok()) return Named(blob.status());
    Wrap wrap;
    wrap.type = options_.type;
    wrap.reference = material.key_reference;
    wrap.blob = *std::move(blob);
    return wrap;
  }

  const DeviceRingKeyWrapperOptions options_;
};

}  // namespace

std::unique_ptr<RingKeyWrapper> CreateDeviceRingKeyWrapper(DeviceRingKeyWrapperOptions options) {
  return std::make_unique<DeviceRingKeyWrapper>(std::move(options));
}

}  // namespace kekd
