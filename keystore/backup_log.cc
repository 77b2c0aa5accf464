#include "keystore/backup_log.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/length_prefixed.h"
#include "base/status_macros.h"
#include "kekd/backup/v1/backup.pb.h"
#include "keystore/canonical_message.h"
#include "keystore/digest.h"
#include "keystore/shamir.h"

namespace kekd {
namespace {

namespace pb = ::kekd::backup::v1;

constexpr absl::string_view kMagic = "kekdblog";
constexpr uint16_t kFormat = 1;
constexpr size_t kUuidOffset = 10;
constexpr size_t kBodyOffset = 26;
constexpr size_t kMacBytes = 32;
constexpr size_t kMaxFileBytes =
    kBodyOffset + kMaxBackupLogEntries * (kMaxBackupPathBytes + 128) + kMacBytes;

absl::StatusOr<Sha256Digest> Mac(const RingKey& ring_key, const Uuid& ring_uuid, ByteView bytes) {
  KEKD_ASSIGN_OR_RETURN(const SecretBytes key,
                        HkdfSha256(ring_key.secret(), ring_uuid.bytes(), "kekd/backup-log-mac/1"));
  return HmacSha256(key, bytes);
}

absl::Status Damaged(absl::string_view path, absl::string_view what) {
  return absl::DataLossError(absl::StrCat("the list of backups ", path, " ", what));
}

// Whether a file of a format that nobody knows is one of ours but for that number: then no newer
// kekd wrote it.
bool IsOfKnownFormat(const std::string& bytes, const Uuid& ring_uuid, const RingKey& ring_key) {
  std::string known(kMagic);
  AppendU16(known, kFormat);
  known.append(bytes, known.size(), bytes.size() - kMacBytes - known.size());
  const absl::StatusOr<Sha256Digest> mac = Mac(ring_key, ring_uuid, AsBytes(known));
  return mac.ok() &&
         CRYPTO_memcmp(mac->data(), bytes.data() + bytes.size() - kMacBytes, kMacBytes) == 0;
}

void ToProto(const BackupLogEntry& entry, pb::BackupLogEntry* out) {
  out->set_backup_id(std::string(AsText(entry.backup_id.bytes())));
  out->set_created_ms(absl::ToUnixMillis(entry.creation_time));
  out->set_generation(entry.generation);
  out->set_highest_version(entry.highest_version);
  out->set_ring_key_number(entry.ring_key_number);
  if (entry.shares.has_value()) {
    out->set_share_threshold(entry.shares->threshold);
    out->set_share_total(entry.shares->total);
  }
  out->set_path(entry.path);
  out->set_keys(entry.keys);
  if (entry.IsVerified()) out->set_verified_ms(absl::ToUnixMillis(entry.verification_time));
}

absl::StatusOr<BackupLogEntry> FromProto(const pb::BackupLogEntry& in) {
  BackupLogEntry entry;
  KEKD_ASSIGN_OR_RETURN(entry.backup_id, Uuid::FromBytes(AsBytes(in.backup_id())));
  entry.creation_time = absl::FromUnixMillis(in.created_ms());
  entry.generation = in.generation();
  entry.highest_version = in.highest_version();
  entry.ring_key_number = in.ring_key_number();
  if (in.share_threshold() != 0 || in.share_total() != 0) {
    KEKD_RETURN_IF_ERROR(CheckShareNumbers(in.share_threshold(), in.share_total()));
    entry.shares = ShareNumbers{in.share_threshold(), in.share_total()};
  }
  entry.path = in.path();
  entry.keys = in.keys();
  if (in.verified_ms() != 0) entry.verification_time = absl::FromUnixMillis(in.verified_ms());
  return entry;
}

// Whether another entry is verified and holds at least as much.
bool IsSuperseded(const BackupLogEntry& entry, const std::vector<BackupLogEntry>& entries) {
  return std::any_of(entries.begin(), entries.end(), [&](const BackupLogEntry& other) {
    return &other != &entry && other.IsVerified() && other.generation >= entry.generation &&
           other.highest_version >= entry.highest_version;
  });
}

std::string DescribeVersions(const std::vector<uint32_t>& numbers) {
  return numbers.size() == 1 ? absl::StrCat("key version ", numbers[0], " is")
                             : absl::StrCat("key versions ", absl::StrJoin(numbers, ", "), " are");
}

constexpr absl::string_view kMakeOne = "; 'kekctl keyring backup' makes one";

}  // namespace

absl::StatusOr<std::string> KeysDigest(const Keyring& keyring, size_t count) {
  LengthPrefixed fields;
  fields.Add("kekd/backup-keys/1");
  for (size_t i = 0; i < count && i < keyring.versions().size(); ++i) {
    fields.Add(keyring.versions()[i].key_id.text());
  }
  KEKD_ASSIGN_OR_RETURN(const Sha256Digest digest, Sha256(AsBytes(fields.bytes())));
  return std::string(AsText(digest));
}

absl::StatusOr<BackupLogEntry> EntryOf(const BackupHeader& header, const Keyring& keyring,
                                       absl::string_view path) {
  BackupLogEntry entry;
  KEKD_ASSIGN_OR_RETURN(entry.keys, KeysDigest(keyring, header.highest_version));
  entry.backup_id = header.backup_id;
  entry.creation_time = header.creation_time;
  entry.generation = header.generation;
  entry.highest_version = header.highest_version;
  entry.ring_key_number = keyring.ring_key_number();
  if (const auto* const shares = std::get_if<ShareNumbers>(&header.protection)) {
    entry.shares = *shares;
  }
  entry.path = std::string(path.substr(0, kMaxBackupPathBytes));
  return entry;
}

std::string BackupLogPath(absl::string_view state_directory, const Uuid& ring_uuid) {
  return JoinPath(state_directory, absl::StrCat(ring_uuid.ToString(), ".backups"));
}

absl::StatusOr<std::vector<BackupLogEntry>> ReadBackupLog(FileSystem& fs, absl::string_view path,
                                                          const Uuid& ring_uuid,
                                                          const RingKey& ring_key) {
  const absl::StatusOr<std::string> bytes = fs.ReadFile(path, kMaxFileBytes);
  if (absl::IsOutOfRange(bytes.status())) return Damaged(path, "is damaged: it is too large");
  KEKD_RETURN_IF_ERROR(bytes.status());
  const ByteView all = AsBytes(*bytes);
  if (AsText(all).substr(0, kMagic.size()) != kMagic || all.size() < kBodyOffset + kMacBytes) {
    return Damaged(path, "is damaged: it does not begin as one does");
  }
  const uint16_t format = ReadU16(all.data() + kMagic.size());
  if (format > kFormat) {
    if (IsOfKnownFormat(*bytes, ring_uuid, ring_key)) {
      return Damaged(path, "is damaged: its format number was altered");
    }
    return absl::UnimplementedError(absl::StrCat("the list of backups ", path, " has format ",
                                                 format, ", this kekd reads formats up to ",
                                                 kFormat, ": a newer kekd wrote it"));
  }
  if (format == 0) return Damaged(path, "is damaged: its format number is 0");
  const ByteView authenticated = all.first(all.size() - kMacBytes);
  KEKD_ASSIGN_OR_RETURN(const Sha256Digest mac, Mac(ring_key, ring_uuid, authenticated));
  if (CRYPTO_memcmp(mac.data(), authenticated.end(), kMacBytes) != 0 ||
      AsText(all.subspan(kUuidOffset, Uuid::kBytes)) != AsText(ring_uuid.bytes())) {
    return Damaged(path, "was damaged or altered, or is another ring's");
  }
  pb::BackupLog log;
  const auto at_most = [](const google::protobuf::FieldDescriptor&) {
    return kMaxBackupLogEntries;
  };
  const absl::Status parsed = ParseCanonical(authenticated.subspan(kBodyOffset), at_most, log);
  if (!parsed.ok()) return Damaged(path, absl::StrCat("is damaged: ", parsed.message()));
  std::vector<BackupLogEntry> entries;
  for (const pb::BackupLogEntry& entry : log.entries()) {
    absl::StatusOr<BackupLogEntry> read = FromProto(entry);
    if (!read.ok()) return Damaged(path, absl::StrCat("is damaged: ", read.status().message()));
    entries.push_back(*std::move(read));
  }
  return entries;
}

absl::Status WriteBackupLog(FileSystem& fs, absl::string_view path, const Uuid& ring_uuid,
                            const RingKey& ring_key, const std::vector<BackupLogEntry>& entries,
                            const DurableFileOptions& options) {
  pb::BackupLog log;
  for (const BackupLogEntry& entry : entries) ToProto(entry, log.add_entries());
  std::string bytes(kMagic);
  AppendU16(bytes, kFormat);
  bytes += std::string(AsText(ring_uuid.bytes()));
  bytes += SerializeCanonical(log);
  KEKD_ASSIGN_OR_RETURN(const Sha256Digest mac, Mac(ring_key, ring_uuid, AsBytes(bytes)));
  bytes.append(reinterpret_cast<const char*>(mac.data()), mac.size());
  return ReplaceFileDurably(fs, path, AsBytes(bytes), options);
}

void AddBackup(std::vector<BackupLogEntry>& entries, BackupLogEntry entry) {
  const auto same = std::find_if(entries.begin(), entries.end(), [&](const BackupLogEntry& other) {
    return other.backup_id == entry.backup_id;
  });
  if (same != entries.end()) {
    entry.verification_time = std::max(entry.verification_time, same->verification_time);
    *same = std::move(entry);
    return;
  }
  entries.push_back(std::move(entry));
  if (entries.size() <= kMaxBackupLogEntries) return;
  auto leaving = std::find_if(entries.begin(), entries.end(), [&](const BackupLogEntry& other) {
    return IsSuperseded(other, entries);
  });
  if (leaving == entries.end()) {
    leaving = std::find_if(entries.begin(), entries.end(),
                           [](const BackupLogEntry& other) { return !other.IsVerified(); });
  }
  if (leaving == entries.end()) leaving = entries.begin();
  entries.erase(leaving);
}

BackupCoverage CoverageOf(const Keyring& keyring, const std::vector<BackupLogEntry>& entries) {
  BackupCoverage coverage;
  uint32_t held = 0;
  for (const BackupLogEntry& entry : entries) {
    if (!entry.IsVerified() || entry.highest_version > keyring.versions().size()) continue;
    const absl::StatusOr<std::string> keys = KeysDigest(keyring, entry.highest_version);
    if (!keys.ok() || *keys != entry.keys) continue;
    held = std::max(held, entry.highest_version);
    if (coverage.newest == nullptr || entry.generation >= coverage.newest->generation) {
      coverage.newest = &entry;
    }
  }
  for (const KeyVersion& version : keyring.versions()) {
    if (CanDecrypt(version.state) && version.number > held) {
      coverage.missing.push_back(version.number);
    }
  }
  return coverage;
}

std::vector<std::string> BackupWarnings(
    const Keyring& keyring, const absl::StatusOr<std::vector<BackupLogEntry>>& entries) {
  if (!entries.ok() && !absl::IsNotFound(entries.status())) {
    return {absl::StrCat("it is not known whether there is a backup of this keyring: ",
                         entries.status().message())};
  }
  BackupCoverage coverage;
  if (entries.ok()) coverage = CoverageOf(keyring, *entries);
  if (coverage.newest == nullptr) {
    return {absl::StrCat("no verified backup of this keyring is known", kMakeOne)};
  }
  if (coverage.missing.empty()) return {};
  return {absl::StrCat(DescribeVersions(coverage.missing), " in no verified backup", kMakeOne)};
}

}  // namespace kekd
