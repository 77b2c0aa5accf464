#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/length_prefixed.h"
#include "base/status_macros.h"
#include "keystore/aead.h"
#include "keystore/digest.h"
#include "keystore/key_file.h"
#include "keystore/ring_key_wrapper.h"

namespace kekd {
namespace {

// What differs between the types of wraps (docs/formats.md).
struct Labels {
  WrapType type;
  absl::string_view associated_data;
  absl::string_view info;  // of HKDF
};
constexpr Labels kKeyFileLabels = {WrapType::kKeyFile, "key-file", "kekd/key-file-wrap/1"};
constexpr Labels kCredentialLabels = {WrapType::kCredential, "credential",
                                      "kekd/credential-wrap/1"};
constexpr Labels kPassphraseLabels = {WrapType::kPassphrase, "passphrase",
                                      "kekd/passphrase-wrap/1"};

// A wrap is the ring key under a key that HKDF derives from an operator's secret.
class SecretWrapper : public RingKeyWrapper {
 public:
  SecretWrapper(const Labels& labels, std::unique_ptr<SecretSource> source,
                absl::string_view reference, const RandomSource& random)
      : source_(std::move(source)), random_(random), labels_(labels), reference_(reference) {}

  WrapType type() const override { return labels_.type; }
  std::string Describe() const override { return source_->Describe(); }

  absl::StatusOr<Wrap> WrapRingKey(const RingKey& ring_key,
                                   const RingIdentity& ring) const override {
    Wrap wrap;
    wrap.type = labels_.type;
    wrap.reference = reference_;
    KEKD_ASSIGN_OR_RETURN(const SecretBytes secret, NewSecret(wrap));
    KEKD_ASSIGN_OR_RETURN(const std::unique_ptr<const Aead> aead, WrappingKey(secret, ring));
    KEKD_ASSIGN_OR_RETURN(wrap.blob,
                          aead->Encrypt(ring_key.secret(), AsBytes(AssociatedData(ring))));
    return wrap;
  }

  absl::StatusOr<std::shared_ptr<const RingKey>> UnwrapRingKey(
      const Wrap& wrap, const RingIdentity& ring, const RandomSource& random) const override {
    KEKD_ASSIGN_OR_RETURN(const SecretBytes secret, SecretOf(wrap));
    KEKD_ASSIGN_OR_RETURN(const std::unique_ptr<const Aead> aead, WrappingKey(secret, ring));
    absl::StatusOr<SecretBytes> ring_key =
        aead->Decrypt(AsBytes(wrap.blob), AsBytes(AssociatedData(ring)));
    if (absl::IsInvalidArgument(ring_key.status())) {
      return absl::DataLossError(absl::StrCat(Describe(), " does not open this keyring: it is the ",
                                              ToString(labels_.type),
                                              " of another one, or the keyring is damaged"));
    }
    if (!ring_key.ok()) return ring_key.status();
    return RingKey::Create(*std::move(ring_key), ring.ring_uuid, random);
  }

 protected:
  // The secret for a new wrap, whose parameters are set, and that for one that there is.
  virtual absl::StatusOr<SecretBytes> NewSecret(Wrap& wrap) const = 0;
  virtual absl::StatusOr<SecretBytes> SecretOf(const Wrap& wrap) const = 0;

  const std::unique_ptr<SecretSource> source_;
  const RandomSource& random_;

 private:
  std::string AssociatedData(const RingIdentity& ring) const {
    LengthPrefixed fields;
    fields.Add("kekd/ring-key-wrap/1")
        .Add(labels_.associated_data)
        .Add(ring.cluster_id.bytes())
        .Add(ring.ring_uuid.bytes());
    return fields.bytes();
  }

  absl::StatusOr<std::unique_ptr<const Aead>> WrappingKey(const SecretBytes& secret,
                                                          const RingIdentity& ring) const {
    KEKD_ASSIGN_OR_RETURN(SecretBytes key,
                          HkdfSha256(secret, ring.ring_uuid.bytes(), labels_.info));
    return CreateAead(Algorithm::kXaes256Gcm, std::move(key), random_);
  }

  const Labels labels_;
  const std::string reference_;
};

class KeyFileWrapper final : public SecretWrapper {
 public:
  using SecretWrapper::SecretWrapper;

 private:
  absl::StatusOr<SecretBytes> NewSecret(Wrap& /*wrap*/) const override { return Secret(); }
  absl::StatusOr<SecretBytes> SecretOf(const Wrap& /*wrap*/) const override { return Secret(); }

  absl::StatusOr<SecretBytes> Secret() const {
    KEKD_ASSIGN_OR_RETURN(const SecretBytes content, source_->Read());
    return ParseKeyFile(content, source_->Describe());
  }
};

class PassphraseWrapper final : public SecretWrapper {
 public:
  PassphraseWrapper(std::unique_ptr<SecretSource> source, absl::string_view reference,
                    KdfFunction function, const RandomSource& random)
      : SecretWrapper(kPassphraseLabels, std::move(source), reference, random),
        function_(function) {}

 private:
  absl::StatusOr<SecretBytes> NewSecret(Wrap& wrap) const override {
    KEKD_ASSIGN_OR_RETURN(const SecretBytes passphrase, source_->Read());
    KEKD_RETURN_IF_ERROR(WithContext(CheckNewPassphrase(passphrase), source_->Describe()));
    KEKD_ASSIGN_OR_RETURN(wrap.kdf, NewKdfParameters(function_, random_));
    return DerivePassphraseKey(passphrase, *wrap.kdf);
  }

  absl::StatusOr<SecretBytes> SecretOf(const Wrap& wrap) const override {
    if (!wrap.kdf.has_value()) {
      return absl::DataLossError("the keyring's wrap for a passphrase lacks its parameters");
    }
    KEKD_ASSIGN_OR_RETURN(const SecretBytes passphrase, source_->Read());
    return DerivePassphraseKey(passphrase, *wrap.kdf);
  }

  const KdfFunction function_;
};

}  // namespace

std::unique_ptr<RingKeyWrapper> CreateKeyFileWrapper(std::unique_ptr<SecretSource> source,
                                                     absl::string_view reference,
                                                     const RandomSource& random) {
  return std::make_unique<KeyFileWrapper>(kKeyFileLabels, std::move(source), reference, random);
}

std::unique_ptr<RingKeyWrapper> CreateCredentialWrapper(std::unique_ptr<SecretSource> source,
                                                        absl::string_view reference,
                                                        const RandomSource& random) {
  return std::make_unique<KeyFileWrapper>(kCredentialLabels, std::move(source), reference, random);
}

std::unique_ptr<RingKeyWrapper> CreatePassphraseWrapper(std::unique_ptr<SecretSource> source,
                                                        absl::string_view reference,
                                                        KdfFunction function,
                                                        const RandomSource& random) {
  return std::make_unique<PassphraseWrapper>(std::move(source), reference, function, random);
}

}  // namespace kekd
