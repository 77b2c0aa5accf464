#include "keystore/backup_header.h"

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/length_prefixed.h"
#include "base/status_macros.h"
#include "kekd/backup/v1/backup.pb.h"
#include "keystore/canonical_message.h"
#include "keystore/digest.h"
#include "keystore/keyring.h"
#include "keystore/keyring_record.h"
#include "keystore/shamir.h"

namespace kekd {
namespace {

namespace pb = ::kekd::backup::v1;

constexpr absl::string_view kMagic = "kekdback";
constexpr size_t kFormatOffset = 8;
constexpr size_t kHeaderSizeOffset = 10;
constexpr size_t kPayloadSizeOffset = 14;
constexpr size_t kHeadBytes = 18;
constexpr size_t kDigestBytes = 32;
constexpr size_t kMaxVersionText = 64;
static_assert(kMaxBackupBytes >= kMaxRecordBytes + (size_t{4} << 10));

absl::Status Damaged(absl::string_view what) {
  return absl::DataLossError(absl::StrCat("the backup is damaged: ", what));
}

pb::BackupHeader ToProto(const BackupHeader& header) {
  const auto bytes = [](const Uuid& uuid) { return std::string(AsText(uuid.bytes())); };
  pb::BackupHeader out;
  out.set_backup_id(bytes(header.backup_id));
  out.set_keyring(header.ring.name);
  out.set_cluster_id(bytes(header.ring.cluster_id));
  out.set_ring_uuid(bytes(header.ring.ring_uuid));
  out.set_generation(header.generation);
  out.set_highest_version(header.highest_version);
  out.set_record_format(header.record_format);
  out.set_created_ms(absl::ToUnixMillis(header.creation_time));
  out.set_kekd_version(header.kekd_version);
  if (const auto* kdf = std::get_if<KdfParameters>(&header.protection)) {
    pb::PassphraseProtection* const passphrase = out.mutable_passphrase();
    passphrase->set_function(static_cast<uint32_t>(kdf->function));
    passphrase->set_log2_n(kdf->log2_n);
    passphrase->set_r(kdf->r);
    passphrase->set_p(kdf->p);
    passphrase->set_iterations(kdf->iterations);
    passphrase->set_salt(kdf->salt);
    return out;
  }
  const auto& numbers = std::get<ShareNumbers>(header.protection);
  out.mutable_shares()->set_threshold(numbers.threshold);
  out.mutable_shares()->set_total(numbers.total);
  return out;
}

absl::StatusOr<std::variant<KdfParameters, ShareNumbers>> ProtectionFrom(
    const pb::BackupHeader& in) {
  if (in.has_shares()) {
    KEKD_RETURN_IF_ERROR(CheckShareNumbers(in.shares().threshold(), in.shares().total()));
    return ShareNumbers{in.shares().threshold(), in.shares().total()};
  }
  if (!in.has_passphrase()) return absl::InvalidArgumentError("it does not say how it is opened");
  KdfParameters kdf;
  KEKD_ASSIGN_OR_RETURN(kdf.function, KdfFunctionFromNumber(in.passphrase().function()));
  kdf.log2_n = in.passphrase().log2_n();
  kdf.r = in.passphrase().r();
  kdf.p = in.passphrase().p();
  kdf.iterations = in.passphrase().iterations();
  kdf.salt = in.passphrase().salt();
  KEKD_RETURN_IF_ERROR(CheckKdfParameters(kdf));
  return kdf;
}

absl::StatusOr<BackupHeader> FromProto(const pb::BackupHeader& in) {
  BackupHeader header;
  KEKD_ASSIGN_OR_RETURN(header.backup_id, Uuid::FromBytes(AsBytes(in.backup_id())));
  header.ring.name = in.keyring();
  KEKD_RETURN_IF_ERROR(ValidateKeyringName(header.ring.name));
  KEKD_ASSIGN_OR_RETURN(header.ring.cluster_id, Uuid::FromBytes(AsBytes(in.cluster_id())));
  KEKD_ASSIGN_OR_RETURN(header.ring.ring_uuid, Uuid::FromBytes(AsBytes(in.ring_uuid())));
  header.generation = in.generation();
  header.highest_version = in.highest_version();
  header.record_format = in.record_format();
  if (header.generation == 0 || header.record_format == 0 ||
      header.highest_version > Keyring::kMaxVersions) {
    return absl::InvalidArgumentError("a number in its header is out of bounds");
  }
  header.creation_time = absl::FromUnixMillis(in.created_ms());
  header.kekd_version = in.kekd_version();
  if (header.kekd_version.size() > kMaxVersionText) {
    return absl::InvalidArgumentError("the version of kekd in its header is too long");
  }
  KEKD_ASSIGN_OR_RETURN(header.protection, ProtectionFrom(in));
  return header;
}

absl::StatusOr<BackupHeader> ParseHeader(ByteView bytes) {
  pb::BackupHeader message;
  const auto no_repeated_fields = [](const google::protobuf::FieldDescriptor&) -> size_t {
    return 0;
  };
  const absl::Status parsed = ParseCanonical(bytes, no_repeated_fields, message);
  if (!parsed.ok()) return Damaged(absl::StrCat("its header: ", parsed.message()));
  absl::StatusOr<BackupHeader> header = FromProto(message);
  if (header.ok() || absl::IsUnimplemented(header.status())) return header;
  return Damaged(header.status().message());
}

// That the sizes which the file names are its own.
absl::Status CheckSizes(ByteView bytes) {
  const uint64_t expected = uint64_t{kHeadBytes} + ReadU32(bytes.data() + kHeaderSizeOffset) +
                            ReadU32(bytes.data() + kPayloadSizeOffset) + kDigestBytes;
  if (bytes.size() > kMaxBackupBytes || expected > kMaxBackupBytes) {
    return Damaged(
        absl::StrCat("it is larger than the ", kMaxBackupBytes, " bytes of the largest"));
  }
  if (bytes.size() < expected) {
    return Damaged(
        absl::StrCat("it is cut off: it has ", bytes.size(), " of ", expected, " bytes"));
  }
  if (bytes.size() == expected) return absl::OkStatus();
  return Damaged(absl::StrCat("it has ", bytes.size() - expected, " bytes too many"));
}

}  // namespace

std::string DescribeProtection(const BackupHeader& header) {
  const auto* const numbers = std::get_if<ShareNumbers>(&header.protection);
  if (numbers == nullptr) return "a passphrase";
  return absl::StrCat("any ", numbers->threshold, " of ", numbers->total, " shares");
}

absl::StatusOr<SealedBackup> ParseBackup(ByteView bytes) {
  if (AsText(bytes).substr(0, kMagic.size()) != kMagic) {
    return absl::DataLossError(bytes.empty() ? "the backup is damaged: it is empty"
                                             : "it is no backup of a keyring");
  }
  if (bytes.size() < kHeadBytes + kDigestBytes) {
    return Damaged(absl::StrCat("it is cut off after ", bytes.size(), " bytes"));
  }
  const uint16_t format = ReadU16(bytes.data() + kFormatOffset);
  if (format > kBackupFormat) {
    return absl::UnimplementedError(absl::StrCat("the backup has format ", format,
                                                 ", this kekd reads formats up to ", kBackupFormat,
                                                 ": a newer kekd wrote it; use that one"));
  }
  if (format == 0) return Damaged("its format number is 0");
  KEKD_RETURN_IF_ERROR(CheckSizes(bytes));
  const ByteView content = bytes.first(bytes.size() - kDigestBytes);
  KEKD_ASSIGN_OR_RETURN(const Sha256Digest digest, Sha256(content));
  if (memcmp(digest.data(), content.end(), kDigestBytes) != 0) {
    return Damaged("its SHA-256 does not fit; take another copy of it");
  }
  const size_t header_size = ReadU32(bytes.data() + kHeaderSizeOffset);
  SealedBackup backup;
  KEKD_ASSIGN_OR_RETURN(backup.header, ParseHeader(content.subspan(kHeadBytes, header_size)));
  backup.authenticated = content.first(kHeadBytes + header_size);
  backup.payload = content.subspan(kHeadBytes + header_size);
  return backup;
}

absl::StatusOr<std::string> EncodeBackupHead(const BackupHeader& header, size_t payload_size) {
  const std::string message = SerializeCanonical(ToProto(header));
  if (kHeadBytes + message.size() + payload_size + kDigestBytes > kMaxBackupBytes) {
    return absl::InvalidArgumentError("the keyring has grown too large for a backup");
  }
  // What could not be read again must not be written.
  const absl::Status readable = ParseHeader(AsBytes(message)).status();
  if (!readable.ok()) return absl::InvalidArgumentError(readable.message());
  std::string head(kMagic);
  AppendU16(head, kBackupFormat);
  AppendU32(head, static_cast<uint32_t>(message.size()));
  AppendU32(head, static_cast<uint32_t>(payload_size));
  return head + message;
}

absl::Status FinishBackup(std::string& bytes) {
  KEKD_ASSIGN_OR_RETURN(const Sha256Digest digest, Sha256(AsBytes(bytes)));
  bytes.append(reinterpret_cast<const char*>(digest.data()), digest.size());
  return absl::OkStatus();
}

}  // namespace kekd
