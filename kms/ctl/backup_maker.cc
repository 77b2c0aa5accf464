#include "kms/ctl/backup_maker.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/durable_file.h"
#include "base/hex.h"
#include "base/random_source.h"
#include "base/status_macros.h"
#include "keystore/backup.h"
#include "keystore/file_keyring_store.h"
#include "keystore/keyring_record.h"
#include "kms/admin_view/backup_view.h"
#include "kms/config/version.h"
#include "kms/ctl/admin_client.h"
#include "kms/ctl/backup_opener.h"
#include "kms/ctl/share_words_output.h"
#include "kms/keyring/keyring_access.h"

namespace kekd {
namespace {

// Files that this call made, removed again unless all went well.
class NewFiles final {
 public:
  explicit NewFiles(FileSystem& fs) : fs_(fs) {}
  ~NewFiles() {
    for (const std::string& path : paths_) {
      fs_.Remove(path).IgnoreError();
      fs_.SyncDirectory(DirectoryOf(path)).IgnoreError();
    }
  }
  NewFiles(const NewFiles&) = delete;
  NewFiles& operator=(const NewFiles&) = delete;

  absl::Status Make(const std::string& path, ByteView content) {
    const absl::Status made = CreateFileDurably(fs_, path, content, {.mode = 0600});
    if (absl::IsAlreadyExists(made)) return made;
    if (!made.ok()) return RemoveIfMade(path, content, made);
    paths_.push_back(path);
    return absl::OkStatus();
  }

  void Keep() { paths_.clear(); }

 private:
  // The error may have come after the file got its name: it says so then, and what becomes of it is
  // added. Another's file at that place has another content.
  absl::Status RemoveIfMade(const std::string& path, ByteView content, const absl::Status& error) {
    const absl::StatusOr<SecretBytes> there = fs_.ReadSecretFile(path, content.size(), nullptr);
    if (!there.ok() || AsText(there->Reveal(SecretAccessToken())) != AsText(content)) return error;
    const absl::Status removed = fs_.Remove(path);
    fs_.SyncDirectory(DirectoryOf(path)).IgnoreError();
    return absl::Status(
        error.code(),
        absl::StrCat(error.message(),
                     removed.ok() ? "; it was removed again" : "; it has to be removed by hand"));
  }

  FileSystem& fs_;
  std::vector<std::string> paths_;
};

absl::Status ExpectFolder(FileSystem& fs, const std::string& folder, absl::string_view of) {
  const absl::StatusOr<FileInfo> info = fs.GetInfo(folder);
  if (absl::IsNotFound(info.status())) {
    return absl::FailedPreconditionError(
        absl::StrCat("the folder ", folder, " of ", of, " does not exist; make it first"));
  }
  KEKD_RETURN_IF_ERROR(info.status());
  if (info->type == FileType::kDirectory) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(folder, " is not a folder"));
}

std::string ShareFileName(const BackupHeader& header, const BackupShare& share) {
  return absl::StrCat(header.ring.name, "-", HexEncode(header.backup_id.bytes().first(4)),
                      ".share-", uint32_t{share.secret.index}, "-of-", share.total);
}

// Opens what was written by what opens it: with shares by every row of them, so that each share is
// proven too.
absl::StatusOr<OpenedBackup> OpenWritten(FileSystem& fs, const std::string& path,
                                         const SecretSource* passphrase,
                                         const std::vector<BackupShare>& shares,
                                         uint32_t threshold) {
  KEKD_ASSIGN_OR_RETURN(const std::string bytes, ReadBackupFile(fs, path));
  if (passphrase != nullptr) return OpenBackup(AsBytes(bytes), passphrase, RandomSource::System());
  absl::StatusOr<OpenedBackup> opened = absl::InternalError("a backup without shares");
  for (size_t first = 0; first + threshold <= shares.size(); ++first) {
    opened = OpenBackup(AsBytes(bytes), absl::MakeConstSpan(shares).subspan(first, threshold),
                        RandomSource::System());
    KEKD_RETURN_IF_ERROR(opened.status());
  }
  return opened;
}

// The shares as they were written: from their files, or from the words.
absl::StatusOr<std::vector<BackupShare>> ReadBack(FileSystem& fs, const NewBackup& backup,
                                                  const std::vector<std::string>& files) {
  if (!files.empty()) return ReadShares(fs, files);
  std::vector<BackupShare> shares;
  for (const BackupShare& share : backup.shares) {
    KEKD_ASSIGN_OR_RETURN(const SecretBytes words, ShareWords(share));
    KEKD_ASSIGN_OR_RETURN(shares.emplace_back(),
                          ParseShare(words.Reveal(SecretAccessToken()), share.source));
  }
  return shares;
}

absl::StatusOr<NewBackup> MakeInMemory(const CommandContext& context, const RecordOnDisk& record,
                                       const BackupMaking& making, const SecretSource* source) {
  const auto make = [&](const BackupProtection& protection) {
    return MakeBackup(AsBytes(record.bytes), *record.ring_key, protection, kKekdVersion,
                      context.now, RandomSource::System());
  };
  if (source == nullptr) return make(*making.shares);
  KEKD_ASSIGN_OR_RETURN(const SecretBytes passphrase, source->Read());
  return make(BackupPassphrase{&passphrase});
}

absl::Status RecordByFiles(const CommandContext& context, const KeyringConfig& keyring,
                           const BackupLogEntry& entry) {
  KEKD_ASSIGN_OR_RETURN(const std::unique_ptr<FileKeyringStore> store,
                        FileKeyringStore::Open(StoreOptions(*context.fs, *context.config, keyring),
                                               FileKeyringStore::Access::kExclusive));
  return store->RecordBackup(entry);
}

}  // namespace

absl::Status CheckCanMakeBackup(const CommandContext& context, const BackupMaking& making) {
  FileSystem& fs = *context.fs;
  KEKD_RETURN_IF_ERROR(ExpectFolder(fs, DirectoryOf(making.out), making.out));
  absl::Status there = fs.GetInfo(making.out).status();
  if (there.ok()) {
    return absl::AlreadyExistsError(
        absl::StrCat(making.out,
                     " exists already; nothing is overwritten. If it is a backup, 'kekctl keyring "
                     "verify --backup' proves it and writes it down"));
  }
  if (!absl::IsNotFound(there)) return there;
  if (!making.share_dir.empty()) {
    KEKD_RETURN_IF_ERROR(ExpectFolder(fs, making.share_dir, "the shares"));
  }
  if (making.share_words == BackupMaking::Words::kStdout && context.format == OutputFormat::kJson) {
    return absl::InvalidArgumentError("'--share-words stdout' and '-o json' exclude each other");
  }
  return CheckCanShowShareWords(making.share_words);
}

absl::StatusOr<RecordOnDisk> ReadRecordOnDisk(const CommandContext& context,
                                              const KeyringConfig& keyring) {
  // kekd may commit between the two looks: then once more.
  for (int attempt = 0; attempt < 5; ++attempt) {
    KEKD_ASSIGN_OR_RETURN(
        const std::unique_ptr<FileKeyringStore> store,
        FileKeyringStore::Open(StoreOptions(*context.fs, *context.config, keyring),
                               FileKeyringStore::Access::kReadOnly));
    RecordOnDisk record;
    KEKD_ASSIGN_OR_RETURN(record.keyring, store->Load());
    KEKD_RETURN_IF_ERROR(CheckName(*record.keyring, keyring));
    record.ring_key = store->ring_key()->Get();
    KEKD_ASSIGN_OR_RETURN(record.bytes, context.fs->ReadFile(JoinPath(keyring.directory, "keyring"),
                                                             kMaxRecordBytes));
    KEKD_ASSIGN_OR_RETURN(const UnverifiedRecord parsed, UnverifiedRecord::Parse(record.bytes));
    if (parsed.generation() == record.keyring->generation()) return record;
  }
  return absl::AbortedError("the keyring changes all the time; try again later");
}

absl::StatusOr<BackupReport> MakeBackupFile(const CommandContext& context,
                                            const KeyringConfig& keyring,
                                            const BackupMaking& making) {
  FileSystem& fs = *context.fs;
  KEKD_RETURN_IF_ERROR(CheckCanMakeBackup(context, making));
  KEKD_ASSIGN_OR_RETURN(const RecordOnDisk record, ReadRecordOnDisk(context, keyring));
  std::unique_ptr<SecretSource> source;
  if (!making.shares.has_value()) {
    source = MakeSecretSource(fs, making.passphrase,
                              absl::StrCat("the new backup of keyring \"", keyring.name, "\""),
                              AskTwice::kYes, std::nullopt);
  }
  KEKD_ASSIGN_OR_RETURN(const NewBackup backup,
                        MakeInMemory(context, record, making, source.get()));

  BackupReport report;
  report.path = making.out;
  report.header = backup.header;
  NewFiles files(fs);
  // The shares first: a backup that is there has what opens it, wherever this was cut off.
  if (!making.share_dir.empty()) {
    for (const BackupShare& share : backup.shares) {
      KEKD_ASSIGN_OR_RETURN(const SecretBytes content,
                            ShareFileContent(share, keyring.name, backup.header.creation_time));
      const std::string path = JoinPath(making.share_dir, ShareFileName(backup.header, share));
      KEKD_RETURN_IF_ERROR(files.Make(path, content.Reveal(SecretAccessToken())));
      report.share_files.push_back(path);
    }
  }
  KEKD_RETURN_IF_ERROR(files.Make(making.out, AsBytes(backup.bytes)));
  KEKD_ASSIGN_OR_RETURN(const std::vector<BackupShare> shares,
                        ReadBack(fs, backup, report.share_files));
  KEKD_ASSIGN_OR_RETURN(const OpenedBackup opened,
                        OpenWritten(fs, making.out, source.get(), shares,
                                    making.shares.has_value() ? making.shares->threshold : 0));
  report.proofs = ProveBackup(opened, context.now + kVerbTime);
  KEKD_RETURN_IF_ERROR(CheckProofs(report.proofs));
  KEKD_RETURN_IF_ERROR(
      ShowShareWords(making.share_words, backup.shares, keyring.name, backup.header.creation_time));
  report.showed_words = making.share_words != BackupMaking::Words::kNone;
  files.Keep();

  KEKD_ASSIGN_OR_RETURN(BackupLogEntry entry, EntryOf(opened.header, *opened.keyring, making.out));
  entry.verification_time = context.now;
  report.recorded = RecordBackup(context, keyring, entry);
  report.current.emplace();
  report.current->generation = record.keyring->generation();
  return report;
}

absl::Status RecordBackup(const CommandContext& context, const KeyringConfig& keyring,
                          const BackupLogEntry& entry) {
  const absl::StatusOr<AdminClient> kekd = AdminClient::Connect(*context.config);
  if (absl::IsNotFound(kekd.status())) return RecordByFiles(context, keyring, entry);
  KEKD_RETURN_IF_ERROR(kekd.status());
  admin::v1::RecordBackupRequest request;
  request.set_keyring(keyring.name);
  *request.mutable_backup() = BackupToView(entry);
  return kekd->RecordBackup(request, absl::Now() + kVerbTime);
}

}  // namespace kekd
