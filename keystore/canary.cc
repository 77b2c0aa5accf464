#include "keystore/canary.h"

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "keystore/ciphertext.h"

namespace kekd {
namespace {

constexpr size_t kCanaryBytes = 32;

// The version of a key that its backend has, proved by its canary.
absl::StatusOr<KeyVersion> VersionOf(KeyMaterial material, const KeySpec& spec, KeyBackend& backend,
                                     const RandomSource& random, absl::Time now,
                                     absl::Time deadline) {
  KeyVersion version;
  version.number = spec.version;
  version.backend = backend.Describe().type;
  version.material = std::move(material);
  version.creation_time = now;
  // Opened from its material, as every later start will: what can't be opened again is found now.
  KEKD_ASSIGN_OR_RETURN(const std::shared_ptr<const BackendKey> key,
                        backend.OpenKey(spec, version.material, deadline));
  SecretBytes plaintext(kCanaryBytes);
  KEKD_RETURN_IF_ERROR(random.Fill(plaintext.RevealMutable(SecretAccessToken())));
  const std::string associated_data =
      CanaryAssociatedData(spec.ring, spec.version, version.backend);
  KEKD_ASSIGN_OR_RETURN(const std::string sealed,
                        key->Encrypt(plaintext, AsBytes(associated_data), deadline));
  KEKD_ASSIGN_OR_RETURN(const SecretBytes again,
                        key->Decrypt(AsBytes(sealed), AsBytes(associated_data), deadline));
  if (!SecretBytes::ConstantTimeEquals(plaintext, again)) {
    return absl::InternalError(absl::StrCat("backend \"", version.backend,
                                            "\" decrypts its own canary to something else"));
  }
  version.canary = Ciphertext::Header(key->algorithm(), spec.version) + sealed;
  KEKD_ASSIGN_OR_RETURN(version.key_id, KeyId::Derive(spec.ring, spec.version, version.backend,
                                                      AsBytes(version.canary)));
  return version;
}

}  // namespace

absl::StatusOr<KeyVersion> MakeKeyVersion(const KeySpec& spec, KeyBackend& backend,
                                          const RandomSource& random, absl::Time now,
                                          absl::Time deadline, std::optional<Custody> custody) {
  KEKD_ASSIGN_OR_RETURN(const KeyMaterial material,
                        GenerateKeyIn(custody, backend, spec, deadline));
  absl::StatusOr<KeyVersion> version = VersionOf(material, spec, backend, random, now, deadline);
  if (!version.ok()) DestroyUnusedKey(spec, material, backend);
  return version;
}

absl::StatusOr<KeyVersion> AdoptKeyVersion(const KeySpec& spec, KeyBackend& backend,
                                           absl::string_view reference, bool allow_extractable,
                                           const RandomSource& random, absl::Time now,
                                           absl::Time deadline) {
  KeyAdopter* const adopter = backend.adopter();
  if (adopter == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat("backend \"", backend.Describe().type, "\" can't adopt keys"));
  }
  KEKD_ASSIGN_OR_RETURN(KeyMaterial material,
                        adopter->AdoptKey(spec, reference, allow_extractable, deadline));
  return VersionOf(std::move(material), spec, backend, random, now, deadline);
}

void DestroyUnusedKey(const KeySpec& spec, const KeyMaterial& material, KeyBackend& backend) {
  if (!material.HasDeviceKey()) return;
  const absl::Status destroyed = backend.DestroyKey(spec, material, absl::Now() + kDestroyTimeout);
  if (destroyed.ok()) return;
  LogWarning("a key that nothing uses stays on its device: remove it there",
             {{"backend", backend.Describe().type},
              {"key", material.key_reference},
              {"error", destroyed.ToString()}});
}

absl::Status CheckCanary(const RingIdentity& ring, const KeyVersion& version, const BackendKey& key,
                         absl::Time deadline) {
  const std::string what = absl::StrCat("canary of key version ", version.number);
  KEKD_ASSIGN_OR_RETURN(const KeyId expected, KeyId::Derive(ring, version.number, version.backend,
                                                            AsBytes(version.canary)));
  if (!(expected == version.key_id)) {
    return absl::DataLossError(absl::StrCat(what, ": it does not fit the key id"));
  }
  const absl::StatusOr<Ciphertext> canary = Ciphertext::Parse(AsBytes(version.canary));
  if (!canary.ok() || canary->version != version.number || canary->algorithm != key.algorithm()) {
    return absl::DataLossError(absl::StrCat(what, ": it is damaged"));
  }
  const absl::Status opened =
      key.Decrypt(canary->sealed,
                  AsBytes(CanaryAssociatedData(ring, version.number, version.backend)), deadline)
          .status();
  if (absl::IsInvalidArgument(opened)) {
    return absl::DataLossError(absl::StrCat(what, ": backend \"", version.backend,
                                            "\" holds another key than the one it was made by"));
  }
  return WithContext(opened, what);
}

}  // namespace kekd
