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

}  // namespace

RingKey::RingKey(SecretBytes secret, SecretBytes record_mac_key, SecretBytes high_water_mac_key,
                 std::unique_ptr<const Aead> kek_wrap)
    : secret_(std::move(secret)),
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
  return std::shared_ptr<const RingKey>(
      new RingKey(std::move(secret), std::move(record), std::move(high_water), std::move(aead)));
}

absl::StatusOr<Sha256Digest> RingKey::RecordMac(ByteView bytes) const {
  return HmacSha256(record_mac_key_, bytes);
}

absl::StatusOr<Sha256Digest> RingKey::HighWaterMac(ByteView bytes) const {
  return HmacSha256(high_water_mac_key_, bytes);
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
