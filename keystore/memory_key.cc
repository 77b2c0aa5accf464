#include "keystore/memory_key.h"

#include <string>
#include <utility>

#include "base/status_macros.h"

namespace kekd {
namespace {

class MemoryKey final : public BackendKey {
 public:
  explicit MemoryKey(std::unique_ptr<const Aead> aead) : aead_(std::move(aead)) {}

  Algorithm algorithm() const override { return aead_->algorithm(); }
  bool MayBlock() const override { return false; }

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

}  // namespace

absl::StatusOr<std::shared_ptr<const BackendKey>> CreateMemoryKey(Algorithm algorithm,
                                                                  SecretBytes kek,
                                                                  const RandomSource& random) {
  KEKD_ASSIGN_OR_RETURN(std::unique_ptr<const Aead> aead,
                        CreateAead(algorithm, std::move(kek), random));
  return std::make_shared<const MemoryKey>(std::move(aead));
}

}  // namespace kekd
