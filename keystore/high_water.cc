#include "keystore/high_water.h"

#include <openssl/crypto.h>

#include "absl/strings/str_cat.h"
#include "base/length_prefixed.h"
#include "base/status_macros.h"

namespace kekd {
namespace {

constexpr absl::string_view kMagic = "kekdhigh";
constexpr uint16_t kFormat = 1;
constexpr size_t kUuidOffset = 10;
constexpr size_t kHighestOffset = 26;
constexpr size_t kAcceptedOffset = 34;
constexpr size_t kMacOffset = 42;
constexpr size_t kFileBytes = 74;

absl::Status Damaged(absl::string_view path, absl::string_view what) {
  return absl::DataLossError(absl::StrCat("the high-water file ", path, " ", what));
}

// Whether a file of a format that nobody knows is one of ours but for that number: then no newer
// kekd wrote it.
bool IsOfKnownFormat(const std::string& bytes, const RingKey& ring_key) {
  if (bytes.size() != kFileBytes) return false;
  std::string known(kMagic);
  AppendU16(known, kFormat);
  known.append(bytes, known.size(), kMacOffset - known.size());
  const absl::StatusOr<Sha256Digest> mac = ring_key.HighWaterMac(AsBytes(known));
  return mac.ok() && CRYPTO_memcmp(mac->data(), bytes.data() + kMacOffset, mac->size()) == 0;
}

absl::StatusOr<std::string> Encode(const Uuid& ring_uuid, const RingKey& ring_key,
                                   const HighWater& high_water) {
  std::string bytes(kMagic);
  AppendU16(bytes, kFormat);
  const absl::string_view uuid = AsText(ring_uuid.bytes());
  bytes.append(uuid.data(), uuid.size());
  AppendU64(bytes, high_water.highest);
  AppendU64(bytes, high_water.accepted);
  KEKD_ASSIGN_OR_RETURN(const Sha256Digest mac, ring_key.HighWaterMac(AsBytes(bytes)));
  bytes.append(reinterpret_cast<const char*>(mac.data()), mac.size());
  return bytes;
}

}  // namespace

std::string HighWaterPath(absl::string_view state_directory, const Uuid& ring_uuid) {
  return JoinPath(state_directory, absl::StrCat(ring_uuid.ToString(), ".high-water"));
}

absl::StatusOr<HighWater> ReadHighWater(FileSystem& fs, absl::string_view path,
                                        const Uuid& ring_uuid, const RingKey& ring_key) {
  KEKD_ASSIGN_OR_RETURN(const std::string bytes, fs.ReadFile(path, 4096));
  const ByteView all = AsBytes(bytes);
  if (absl::string_view(bytes).substr(0, kMagic.size()) != kMagic || bytes.size() < kUuidOffset) {
    return Damaged(path, "is damaged: it does not begin as one does");
  }
  const uint16_t format = ReadU16(all.data() + kMagic.size());
  if (format > kFormat) {
    if (IsOfKnownFormat(bytes, ring_key)) {
      return Damaged(path, "is damaged: its format number was altered");
    }
    return absl::UnimplementedError(absl::StrCat("the high-water file ", path, " has format ",
                                                 format, ", this kekd reads formats up to ",
                                                 kFormat, ": a newer kekd wrote it"));
  }
  if (format == 0 || bytes.size() != kFileBytes) return Damaged(path, "is damaged");
  KEKD_ASSIGN_OR_RETURN(const Sha256Digest mac, ring_key.HighWaterMac(all.first(kMacOffset)));
  if (CRYPTO_memcmp(mac.data(), all.data() + kMacOffset, mac.size()) != 0 ||
      AsText(all.subspan(kUuidOffset, Uuid::kBytes)) != AsText(ring_uuid.bytes())) {
    return Damaged(path, "was altered, or is another ring's");
  }
  return HighWater{ReadU64(all.data() + kHighestOffset), ReadU64(all.data() + kAcceptedOffset)};
}

absl::Status CreateHighWater(FileSystem& fs, absl::string_view path, const Uuid& ring_uuid,
                             const RingKey& ring_key, const HighWater& high_water,
                             const DurableFileOptions& options) {
  KEKD_ASSIGN_OR_RETURN(const std::string bytes, Encode(ring_uuid, ring_key, high_water));
  return CreateFileDurably(fs, path, AsBytes(bytes), options);
}

absl::Status WriteHighWater(FileSystem& fs, absl::string_view path, const Uuid& ring_uuid,
                            const RingKey& ring_key, const HighWater& high_water,
                            const DurableFileOptions& options) {
  KEKD_ASSIGN_OR_RETURN(const std::string bytes, Encode(ring_uuid, ring_key, high_water));
  return ReplaceFileDurably(fs, path, AsBytes(bytes), options);
}

}  // namespace kekd
