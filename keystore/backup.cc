#include "keystore/backup.h"

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/length_prefixed.h"
#include "base/status_macros.h"
#include "keystore/aead.h"
#include "keystore/digest.h"
#include "keystore/keyring_record.h"
#include "keystore/open_keyring.h"
#include "keystore/software_key_backend.h"

namespace kekd {
namespace {

constexpr size_t kSharedSecretBytes = BackupShare::kSecretBytes;
constexpr size_t kXaesOverhead = 24 + kAeadTagBytes;

// Of a record that was parsed: what is behind its magic.
uint32_t FormatOf(ByteView record) { return ReadU16(record.data() + 8); }

// The key of the payload, from the passphrase's key or from the shared secret.
absl::StatusOr<std::unique_ptr<const Aead>> PayloadCipher(const SecretBytes& secret,
                                                          const Uuid& backup_id,
                                                          const RandomSource& random) {
  KEKD_ASSIGN_OR_RETURN(SecretBytes key,
                        HkdfSha256(secret, backup_id.bytes(), "kekd/backup-payload/1"));
  return CreateAead(Algorithm::kXaes256Gcm, std::move(key), random);
}

std::string AssociatedData(ByteView head) {
  LengthPrefixed fields;
  fields.Add("kekd/backup/1").Add(head);
  return fields.bytes();
}

SecretBytes Payload(const RingKey& ring_key, ByteView record) {
  SecretBytes payload(RingKey::kBytes + record.size());
  uint8_t* const out = payload.RevealMutable(SecretAccessToken()).data();
  memcpy(out, ring_key.secret().Reveal(SecretAccessToken()).data(), RingKey::kBytes);
  memcpy(out + RingKey::kBytes, record.data(), record.size());
  return payload;
}

// Draws what protects a new backup: writes the public part of it into the header, returns the
// secret part, and adds the shares of it.
absl::StatusOr<SecretBytes> Protect(const BackupProtection& protection, const RandomSource& random,
                                    NewBackup& backup) {
  if (const auto* by_passphrase = std::get_if<BackupPassphrase>(&protection)) {
    KEKD_RETURN_IF_ERROR(CheckNewPassphrase(*by_passphrase->passphrase));
    KEKD_ASSIGN_OR_RETURN(const KdfParameters kdf,
                          NewKdfParameters(by_passphrase->function, random));
    backup.header.protection = kdf;
    return DerivePassphraseKey(*by_passphrase->passphrase, kdf);
  }
  const auto& numbers = std::get<ShareNumbers>(protection);
  KEKD_RETURN_IF_ERROR(CheckShareNumbers(numbers.threshold, numbers.total));
  backup.header.protection = numbers;
  SecretBytes secret(kSharedSecretBytes);
  KEKD_RETURN_IF_ERROR(random.Fill(secret.RevealMutable(SecretAccessToken())));
  KEKD_ASSIGN_OR_RETURN(std::vector<ShamirShare> shares,
                        SplitSecret(secret, numbers.threshold, numbers.total, random));
  const ByteView id = backup.header.backup_id.bytes().first(BackupShare::kIdBytes);
  for (ShamirShare& share : shares) {
    BackupShare& out = backup.shares.emplace_back();
    out.threshold = numbers.threshold;
    out.total = numbers.total;
    out.id = std::string(AsText(id));
    out.secret = std::move(share);
    out.source = absl::StrCat("share ", uint32_t{out.secret.index});
  }
  return secret;
}

absl::StatusOr<SecretBytes> Unprotect(const BackupHeader& header, const BackupUnlock& unlock) {
  const auto* const kdf = std::get_if<KdfParameters>(&header.protection);
  const auto* const source = std::get_if<const SecretSource*>(&unlock);
  if ((kdf != nullptr) != (source != nullptr)) {
    return absl::InvalidArgumentError(absl::StrCat("this backup is opened by ",
                                                   DescribeProtection(header), ", not by ",
                                                   source != nullptr ? "a passphrase" : "shares"));
  }
  if (kdf == nullptr) {
    const auto& numbers = std::get<ShareNumbers>(header.protection);
    return CombineBackupShares(std::get<absl::Span<const BackupShare>>(unlock), header.backup_id,
                               numbers.threshold, numbers.total);
  }
  KEKD_ASSIGN_OR_RETURN(const SecretBytes passphrase, (*source)->Read());
  return DerivePassphraseKey(passphrase, *kdf);
}

// InvalidArgument if it is not the secret of this backup.
absl::StatusOr<SecretBytes> Unseal(const SealedBackup& sealed, const BackupHeader& header,
                                   const SecretBytes& secret, const RandomSource& random) {
  KEKD_ASSIGN_OR_RETURN(const std::unique_ptr<const Aead> cipher,
                        PayloadCipher(secret, header.backup_id, random));
  return cipher->Decrypt(sealed.payload, AsBytes(AssociatedData(sealed.authenticated)));
}

// Names the share without which the others open the backup, if there are enough of them.
absl::Status SharesDoNotOpen(const SealedBackup& sealed, const BackupHeader& header,
                             absl::Span<const BackupShare> shares, const RandomSource& random) {
  const auto& numbers = std::get<ShareNumbers>(header.protection);
  for (size_t i = 0; i < numbers.threshold && shares.size() > numbers.threshold; ++i) {
    KEKD_ASSIGN_OR_RETURN(
        const SecretBytes secret,
        CombineBackupShares(shares, header.backup_id, numbers.threshold, numbers.total, i));
    if (Unseal(sealed, header, secret, random).ok()) return DoesNotFit(shares[i]);
  }
  return absl::DataLossError(
      "the shares do not open this backup, although they say that they are its own: somebody has "
      "altered one of them, or the backup");
}

absl::Status DoesNotOpen(const SealedBackup& sealed, const BackupHeader& header,
                         const BackupUnlock& unlock, const RandomSource& random) {
  const auto* const source = std::get_if<const SecretSource*>(&unlock);
  if (source == nullptr) {
    return SharesDoNotOpen(sealed, header, std::get<absl::Span<const BackupShare>>(unlock), random);
  }
  return absl::InvalidArgumentError(absl::StrCat(
      (*source)->Describe(), " does not open the backup of ",
      absl::FormatTime("%Y-%m-%d %H:%M UTC", header.creation_time, absl::UTCTimeZone()),
      ": it is not the passphrase that the backup was made with (or somebody has "
      "altered the backup)"));
}

// What is in it must be what its header says, or a list of backups would be wrong.
absl::Status CheckHeader(const BackupHeader& header, const Keyring& keyring, ByteView record) {
  if (header.record_format == FormatOf(record) && header.ring == keyring.identity() &&
      header.generation == keyring.generation() &&
      header.highest_version == keyring.versions().size()) {
    return absl::OkStatus();
  }
  return absl::DataLossError("the backup's header is not that of the keyring in it");
}

std::vector<VersionProof> Proofs(const OpenKeyring& opened) {
  std::vector<VersionProof> proofs;
  for (const OpenKeyring::Entry& entry : opened.entries()) {
    const KeyVersion& version = *entry.version;
    if (!CanDecrypt(version.state)) continue;
    VersionProof& proof = proofs.emplace_back();
    proof.version = version.number;
    proof.key_id = version.key_id;
    proof.state = version.state;
    proof.custody = version.material.custody;
    proof.status = entry.status;
    if (entry.status.ok()) {
      proof.result = VersionProof::Result::kProven;
    } else if (version.material.HasDeviceKey()) {
      proof.result = VersionProof::Result::kElsewhere;
    }
  }
  return proofs;
}

}  // namespace

absl::StatusOr<NewBackup> MakeBackup(ByteView record, const RingKey& ring_key,
                                     const BackupProtection& protection,
                                     absl::string_view kekd_version, absl::Time now,
                                     const RandomSource& random) {
  KEKD_ASSIGN_OR_RETURN(const UnverifiedRecord parsed,
                        UnverifiedRecord::Parse(std::string(AsText(record))));
  KEKD_ASSIGN_OR_RETURN(const Keyring keyring, parsed.Verify(ring_key));
  NewBackup backup;
  KEKD_ASSIGN_OR_RETURN(backup.header.backup_id, Uuid::Random(random));
  backup.header.ring = keyring.identity();
  backup.header.generation = keyring.generation();
  backup.header.highest_version = static_cast<uint32_t>(keyring.versions().size());
  backup.header.record_format = FormatOf(record);
  backup.header.creation_time = absl::FromUnixMillis(absl::ToUnixMillis(now));
  backup.header.kekd_version = std::string(kekd_version);
  KEKD_ASSIGN_OR_RETURN(const SecretBytes secret, Protect(protection, random, backup));

  const SecretBytes payload = Payload(ring_key, record);
  KEKD_ASSIGN_OR_RETURN(backup.bytes,
                        EncodeBackupHead(backup.header, payload.size() + kXaesOverhead));
  KEKD_ASSIGN_OR_RETURN(const std::unique_ptr<const Aead> cipher,
                        PayloadCipher(secret, backup.header.backup_id, random));
  KEKD_ASSIGN_OR_RETURN(const std::string sealed,
                        cipher->Encrypt(payload, AsBytes(AssociatedData(AsBytes(backup.bytes)))));
  backup.bytes += sealed;
  KEKD_RETURN_IF_ERROR(FinishBackup(backup.bytes));
  return backup;
}

absl::StatusOr<OpenedBackup> OpenBackup(ByteView bytes, const BackupUnlock& unlock,
                                        const RandomSource& random) {
  KEKD_ASSIGN_OR_RETURN(SealedBackup sealed, ParseBackup(bytes));
  OpenedBackup opened;
  opened.header = std::move(sealed.header);
  KEKD_ASSIGN_OR_RETURN(const SecretBytes secret, Unprotect(opened.header, unlock));
  const absl::StatusOr<SecretBytes> payload = Unseal(sealed, opened.header, secret, random);
  if (absl::IsInvalidArgument(payload.status())) {
    return DoesNotOpen(sealed, opened.header, unlock, random);
  }
  KEKD_RETURN_IF_ERROR(payload.status());
  if (const auto* const shares = std::get_if<absl::Span<const BackupShare>>(&unlock)) {
    const auto& numbers = std::get<ShareNumbers>(opened.header.protection);
    KEKD_RETURN_IF_ERROR(CheckSurplusShares(*shares, numbers.threshold, secret));
  }
  const ByteView content = payload->Reveal(SecretAccessToken());
  if (content.size() < RingKey::kBytes) return absl::DataLossError("the backup is empty");
  KEKD_ASSIGN_OR_RETURN(opened.ring_key,
                        RingKey::Create(SecretBytes::CopyOf(content.first(RingKey::kBytes)),
                                        opened.header.ring.ring_uuid, random));
  opened.record = std::string(AsText(content.subspan(RingKey::kBytes)));
  KEKD_ASSIGN_OR_RETURN(const UnverifiedRecord record, UnverifiedRecord::Parse(opened.record));
  KEKD_ASSIGN_OR_RETURN(Keyring keyring, record.Verify(*opened.ring_key));
  KEKD_RETURN_IF_ERROR(CheckHeader(opened.header, keyring, AsBytes(opened.record)));
  opened.keyring = std::make_shared<const Keyring>(std::move(keyring));
  return opened;
}

std::shared_ptr<const OpenKeyring> OpenBackupKeyring(const OpenedBackup& backup,
                                                     absl::Time deadline) {
  BackendSet backends;
  backends.Add(CreateSoftwareKeyBackend(backup.ring_key, RandomSource::System()));
  return OpenKeyring::Open(backup.keyring, backends, nullptr, deadline);
}

std::vector<VersionProof> ProveVersions(std::shared_ptr<const Keyring> keyring,
                                        const BackendSet& backends, absl::Time deadline) {
  return Proofs(*OpenKeyring::Open(std::move(keyring), backends, nullptr, deadline));
}

std::vector<VersionProof> ProveBackup(const OpenedBackup& backup, absl::Time deadline) {
  return Proofs(*OpenBackupKeyring(backup, deadline));
}

absl::Status CheckProofs(absl::Span<const VersionProof> proofs) {
  for (const VersionProof& proof : proofs) {
    if (proof.result != VersionProof::Result::kFailed) continue;
    return absl::DataLossError(
        absl::StrCat("key version ", proof.version, " can't be opened: ", proof.status.message()));
  }
  return absl::OkStatus();
}

}  // namespace kekd
