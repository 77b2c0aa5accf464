#include "keystore/envelope_key_backend.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/length_prefixed.h"
#include "base/mutex.h"
#include "base/status_macros.h"
#include "keystore/canary.h"
#include "keystore/device_wrap.h"
#include "keystore/memory_key.h"

namespace kekd {
namespace {

constexpr absl::Duration kLongestWait = absl::Hours(1);

absl::Status NotOfThisVersion(const KeySpec& spec) {
  return absl::DataLossError(absl::StrCat("the wrapped key of key version ", spec.version,
                                          " of keyring \"", spec.ring.name,
                                          "\" is damaged or belongs to another version"));
}

// A blob of another version, or a damaged one.
absl::StatusOr<DeviceWrap> ParseWrap(absl::string_view blob, const KeySpec& spec) {
  absl::StatusOr<DeviceWrap> wrap = DeviceWrap::Parse(blob);
  if (absl::IsDataLoss(wrap.status())) return NotOfThisVersion(spec);
  return wrap;
}

// A key that its device has unwrapped.
class EnvelopeKey final : public BackendKey {
 public:
  EnvelopeKey(std::shared_ptr<const BackendKey> key, std::shared_ptr<const BackendKey> wrapping,
              std::string sealed, std::string associated_data, const RandomSource& random)
      : key_(std::move(key)),
        wrapping_(std::move(wrapping)),
        sealed_(std::move(sealed)),
        associated_data_(std::move(associated_data)),
        random_(random) {}

  Algorithm algorithm() const override { return key_->algorithm(); }
  bool MayBlock() const override { return false; }
  absl::StatusOr<std::string> Encrypt(const SecretBytes& plaintext, ByteView associated_data,
                                      absl::Time deadline) const override {
    return key_->Encrypt(plaintext, associated_data, deadline);
  }
  absl::StatusOr<SecretBytes> Decrypt(ByteView sealed, ByteView associated_data,
                                      absl::Time deadline) const override {
    return key_->Decrypt(sealed, associated_data, deadline);
  }
  // Any of the places may have to unwrap it at the next start, which nobody has asked since it was
  // opened.
  absl::Status ProveEverywhere(absl::Time deadline) const override {
    KEKD_RETURN_IF_ERROR(ProveUnwrapped(deadline));
    return wrapping_->ProveEverywhere(deadline);
  }

 private:
  absl::Status ProveUnwrapped(absl::Time deadline) const {
    absl::Status another = absl::FailedPreconditionError(
        "what wraps the key on its device does not unwrap it any more");
    absl::StatusOr<SecretBytes> kek =
        UnwrapByDevice(*wrapping_, AsBytes(sealed_), associated_data_, deadline);
    if (absl::IsInvalidArgument(kek.status())) return another;
    KEKD_RETURN_IF_ERROR(kek.status());
    KEKD_ASSIGN_OR_RETURN(const std::shared_ptr<const BackendKey> again,
                          CreateMemoryKey(key_->algorithm(), *std::move(kek), random_));
    KEKD_ASSIGN_OR_RETURN(
        const std::string proof,
        again->Encrypt(SecretBytes(kAes256KeyBytes), AsBytes(associated_data_), deadline));
    return key_->Decrypt(AsBytes(proof), AsBytes(associated_data_), deadline).ok()
               ? absl::OkStatus()
               : another;
  }

  const std::shared_ptr<const BackendKey> key_;
  const std::shared_ptr<const BackendKey> wrapping_;  // has unwrapped it
  const std::string sealed_;                          // what it has unwrapped
  const std::string associated_data_;
  const RandomSource& random_;
};

class EnvelopeKeyBackend final : public KeyBackend, public EnvelopeMaker {
 public:
  EnvelopeKeyBackend(std::unique_ptr<KeyBackend> device, WrapType wrap_type,
                     const RandomSource& random)
      : device_(std::move(device)), wrap_type_(wrap_type), random_(random) {}

  Description Describe() const override { return device_->Describe(); }
  absl::Status Probe(absl::Time deadline) override { return device_->Probe(deadline); }
  std::vector<KeyPlace> Places() const override { return device_->Places(); }
  KeyAdopter* adopter() override { return device_->adopter(); }
  // Of a wrapped key what the device holds is the one that wraps it, and the reference names that.
  KeyAttester* attester() override { return device_->attester(); }
  EnvelopeMaker* envelope_maker() override { return this; }

  absl::StatusOr<KeyMaterial> GenerateKey(const KeySpec& spec, absl::Time deadline) override {
    return device_->GenerateKey(spec, deadline);
  }

  absl::StatusOr<KeyMaterial> GenerateEnvelopeKey(const KeySpec& spec,
                                                  absl::Time deadline) override {
    KEKD_ASSIGN_OR_RETURN(const KeyMaterial wrapping, device_->GenerateKey(spec, deadline));
    absl::StatusOr<KeyMaterial> material = WrapNewKey(spec, wrapping, deadline);
    if (!material.ok()) DestroyUnusedKey(spec, wrapping, *device_);
    return material;
  }

  absl::StatusOr<std::shared_ptr<const BackendKey>> OpenKey(const KeySpec& spec,
                                                            const KeyMaterial& material,
                                                            absl::Time deadline) override {
    if (material.custody == Custody::kDevice) return device_->OpenKey(spec, material, deadline);
    const auto wrap = std::find_if(material.wraps.begin(), material.wraps.end(),
                                   [this](const Wrap& each) { return each.type == wrap_type_; });
    if (wrap == material.wraps.end()) {
      return absl::DataLossError(
          absl::StrCat("key version ", spec.version, " has no wrap that its device opens"));
    }
    return OpenOnce(spec, material, *wrap, deadline);
  }

  absl::Status DestroyKey(const KeySpec& spec, const KeyMaterial& material,
                          absl::Time deadline) override {
    if (material.custody == Custody::kDevice) return device_->DestroyKey(spec, material, deadline);
    for (const Wrap& wrap : material.wraps) {
      if (wrap.type != wrap_type_) continue;
      KEKD_ASSIGN_OR_RETURN(const DeviceWrap kek, ParseWrap(wrap.blob, spec));
      return device_->DestroyKey(spec, WrappingKeyMaterial(material.key_reference, kek.algorithm),
                                 deadline);
    }
    // A destroyed version has no wraps that would say of which algorithm the device's key was.
    absl::Status refused = NotOfThisVersion(spec);
    for (uint32_t number = 1; number <= UINT8_MAX && absl::IsDataLoss(refused); ++number) {
      const absl::StatusOr<Algorithm> algorithm = AlgorithmFromNumber(number);
      if (!algorithm.ok()) continue;
      refused = device_->DestroyKey(spec, WrappingKeyMaterial(material.key_reference, *algorithm),
                                    deadline);
    }
    return refused;
  }

 private:
  using OpenedKey = absl::StatusOr<std::shared_ptr<const BackendKey>>;
  // One unwrapping, for all who want the same key meanwhile.
  struct Flight {
    bool landed = false;
    OpenedKey key = absl::UnknownError("not opened yet");
  };

  // Binds a wrap to its place, as that of a software KEK is bound, and to who made it.
  std::string AssociatedData(const KeySpec& spec, Algorithm algorithm) const {
    LengthPrefixed fields;
    fields.Add("kekd/kek-wrap/device/1")
        .Add(spec.ring.cluster_id.bytes())
        .Add(spec.ring.ring_uuid.bytes())
        .AddU32(spec.version)
        .Add(device_->Describe().type)
        .AddU8(static_cast<uint8_t>(algorithm));
    return fields.bytes();
  }

  absl::StatusOr<KeyMaterial> WrapNewKey(const KeySpec& spec, const KeyMaterial& wrapping,
                                         absl::Time deadline) {
    KEKD_ASSIGN_OR_RETURN(const std::shared_ptr<const BackendKey> device_key,
                          device_->OpenKey(spec, wrapping, deadline));
    SecretBytes kek(kAes256KeyBytes);
    KEKD_RETURN_IF_ERROR(random_.Fill(kek.RevealMutable(SecretAccessToken())));
    KEKD_ASSIGN_OR_RETURN(
        std::string blob,
        WrapByDevice(*device_key, kek, AssociatedData(spec, device_key->algorithm()), deadline));
    KeyMaterial material;
    material.custody = Custody::kEnvelope;
    material.algorithm = Algorithm::kXaes256Gcm;
    material.key_reference = wrapping.key_reference;
    Wrap& wrap = material.wraps.emplace_back();
    wrap.type = wrap_type_;
    wrap.reference = device_->Describe().detail;
    wrap.blob = std::move(blob);
    return material;
  }

  OpenedKey OpenOnce(const KeySpec& spec, const KeyMaterial& material, const Wrap& wrap,
                     absl::Time deadline) {
    LengthPrefixed fields;
    fields.Add(AssociatedData(spec, material.algorithm)).Add(material.key_reference).Add(wrap.blob);
    const std::string id = fields.bytes();
    std::shared_ptr<Flight> flight;
    {
      MutexLock lock(&mu_);
      while (flight == nullptr) {
        const auto [place, mine] = flights_.try_emplace(id);
        if (mine) {
          flight = place->second = std::make_shared<Flight>();
          break;
        }
        const std::shared_ptr<const Flight> theirs = place->second;
        KEKD_RETURN_IF_ERROR(AwaitLocked(*theirs, deadline));
        // That it had less time says nothing.
        if (!absl::IsDeadlineExceeded(theirs->key.status())) return theirs->key;
      }
    }
    OpenedKey key = Unwrap(spec, material, wrap, deadline);
    MutexLock lock(&mu_);
    flight->landed = true;
    flight->key = key;
    flights_.erase(id);
    landed_.NotifyAll();
    return key;
  }

  absl::Status AwaitLocked(const Flight& flight, absl::Time deadline)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    while (!flight.landed) {
      const absl::Duration left = deadline - absl::Now();
      if (left <= absl::ZeroDuration()) {
        return absl::DeadlineExceededError("the key is still being unwrapped by its device");
      }
      landed_.WaitFor(&mu_, std::min(left, kLongestWait));
    }
    return absl::OkStatus();
  }

  OpenedKey Unwrap(const KeySpec& spec, const KeyMaterial& material, const Wrap& wrap,
                   absl::Time deadline) {
    KEKD_ASSIGN_OR_RETURN(const DeviceWrap sealed, ParseWrap(wrap.blob, spec));
    KEKD_ASSIGN_OR_RETURN(
        const std::shared_ptr<const BackendKey> device_key,
        device_->OpenKey(spec, WrappingKeyMaterial(material.key_reference, sealed.algorithm),
                         deadline));
    std::string associated_data = AssociatedData(spec, sealed.algorithm);
    absl::StatusOr<SecretBytes> kek =
        UnwrapByDevice(*device_key, sealed.sealed, associated_data, deadline);
    if (absl::IsInvalidArgument(kek.status())) return NotOfThisVersion(spec);
    if (!kek.ok()) return kek.status();
    KEKD_ASSIGN_OR_RETURN(std::shared_ptr<const BackendKey> key,
                          CreateMemoryKey(material.algorithm, *std::move(kek), random_));
    return std::make_shared<const EnvelopeKey>(std::move(key), device_key,
                                               std::string(AsText(sealed.sealed)),
                                               std::move(associated_data), random_);
  }

  const std::unique_ptr<KeyBackend> device_;
  const WrapType wrap_type_;
  const RandomSource& random_;
  Mutex mu_;
  CondVar landed_;
  std::map<std::string, std::shared_ptr<Flight>> flights_ ABSL_GUARDED_BY(mu_);
};

}  // namespace

std::unique_ptr<KeyBackend> CreateEnvelopeKeyBackend(std::unique_ptr<KeyBackend> device,
                                                     WrapType wrap_type,
                                                     const RandomSource& random) {
  return std::make_unique<EnvelopeKeyBackend>(std::move(device), wrap_type, random);
}

}  // namespace kekd
