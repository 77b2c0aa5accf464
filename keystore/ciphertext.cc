#include "keystore/ciphertext.h"

#include "absl/strings/str_cat.h"
#include "base/length_prefixed.h"
#include "base/status_macros.h"

namespace kekd {
namespace {

constexpr size_t kWrappedKeyLengthBytes = 2;

}  // namespace

absl::StatusOr<Ciphertext> Ciphertext::Parse(ByteView bytes) {
  if (bytes.size() < kHeaderBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("a ciphertext of ", bytes.size(), " bytes is too short to be kekd's"));
  }
  if (bytes[0] == 0) return absl::InvalidArgumentError("ciphertext format 0 is not kekd's");
  if (bytes[0] != kFormat) {
    return absl::UnimplementedError(
        absl::StrCat("ciphertext format ", bytes[0], " is not known to this version of kekd"));
  }
  Ciphertext ciphertext;
  KEKD_ASSIGN_OR_RETURN(ciphertext.algorithm, AlgorithmFromNumber(bytes[1]));
  ciphertext.version = ReadU32(bytes.data() + 2);
  ciphertext.sealed = bytes.subspan(kHeaderBytes);
  if (ciphertext.version == 0) {
    return absl::InvalidArgumentError("the ciphertext names key version 0, which no keyring has");
  }
  ByteView sealed = ciphertext.sealed;
  if (ciphertext.algorithm == Algorithm::kAes256GcmWrappedKey) {
    KEKD_ASSIGN_OR_RETURN(const WrappedKeyCiphertext parts, WrappedKeyCiphertext::Parse(sealed));
    sealed = parts.sealed;
  }
  const size_t overhead = NonceSize(ciphertext.algorithm) + kAeadTagBytes;
  if (sealed.size() <= overhead || sealed.size() > overhead + kMaxPlaintextBytes ||
      bytes.size() > kMaxBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("a ciphertext of ", bytes.size(), " bytes is not one of ",
                     ToString(ciphertext.algorithm), " over 1 to ", kMaxPlaintextBytes, " bytes"));
  }
  return ciphertext;
}

std::string Ciphertext::Header(Algorithm algorithm, uint32_t version) {
  std::string header;
  header.push_back(static_cast<char>(kFormat));
  header.push_back(static_cast<char>(algorithm));
  AppendU32(header, version);
  return header;
}

absl::StatusOr<WrappedKeyCiphertext> WrappedKeyCiphertext::Parse(ByteView bytes) {
  const size_t size = bytes.size() < kWrappedKeyLengthBytes ? 0 : ReadU16(bytes.data());
  if (size == 0 || size > Ciphertext::kMaxWrappedKeyBytes ||
      bytes.size() <= kWrappedKeyLengthBytes + size + NonceSize(Algorithm::kAes256GcmWrappedKey) +
                          kAeadTagBytes) {
    return absl::InvalidArgumentError("the ciphertext has no wrapped key of a size that one has");
  }
  return WrappedKeyCiphertext{.wrapped_key = bytes.subspan(kWrappedKeyLengthBytes, size),
                              .sealed = bytes.subspan(kWrappedKeyLengthBytes + size)};
}

std::string WrappedKeyCiphertext::Header(absl::string_view wrapped_key) {
  std::string header;
  AppendU16(header, static_cast<uint16_t>(wrapped_key.size()));
  return absl::StrCat(header, wrapped_key);
}

std::string CiphertextAssociatedData(const RingIdentity& ring, Algorithm algorithm,
                                     const KeyId& key_id) {
  LengthPrefixed fields;
  fields.Add("kekd/aad/1")
      .AddU8(Ciphertext::kFormat)
      .AddU8(static_cast<uint8_t>(algorithm))
      .Add(ring.cluster_id.bytes())
      .Add(ring.ring_uuid.bytes())
      .Add(key_id.text());
  return fields.bytes();
}

std::string CanaryAssociatedData(const RingIdentity& ring, uint32_t version,
                                 absl::string_view backend_type) {
  LengthPrefixed fields;
  fields.Add("kekd/canary/1")
      .Add(ring.cluster_id.bytes())
      .Add(ring.ring_uuid.bytes())
      .AddU32(version)
      .Add(backend_type);
  return fields.bytes();
}

}  // namespace kekd
