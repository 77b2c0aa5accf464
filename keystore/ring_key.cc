#include "keystore/ring_key.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/length_prefixed.h"
#include "base/status_macros.h"

namespace kekd {
namespace {

// Binds a wrapped KEK to its place, so that wraps can't be exchanged within a record or between
// rings that were made from one another.
std::string KekAssociatedData(const KeySpec& spec) {
  LengthPrefixed fields;
  fields.Add("kekd/kek-wrap/1")
      .Add(spec.ring.cluster_id.bytes())
      .Add(spec.ring.ring_uuid.bytes())
      .AddU32(spec.version);
  return fields.bytes();
}

std::string FormerAssociatedData(const Uuid& ring_uuid) {
  LengthPrefixed fields;
  fields.Add("kekd/former-ring-key-wrap/1").Add(ring_uuid.bytes());
  return fields.bytes();
}

}  // namespace

RingKey::RingKey(SecretBytes secret, const Uuid& ring_uuid, const RandomSource& random,
                 SecretBytes record_mac_key, SecretBytes high_water_mac_key,
                 std::unique_ptr<const Aead> kek_wrap)
    : secret_(std::move(secret)),
      ring_uuid_(ring_uuid),
      random_(random),
      record_mac_key_(std::move(record_mac_key)),
      high_water_mac_key_(std::move(high_water_mac_key)),
      kek_wrap_(std::move(kek_wrap)) {}

absl::StatusOr<std::shared_ptr<const RingKey>> RingKey::Generate(const Uuid& ring_uuid,
                                                                 const RandomSource& random) {
  SecretBytes secret(kBytes);
  KEKD_RETURN_IF_ERROR(random.Fill(secret.RevealMutable(SecretAccessToken())));
  return Create(std::move(secret), ring_uuid, random);
}

absl::StatusOr<std::shared_ptr<const RingKey>> RingKey::Create(SecretBytes secret,
                                                               const Uuid& ring_uuid,
                                                               const RandomSource& random) {
  if (secret.size() != kBytes) {
    return absl::DataLossError(
        absl::StrCat("the ring key has ", secret.size(), " bytes instead of ", kBytes));
  }
  const ByteView salt = ring_uuid.bytes();
  KEKD_ASSIGN_OR_RETURN(SecretBytes record, HkdfSha256(secret, salt, "kekd/record-mac/1"));
  KEKD_ASSIGN_OR_RETURN(SecretBytes high_water, HkdfSha256(secret, salt, "kekd/high-water-mac/1"));
  KEKD_ASSIGN_OR_RETURN(SecretBytes wrap, HkdfSha256(secret, salt, "kekd/kek-wrap/1"));
  KEKD_ASSIGN_OR_RETURN(std::unique_ptr<const Aead> aead,
                        CreateAead(Algorithm::kXaes256Gcm, std::move(wrap), random));
  return std::shared_ptr<const RingKey>(new RingKey(std::move(secret), ring_uuid, random,
                                                    std::move(record), std::move(high_water),
                                                    std::move(aead)));
}

absl::StatusOr<std::unique_ptr<const Aead>> RingKey::FormerWrap() const {
  KEKD_ASSIGN_OR_RETURN(SecretBytes key,
                        HkdfSha256(secret_, ring_uuid_.bytes(), "kekd/former-ring-key-wrap/1"));
  return CreateAead(Algorithm::kXaes256Gcm, std::move(key), random_);
}

absl::StatusOr<std::string> RingKey::WrapFormer(const RingKey& former) const {
  KEKD_ASSIGN_OR_RETURN(const std::unique_ptr<const Aead> aead, FormerWrap());
  return aead->Encrypt(former.secret_, AsBytes(FormerAssociatedData(ring_uuid_)));
}

absl::StatusOr<std::shared_ptr<const RingKey>> RingKey::UnwrapFormer(
    absl::string_view wrapped) const {
  KEKD_ASSIGN_OR_RETURN(const std::unique_ptr<const Aead> aead, FormerWrap());
  absl::StatusOr<SecretBytes> secret =
      aead->Decrypt(AsBytes(wrapped), AsBytes(FormerAssociatedData(ring_uuid_)));
  if (absl::IsInvalidArgument(secret.status())) {
    return absl::DataLossError("the former ring key can't be opened with this one");
  }
  if (!secret.ok()) return secret.status();
  return Create(*std::move(secret), ring_uuid_, random_);
}

absl::StatusOr<Sha256Digest> RingKey::RecordMac(ByteView bytes) const {
  return HmacSha256(record_mac_key_, bytes);
}

absl::StatusOr<Sha256Digest> RingKey::HighWaterMac(ByteView bytes) const {
  return HmacSha256(high_water_mac_key_, bytes);
}

absl::StatusOr<Sha256Digest> RingKey::NodeProofMac(ByteView bytes) const {
  KEKD_ASSIGN_OR_RETURN(const SecretBytes key,
                        HkdfSha256(secret_, ring_uuid_.bytes(), "kekd/node-proof-mac/1"));
  return HmacSha256(key, bytes);
}

absl::StatusOr<Wrap> RingKey::WrapKek(const SecretBytes& kek, const KeySpec& spec) const {
  Wrap wrap;
  wrap.type = WrapType::kRingKey;
  KEKD_ASSIGN_OR_RETURN(wrap.blob, kek_wrap_->Encrypt(kek, AsBytes(KekAssociatedData(spec))));
  return wrap;
}

absl::StatusOr<SecretBytes> RingKey::UnwrapKek(const Wrap& wrap, const KeySpec& spec) const {
  absl::StatusOr<SecretBytes> kek =
      kek_wrap_->Decrypt(AsBytes(wrap.blob), AsBytes(KekAssociatedData(spec)));
  if (absl::IsInvalidArgument(kek.status())) {
    return absl::DataLossError(absl::StrCat("the wrapped key of key version ", spec.version,
                                            " of keyring \"", spec.ring.name,
                                            "\" is damaged or belongs to another version"));
  }
  return kek;
}

}  // namespace kekd
