#include "keystore/software_key_backend.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "keystore/memory_key.h"

namespace kekd {
namespace {

class SoftwareKeyBackend final : public KeyBackend {
 public:
  SoftwareKeyBackend(std::shared_ptr<const CurrentRingKey> ring_key, const RandomSource& random)
      : ring_key_(std::move(ring_key)), random_(random) {}

  Description Describe() const override {
    return {std::string(kSoftwareBackend), "keys in the keyring's record, under its ring key",
            Custody::kEnvelope};
  }

  absl::StatusOr<KeyMaterial> GenerateKey(const KeySpec& spec, absl::Time /*deadline*/) override {
    SecretBytes kek(kAes256KeyBytes);
    KEKD_RETURN_IF_ERROR(random_.Fill(kek.RevealMutable(SecretAccessToken())));
    KeyMaterial material;
    material.custody = Custody::kEnvelope;
    material.algorithm = Algorithm::kXaes256Gcm;
    KEKD_ASSIGN_OR_RETURN(material.wraps.emplace_back(), ring_key_->Get()->WrapKek(kek, spec));
    return material;
  }

  absl::StatusOr<std::shared_ptr<const BackendKey>> OpenKey(const KeySpec& spec,
                                                            const KeyMaterial& material,
                                                            absl::Time /*deadline*/) override {
    absl::Status failed = absl::NotFoundError(
        absl::StrCat("key version ", spec.version, " has no wrap that the ring key opens"));
    const std::shared_ptr<const RingKey> ring_key = ring_key_->Get();
    for (const Wrap& wrap : material.wraps) {
      if (wrap.type != WrapType::kRingKey) continue;
      absl::StatusOr<SecretBytes> kek = ring_key->UnwrapKek(wrap, spec);
      if (kek.ok()) return CreateMemoryKey(material.algorithm, *std::move(kek), random_);
      failed = kek.status();
    }
    return failed;
  }

  // The key lies in the record only; dropping its wraps there is all there is to do.
  absl::Status DestroyKey(const KeySpec& /*spec*/, const KeyMaterial& /*material*/,
                          absl::Time /*deadline*/) override {
    return absl::OkStatus();
  }

  absl::Status Probe(absl::Time /*deadline*/) override { return absl::OkStatus(); }

 private:
  const std::shared_ptr<const CurrentRingKey> ring_key_;
  const RandomSource& random_;
};

}  // namespace

std::unique_ptr<KeyBackend> CreateSoftwareKeyBackend(std::shared_ptr<const CurrentRingKey> ring_key,
                                                     const RandomSource& random) {
  return std::make_unique<SoftwareKeyBackend>(std::move(ring_key), random);
}

std::unique_ptr<KeyBackend> CreateSoftwareKeyBackend(std::shared_ptr<const RingKey> ring_key,
                                                     const RandomSource& random) {
  return CreateSoftwareKeyBackend(std::make_shared<const CurrentRingKey>(std::move(ring_key)),
                                  random);
}

}  // namespace kekd
