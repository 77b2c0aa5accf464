#include "tests/keystore/one_key_device.h"

#include <string>
#include <utility>

#include "tests/support/secrets.h"

namespace kekd::testing {
namespace {

class OneKey final : public BackendKey {
 public:
  explicit OneKey(std::unique_ptr<const Aead> aead) : aead_(std::move(aead)) {}
  Algorithm algorithm() const override { return aead_->algorithm(); }
  bool MayBlock() const override { return true; }
  absl::StatusOr<std::string> Encrypt(const SecretBytes& plaintext, ByteView associated_data,
                                      absl::Time /*deadline*/) const override {
    return aead_->Encrypt(plaintext, associated_data);
  }
  absl::StatusOr<SecretBytes> Decrypt(ByteView sealed, ByteView associated_data,
                                      absl::Time /*deadline*/) const override {
    return aead_->Decrypt(sealed, associated_data);
  }

 private:
  const std::unique_ptr<const Aead> aead_;
};

class OneKeyDevice final : public KeyBackend {
 public:
  explicit OneKeyDevice(const RandomSource& random) : random_(random) {}
  Description Describe() const override { return {"pkcs11", "pkcs11:token=golden"}; }
  absl::StatusOr<KeyMaterial> GenerateKey(const KeySpec& /*spec*/,
                                          absl::Time /*deadline*/) override {
    return KeyMaterial{.custody = Custody::kDevice,
                       .algorithm = Algorithm::kAes256Gcm,
                       .key_reference = "device:key",
                       .wraps = {}};
  }
  absl::StatusOr<std::shared_ptr<const BackendKey>> OpenKey(const KeySpec& /*spec*/,
                                                            const KeyMaterial& material,
                                                            absl::Time /*deadline*/) override {
    if (material.key_reference != "device:key") return absl::NotFoundError("no such key");
    return std::make_shared<const OneKey>(TheOneKey(random_));
  }
  absl::Status DestroyKey(const KeySpec& /*spec*/, const KeyMaterial& /*material*/,
                          absl::Time /*deadline*/) override {
    return absl::OkStatus();
  }
  absl::Status Probe(absl::Time /*deadline*/) override { return absl::OkStatus(); }

 private:
  const RandomSource& random_;
};

}  // namespace

std::unique_ptr<const Aead> TheOneKey(const RandomSource& random) {
  return *CreateAead(Algorithm::kAes256Gcm, SecretFromText(std::string(kAes256KeyBytes, 'd')),
                     random);
}

std::unique_ptr<KeyBackend> CreateOneKeyDevice(const RandomSource& random) {
  return std::make_unique<OneKeyDevice>(random);
}

}  // namespace kekd::testing
