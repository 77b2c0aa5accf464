#include "hsm/pkcs11_key_backend.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/at_once.h"
#include "base/hex.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "hsm/key_attestation.h"
#include "hsm/one_time_key.h"
#include "hsm/pkcs11_key.h"
#include "hsm/token/token_uri.h"

namespace kekd {
namespace {

constexpr size_t kKeyIdBytes = 16;
constexpr absl::Duration kTakeBackTimeout = absl::Seconds(5);

// What tells the key from the ring's others: "3", "ring-key".
std::string PurposeOf(const KeySpec& spec) {
  return spec.version == KeySpec::kForRingKey ? "ring-key" : absl::StrCat(spec.version);
}

// For people.
std::string NameOf(const KeySpec& spec) {
  return spec.version == KeySpec::kForRingKey ? "the key that wraps the ring key"
                                              : absl::StrCat("key version ", spec.version);
}

std::string MadeFor(const KeySpec& spec) {
  return absl::StrCat(spec.ring.cluster_id.ToString(), "/", spec.ring.ring_uuid.ToString(), "/",
                      PurposeOf(spec));
}

absl::Status CheckMadeFor(const KeyReference& reference, const KeySpec& spec) {
  if (reference.made_for == MadeFor(spec)) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat("the reference of the key is of another version or ring than ", NameOf(spec),
                   " of ", spec.ring.name));
}

absl::StatusOr<KeyReference> ReferenceOf(const KeySpec& spec, const KeyMaterial& material) {
  if (material.custody != Custody::kDevice || !material.wraps.empty()) {
    return absl::DataLossError("this is no key on a PKCS#11 token");
  }
  KEKD_ASSIGN_OR_RETURN(KeyReference reference, KeyReference::Parse(material.key_reference));
  if (reference.key.empty()) {
    return absl::DataLossError("the reference of the key names no key");
  }
  if (material.algorithm != AlgorithmOf(reference.mechanism)) {
    return absl::DataLossError("the key's algorithm is not that of its reference");
  }
  KEKD_RETURN_IF_ERROR(CheckMadeFor(reference, spec));
  return reference;
}

class Pkcs11KeyBackend final : public KeyBackend, public KeyAdopter, public KeyAttester {
 public:
  Pkcs11KeyBackend(std::shared_ptr<TokenGroup> tokens, std::string label,
                   const RandomSource& random)
      : tokens_(std::move(tokens)), label_(std::move(label)), random_(random) {}

  Description Describe() const override {
    Description description = {std::string(kPkcs11Backend), ""};
    for (size_t i = 0; i < tokens_->size(); ++i) {
      const WorkerConfig& config = tokens_->token(i).options().config;
      TokenUri uri;
      uri.token = config.token;
      uri.module_path = config.module_path;
      absl::StrAppend(&description.detail, i == 0 ? "" : ", ", uri.ToString());
    }
    return description;
  }

  absl::StatusOr<KeyMaterial> GenerateKey(const KeySpec& spec, absl::Time deadline) override {
    const WorkerConfig& config = first().options().config;
    NewKey key;
    key.selector.label = absl::StrCat(
        label_.empty() ? absl::StrCat("kekd-", spec.ring.name) : label_, "-", PurposeOf(spec));
    key.selector.id.resize(kKeyIdBytes);
    KEKD_RETURN_IF_ERROR(random_.Fill(AsWritableBytes(key.selector.id)));
    key.modifiable = config.session_copy;
    absl::StatusOr<KeyReference> reference = first().Generate(key, BeforeDeadline(deadline));
    if (!reference.ok()) {
      // Whatever it was: a key may have been made before it.
      TakeBack(config.token, key.selector);
      return reference.status();
    }
    if (!(reference->key == key.selector)) {
      return absl::InternalError("the HSM worker made a key of another name than it was to make");
    }
    const absl::Status proven = AddOrigin(*reference, deadline);
    if (!proven.ok()) {
      TakeBack(config.token, key.selector);
      return proven;
    }
    return MaterialOf(*std::move(reference), spec);
  }

  absl::StatusOr<std::shared_ptr<const BackendKey>> OpenKey(const KeySpec& spec,
                                                            const KeyMaterial& material,
                                                            absl::Time deadline) override {
    KEKD_ASSIGN_OR_RETURN(KeyReference reference, ReferenceOf(spec, material));
    auto key = std::make_shared<const Pkcs11Key>(tokens_, reference, NameOf(spec));
    KEKD_RETURN_IF_ERROR(key->Find(deadline));
    if (BindsAssociatedData(reference.mechanism)) return key;
    SecretBytes origin;
    if (IsRsa(reference.mechanism)) {
      absl::StatusOr<SecretBytes> opened =
          key->Decrypt(AsBytes(reference.origin), ByteView(), deadline);
      if (absl::IsInvalidArgument(opened.status())) {
        return absl::DataLossError(absl::StrCat("the token holds another key than ", NameOf(spec),
                                                " of ", spec.ring.name));
      }
      KEKD_RETURN_IF_ERROR(opened.status());
      origin = *std::move(opened);
    }
    return std::make_shared<const OneTimeKey>(std::move(key), std::move(origin), random_);
  }

  absl::Status DestroyKey(const KeySpec& spec, const KeyMaterial& material,
                          absl::Time deadline) override {
    KEKD_ASSIGN_OR_RETURN(const KeyReference reference, ReferenceOf(spec, material));
    const absl::Time earlier = BeforeDeadline(deadline);
    absl::Status destroyed;
    for (size_t i = 0; i < tokens_->size(); ++i) {
      destroyed = tokens_->token(i).Destroy(reference, earlier);
      // A token refuses to destroy what was made on another (by the serial).
      if (!absl::IsFailedPrecondition(destroyed)) return destroyed;
    }
    return destroyed;
  }

  absl::Status Probe(absl::Time deadline) override {
    return tokens_->Run(
        KeyReference(), BeforeDeadline(deadline), [](size_t) { return false; },
        [this](size_t i, absl::Time until) {
          return TokenGroup::Judge(tokens_->token(i).Probe(until));
        });
  }

  std::vector<KeyPlace> Places() const override { return tokens_->Places(); }

  KeyAdopter* adopter() override { return this; }
  KeyAttester* attester() override { return this; }

  absl::StatusOr<std::vector<KeyAttestation>> AttestKey(const KeySpec& spec, absl::string_view text,
                                                        absl::Time deadline) override {
    KEKD_ASSIGN_OR_RETURN(const KeyReference reference, KeyReference::Parse(text));
    KEKD_RETURN_IF_ERROR(CheckMadeFor(reference, spec));
    const absl::Time earlier = BeforeDeadline(deadline);
    std::vector<KeyAttestation> said(tokens_->size());
    ForEachAtOnce(said.size(), said.size(), [&](size_t i) {
      said[i] = AttestationOf(tokens_->token(i).Attest(reference, earlier));
      said[i].place = tokens_->name(i);
    });
    return said;
  }

  absl::StatusOr<KeyMaterial> AdoptKey(const KeySpec& spec, absl::string_view text,
                                       bool allow_extractable, absl::Time deadline) override {
    KEKD_ASSIGN_OR_RETURN(const TokenUri uri, TokenUri::Parse(text));
    if (!uri.module_path.empty() || !uri.pin_file.empty()) {
      return absl::InvalidArgumentError(
          "the URI of a key has no module-path and no pin-source: those of the backend are used");
    }
    if (uri.key.empty()) {
      return absl::InvalidArgumentError("the URI names no key: add object= or id=");
    }
    const absl::Time earlier = BeforeDeadline(deadline);
    if (!(uri.token == TokenSelector{})) {
      KEKD_ASSIGN_OR_RETURN(const TokenDescription description, first().Describe(earlier));
      KEKD_RETURN_IF_ERROR(CheckToken(uri.token, description.token));
    }
    KEKD_ASSIGN_OR_RETURN(
        KeyReference reference,
        first().Adopt({.selector = uri.key, .allow_extractable = allow_extractable}, earlier));
    KEKD_RETURN_IF_ERROR(AddOrigin(reference, deadline));
    return MaterialOf(std::move(reference), spec);
  }

  bool IsSameKey(const KeyMaterial& a, const KeyMaterial& b) const override {
    const absl::StatusOr<KeyReference> one = KeyReference::Parse(a.key_reference);
    const absl::StatusOr<KeyReference> other = KeyReference::Parse(b.key_reference);
    if (!one.ok() || !other.ok()) return a.key_reference == b.key_reference;
    // Which version it is of and how it is used makes no other key of it.
    const auto may_be = [](absl::string_view x, absl::string_view y) {
      return x.empty() || y.empty() || x == y;
    };
    if (!may_be(one->key.label, other->key.label) || !may_be(one->key.id, other->key.id)) {
      return false;
    }
    // Of several tokens with the same keys any may be the one that it was made or adopted on.
    return tokens_->size() > 1 || (may_be(one->token.label, other->token.label) &&
                                   may_be(one->token.serial, other->token.serial));
  }

 private:
  static absl::Status CheckToken(const TokenSelector& meant, const TokenSelector& is) {
    const auto differs = [](absl::string_view a, absl::string_view b) {
      return !a.empty() && a != b;
    };
    if (!differs(meant.label, is.label) && !differs(meant.manufacturer, is.manufacturer) &&
        !differs(meant.model, is.model) && !differs(meant.serial, is.serial)) {
      return absl::OkStatus();
    }
    TokenUri token;
    token.token = is;
    return absl::NotFoundError(
        absl::StrCat("the URI names another token than the backend's, ", token.ToString()));
  }

  // See KeyReference::origin.
  absl::Status AddOrigin(KeyReference& reference, absl::Time deadline) {
    if (!IsRsa(reference.mechanism)) return absl::OkStatus();
    SecretBytes origin(kOneTimeKeyBytes);
    KEKD_RETURN_IF_ERROR(random_.Fill(origin.RevealMutable(SecretAccessToken())));
    KEKD_ASSIGN_OR_RETURN(reference.origin,
                          first().Encrypt(reference, origin, ByteView(), BeforeDeadline(deadline)));
    return absl::OkStatus();
  }

  static KeyMaterial MaterialOf(KeyReference reference, const KeySpec& spec) {
    reference.made_for = MadeFor(spec);
    KeyMaterial material;
    material.custody = Custody::kDevice;
    material.algorithm = AlgorithmOf(reference.mechanism);
    material.key_reference = reference.ToString();
    return material;
  }

  // What Generate may have left on the token. Nobody but this call knows the random id, so it can
  // be no other key. With a deadline of its own: the caller's is used up, as a rule.
  void TakeBack(const TokenSelector& token, const KeySelector& key) {
    KeyReference reference;
    reference.token = token;
    reference.key = key;
    absl::Status destroyed;
    const absl::Time until = absl::Now() + kTakeBackTimeout;
    // Of whichever kind it was: the first is any AES key, and an HMAC key with it.
    for (const KeyMechanism mechanism : {KeyMechanism::kAesCbcHmac, KeyMechanism::kRsaOaepSha256}) {
      reference.mechanism = mechanism;
      if (IsRsa(mechanism)) reference.public_key = "any";
      destroyed.Update(first().Destroy(reference, until));
    }
    if (destroyed.ok()) return;
    LogWarning(
        "a key that nothing uses may be left on the token; look with 'kekctl hsm list'",
        {{"label", key.label}, {"id", HexEncode(AsBytes(key.id))}, {"error", destroyed.message()}});
  }

  // Where keys are made and adopted.
  TokenClient& first() const { return tokens_->token(0); }

  const std::shared_ptr<TokenGroup> tokens_;
  const std::string label_;
  const RandomSource& random_;
};

}  // namespace

std::unique_ptr<KeyBackend> CreatePkcs11KeyBackend(std::shared_ptr<TokenGroup> tokens,
                                                   std::string label, const RandomSource& random) {
  return std::make_unique<Pkcs11KeyBackend>(std::move(tokens), std::move(label), random);
}

std::unique_ptr<KeyBackend> CreatePkcs11KeyBackend(std::shared_ptr<TokenClient> token,
                                                   std::string label, const RandomSource& random) {
  return CreatePkcs11KeyBackend(std::make_shared<TokenGroup>(std::vector{std::move(token)}),
                                std::move(label), random);
}

}  // namespace kekd
