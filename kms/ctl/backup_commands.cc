#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "keystore/backup.h"
#include "keystore/file_keyring_store.h"
#include "keystore/high_water.h"
#include "keystore/keyring_record.h"
#include "kms/admin_view/keyring_view.h"
#include "kms/ctl/admin_client.h"
#include "kms/ctl/backup_maker.h"
#include "kms/ctl/backup_opener.h"
#include "kms/ctl/backup_output.h"
#include "kms/ctl/commands.h"
#include "kms/ctl/json_output.h"
#include "kms/ctl/new_ring_files.h"
#include "kms/keyring/keyring_access.h"

namespace kekd {
namespace {

// The backup's own path, its header and what can be proven of its keys.
BackupReport ReportOf(const CommandContext& context, const std::string& path,
                      const OpenedBackup& opened) {
  BackupReport report;
  report.path = path;
  report.header = opened.header;
  report.proofs = ProveBackup(opened, context.now + kVerbTime);
  return report;
}

absl::StatusOr<BackupLogEntry> VerifiedEntry(const CommandContext& context,
                                             const OpenedBackup& opened, const std::string& path) {
  KEKD_ASSIGN_OR_RETURN(BackupLogEntry entry, EntryOf(opened.header, *opened.keyring, path));
  entry.verification_time = context.now;
  return entry;
}

// The keyring that the record is of, by its form alone: for a keyring whose key file is elsewhere.
std::optional<RingIdentity> IdentityOnDisk(FileSystem& fs, const std::string& path) {
  absl::StatusOr<std::string> bytes = fs.ReadFile(path, kMaxRecordBytes);
  if (!bytes.ok()) return std::nullopt;
  const absl::StatusOr<UnverifiedRecord> record = UnverifiedRecord::Parse(*std::move(bytes));
  if (!record.ok()) return std::nullopt;
  return record->identity();
}

// Compares the backup with the keyring that is here, and writes down that it was verified.
void CompareWithCurrent(const CommandContext& context, const KeyringConfig& keyring,
                        const OpenedBackup& opened, BackupReport& report) {
  // A drill on another host: there is nothing to be compared or written down. Whatever else is
  // missing (a key file) is an error of the keyring that is here.
  const std::string path = JoinPath(keyring.directory, "keyring");
  const absl::Status found = context.fs->GetInfo(path).status();
  if (absl::IsNotFound(found)) return;
  const std::optional<RingIdentity> identity = IdentityOnDisk(*context.fs, path);
  if (identity.has_value() && !(*identity == opened.keyring->identity())) {
    report.other_ring = absl::StrCat(identity->name, " (", identity->ring_uuid.ToString(), ") in ",
                                     keyring.directory);
    return;
  }
  report.compares = true;
  report.recorded = found;
  if (!found.ok()) return;
  const absl::StatusOr<RecordOnDisk> here = ReadRecordOnDisk(context, keyring);
  report.recorded = here.status();
  if (!here.ok()) return;
  report.current.emplace();
  report.current->generation = here->keyring->generation();
  for (const KeyVersion& version : here->keyring->versions()) {
    if (CanDecrypt(version.state) && opened.keyring->Find(version.key_id) == nullptr) {
      report.current->missing.push_back(version.number);
    }
  }
  const absl::StatusOr<BackupLogEntry> entry = VerifiedEntry(context, opened, report.path);
  report.recorded = entry.ok() ? RecordBackup(context, keyring, *entry) : entry.status();
}

absl::Status ExpectName(const OpenedBackup& opened, const KeyringConfig& keyring) {
  if (opened.header.ring.name == keyring.name) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("the backup is of keyring \"", opened.header.ring.name,
                   "\", the configuration calls the one in ", keyring.directory, " \"",
                   keyring.name, "\"; nothing was changed"));
}

// A kekd that runs answers far sooner.
constexpr absl::Duration kAnswerTime = absl::Seconds(2);

// kekd goes on with the keyring that it has in memory, wherever its files are.
absl::Status ExpectNoKekd(const CommandContext& context) {
  const absl::StatusOr<AdminClient> kekd = AdminClient::Connect(*context.config);
  if (absl::IsNotFound(kekd.status())) return absl::OkStatus();
  KEKD_RETURN_IF_ERROR(kekd.status());
  // systemd's socket units take connections for a kekd that is stopped, and start it for them.
  if (absl::IsDeadlineExceeded(kekd->GetStatus(absl::Now() + kAnswerTime).status())) {
    return absl::FailedPreconditionError(absl::StrCat(
        "somebody holds the admin socket ", context.config->admin_socket.path,
        ", but kekd does not answer: stop kekd.socket and kekd-admin.socket too. Nothing was "
        "changed"));
  }
  return absl::FailedPreconditionError(
      "kekd is running, and would go on with the keyring that it has in memory: stop it first. "
      "Nothing was changed");
}

// What the caller's word lets the backup in against.
std::optional<Overruled> FindOverruled(FileSystem& fs, const Config& config,
                                       const FileKeyringStore::RestoreRequest& request) {
  if (!request.accepted_generation.has_value()) return std::nullopt;
  const Uuid& uuid = request.keyring->identity().ring_uuid;
  const absl::StatusOr<HighWater> mark =
      ReadHighWater(fs, HighWaterPath(config.state_directory, uuid), uuid, *request.ring_key);
  if (absl::IsDataLoss(mark.status())) return Overruled{};
  if (!mark.ok() || request.keyring->generation() >= mark->accepted) return std::nullopt;
  return Overruled{mark->highest};
}

}  // namespace

absl::StatusOr<CommandResult> KeyringBackup(const CommandContext& context,
                                            const KeyringBackupVerb& verb) {
  KEKD_ASSIGN_OR_RETURN(const KeyringConfig* const keyring,
                        context.config->FindKeyring(context.keyring));
  KEKD_ASSIGN_OR_RETURN(const BackupReport report, MakeBackupFile(context, *keyring, verb.backup));
  CommandResult result;
  result.output = context.format == OutputFormat::kJson ? BackupJson(report) : BackupText(report);
  NoteUnrecorded(report, result);
  return result;
}

absl::StatusOr<CommandResult> KeyringVerifyBackup(const CommandContext& context,
                                                  const KeyringVerifyVerb& verb) {
  const KeyringConfig* keyring = nullptr;
  // A drill on a host that has no configuration needs none.
  if (context.config != nullptr) {
    KEKD_ASSIGN_OR_RETURN(keyring, context.config->FindKeyring(context.keyring));
  }
  KEKD_ASSIGN_OR_RETURN(const OpenedBackup opened,
                        OpenBackupFile(*context.fs, verb.backup, verb.opening));
  BackupReport report = ReportOf(context, verb.backup, opened);
  const absl::Status proven = CheckProofs(report.proofs);
  if (proven.ok() && keyring != nullptr) CompareWithCurrent(context, *keyring, opened, report);
  CommandResult result;
  result.output =
      context.format == OutputFormat::kJson ? BackupJson(report) : VerifiedBackupText(report);
  if (proven.ok()) {
    NoteUnrecorded(report, result);
  } else {
    result.note = absl::StrCat("backup ", verb.backup, " is not good: ", proven.message());
    result.exit_code = ExitCodeOf(proven);
  }
  return result;
}

absl::StatusOr<CommandResult> KeyringRestore(const CommandContext& context,
                                             const KeyringRestoreVerb& verb) {
  FileSystem& fs = *context.fs;
  KEKD_ASSIGN_OR_RETURN(const KeyringConfig* const keyring,
                        context.config->FindKeyring(context.keyring));
  KEKD_ASSIGN_OR_RETURN(const OpenedBackup opened, OpenBackupFile(fs, verb.backup, verb.opening));
  KEKD_RETURN_IF_ERROR(ExpectName(opened, *keyring));
  RestoreReport report;
  report.backup = ReportOf(context, verb.backup, opened);
  KEKD_RETURN_IF_ERROR(CheckProofs(report.backup.proofs));

  KEKD_ASSIGN_OR_RETURN(const UniqueFd lock, LockConfiguration(context.config_path));
  const FileKeyringStore::RestoreRequest request = {.keyring = opened.keyring,
                                                    .ring_key = opened.ring_key,
                                                    .record = opened.record,
                                                    .accepted_generation = verb.accept_generation,
                                                    .now = context.now};
  // Before a key file is made for nothing.
  KEKD_RETURN_IF_ERROR(
      FileKeyringStore::CheckCanRestore(StoreOptions(fs, *context.config, *keyring), request));
  KEKD_RETURN_IF_ERROR(ExpectNoKekd(context));
  KEKD_RETURN_IF_ERROR(ExpectFoldersForRing(fs, *context.config, *keyring));
  report.overruled = FindOverruled(fs, *context.config, request);
  NewKeyFiles key_files(fs);
  KEKD_RETURN_IF_ERROR(MakeFoldersForRing(fs, *context.config, *keyring));
  KEKD_RETURN_IF_ERROR(key_files.MakeMissing(*keyring));
  absl::StatusOr<FileKeyringStore::Restored> restored =
      FileKeyringStore::Restore(StoreOptions(fs, *context.config, *keyring), request);
  if (!restored.ok()) {
    // A record may be there after all, and then needs its key file.
    const absl::Status record = fs.GetInfo(JoinPath(keyring->directory, "keyring")).status();
    if (!absl::IsNotFound(record)) key_files.Keep();
    return restored.status();
  }
  report.directory = keyring->directory;
  report.generation = restored->generation;
  report.new_wraps = restored->new_wraps;
  report.new_key_files = key_files.Keep();
  KEKD_ASSIGN_OR_RETURN(const std::shared_ptr<const Keyring> keyring_now, restored->store->Load());
  report.keyring = KeyringToView(*keyring_now, nullptr);
  const absl::StatusOr<BackupLogEntry> entry = VerifiedEntry(context, opened, verb.backup);
  report.backup.recorded = entry.ok() ? restored->store->RecordBackup(*entry) : entry.status();

  CommandResult result;
  result.output =
      context.format == OutputFormat::kJson ? RestoreJson(report) : RestoredText(report);
  NoteUnrecorded(report.backup, result);
  return result;
}

}  // namespace kekd
