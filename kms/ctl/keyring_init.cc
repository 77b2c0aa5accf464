#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/log.h"
#include "base/random_source.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "keystore/canary.h"
#include "keystore/file_keyring_store.h"
#include "kms/admin_view/keyring_view.h"
#include "kms/ctl/backup_maker.h"
#include "kms/ctl/backup_output.h"
#include "kms/ctl/commands.h"
#include "kms/ctl/json_output.h"
#include "kms/ctl/new_ring_files.h"
#include "kms/ctl/table_output.h"
#include "kms/keyring/keyring_access.h"

namespace kekd {
namespace {

// The first content of a ring: version 1, the primary. A key that was made for it outside of the
// record is destroyed again unless Keep is called.
class FirstVersion final {
 public:
  FirstVersion(const CommandContext& context, const KeyringConfig& keyring,
               const KeyringInitVerb& verb)
      : context_(context), keyring_(keyring), backend_name_(verb.backend), custody_(verb.custody) {}
  ~FirstVersion() {
    if (!made_.has_value()) return;
    const absl::Status destroyed =
        backend_->DestroyKey(spec_, made_->material, absl::Now() + kVerbTime);
    if (!destroyed.ok()) {
      LogWarning("a key that nothing refers to was left behind",
                 {{"key", made_->material.key_reference}, {"error", destroyed.ToString()}});
    }
  }
  FirstVersion(const FirstVersion&) = delete;
  FirstVersion& operator=(const FirstVersion&) = delete;

  absl::StatusOr<Keyring> Make(const Keyring& empty,
                               const std::shared_ptr<const RingKey>& ring_key) {
    KEKD_ASSIGN_OR_RETURN(backends_,
                          MakeBackends(*context_.fs, *context_.config, keyring_,
                                       std::make_shared<const CurrentRingKey>(ring_key)));
    KEKD_ASSIGN_OR_RETURN(backend_, backends_->Find(backend_name_));
    spec_ = {.ring = empty.identity(), .version = empty.NextVersionNumber()};
    KEKD_ASSIGN_OR_RETURN(made_, MakeKeyVersion(spec_, *backend_, RandomSource::System(),
                                                context_.now, context_.now + kVerbTime, custody_));
    KEKD_RETURN_IF_ERROR(ProveEverywhere());
    KEKD_ASSIGN_OR_RETURN(const Keyring filled, empty.WithNewVersion(*made_));
    return filled.WithPromoted(spec_.version, context_.now);
  }
  void Keep() { made_.reset(); }

 private:
  // Version 1 becomes the primary at once, so it must be wherever it is to be held by now: tokens
  // that share their keys by themselves.
  absl::Status ProveEverywhere() const {
    if (backend_->Places().empty()) return absl::OkStatus();
    const absl::Time deadline = context_.now + kVerbTime;
    KEKD_ASSIGN_OR_RETURN(const std::shared_ptr<const BackendKey> key,
                          backend_->OpenKey(spec_, made_->material, deadline));
    KEKD_RETURN_IF_ERROR(CheckCanary(spec_.ring, *made_, *key, deadline));
    const absl::Status proved = key->ProveEverywhere(deadline);
    if (proved.ok()) return proved;
    return absl::FailedPreconditionError(absl::StrCat(
        "the first key would be on one token alone, and was removed from it again: make the "
        "keyring with the \"uri\" of one token, copy its key to the others with the tool of their "
        "maker, then name them all with \"uris\" (",
        proved.message(), ")"));
  }

  const CommandContext& context_;
  const KeyringConfig& keyring_;
  const std::string backend_name_;
  const std::optional<Custody> custody_;
  std::shared_ptr<const BackendSet> backends_;
  KeyBackend* backend_ = nullptr;
  KeySpec spec_;
  std::optional<KeyVersion> made_;
};

absl::StatusOr<RingIdentity> NewIdentity(const std::string& name,
                                         const std::optional<Uuid>& cluster_id) {
  RingIdentity identity;
  identity.name = name;
  KEKD_ASSIGN_OR_RETURN(identity.ring_uuid, Uuid::Random(RandomSource::System()));
  if (cluster_id.has_value()) {
    identity.cluster_id = *cluster_id;
    return identity;
  }
  KEKD_ASSIGN_OR_RETURN(identity.cluster_id, Uuid::Random(RandomSource::System()));
  return identity;
}

std::string Describe(const KeyringConfig& keyring, const admin::v1::Keyring& view,
                     const std::vector<std::string>& new_key_files,
                     const std::optional<BackupReport>& backup) {
  std::string text =
      absl::StrCat("made keyring ", keyring.name, " in ", keyring.directory, "\n  cluster id   ",
                   view.cluster_id(), "\n  primary      ", view.versions(0).key_id(), "\n");
  for (const UnlockConfig& unlock : keyring.unlock) {
    const bool is_new =
        std::find(new_key_files.begin(), new_key_files.end(), unlock.value) != new_key_files.end();
    absl::StrAppend(&text, "  unlocked by  ", Describe(unlock), is_new ? " (new)" : "", "\n");
  }
  absl::StrAppend(&text, "\n");
  if (backup.has_value()) {
    absl::StrAppend(&text, BackupText(*backup));
  } else {
    absl::StrAppend(
        &text,
        "There is no backup of it yet, and without the keyring or what opens it everything\n"
        "encrypted with it is lost for ever: make one before data is encrypted, with\n"
        "'kekctl keyring backup'.\n");
  }
  absl::StrAppend(&text,
                  "\nThen start kekd; 'kekctl encryption-config --phase 1' prints what "
                  "kube-apiserver needs first.\n");
  return text;
}

}  // namespace

absl::StatusOr<CommandResult> KeyringInit(const CommandContext& context,
                                          const KeyringInitVerb& verb) {
  FileSystem& fs = *context.fs;
  KEKD_ASSIGN_OR_RETURN(const KeyringConfig* const keyring,
                        context.config->FindKeyring(context.keyring));
  KEKD_ASSIGN_OR_RETURN(const UniqueFd lock, LockConfiguration(context.config_path));
  const std::string record = JoinPath(keyring->directory, "keyring");
  const absl::Status found = fs.GetInfo(record).status();
  if (!found.ok() && !absl::IsNotFound(found)) return found;
  if (found.ok()) {
    // Create would refuse too, but only after a key file was made for nothing.
    return absl::AlreadyExistsError(
        absl::StrCat("there is a keyring in ", keyring->directory,
                     " already; nothing was changed. To start anew, move that folder away"));
  }
  KEKD_RETURN_IF_ERROR(ExpectFoldersForRing(fs, *context.config, *keyring));
  if (verb.backup.has_value()) KEKD_RETURN_IF_ERROR(CheckCanMakeBackup(context, *verb.backup));
  KEKD_ASSIGN_OR_RETURN(const RingIdentity identity, NewIdentity(keyring->name, verb.cluster_id));

  NewKeyFiles key_files(fs);
  KEKD_RETURN_IF_ERROR(MakeFoldersForRing(fs, *context.config, *keyring));
  KEKD_RETURN_IF_ERROR(key_files.MakeMissing(*keyring));
  FirstVersion first(context, *keyring, verb);
  absl::StatusOr<std::unique_ptr<FileKeyringStore>> store = FileKeyringStore::Create(
      StoreOptions(fs, *context.config, *keyring), identity, context.now,
      [&](const Keyring& empty, const std::shared_ptr<const RingKey>& ring_key) {
        return first.Make(empty, ring_key);
      });
  if (!store.ok()) {
    // A record may be there after all, and then needs its key file. So it stays unless it is sure
    // that there is none.
    if (!absl::IsNotFound(fs.GetInfo(record).status())) {
      key_files.Keep();
      first.Keep();
    }
    return store.status();
  }
  first.Keep();
  const std::vector<std::string> new_key_files = key_files.Keep();
  KEKD_ASSIGN_OR_RETURN(const std::shared_ptr<const Keyring> made, (*store)->Load());
  const admin::v1::Keyring view = KeyringToView(*made, nullptr);
  store->reset();  // gives up the lock, under which the backup is written down
  CommandResult result;
  std::optional<BackupReport> backup;
  if (verb.backup.has_value()) {
    absl::StatusOr<BackupReport> report = MakeBackupFile(context, *keyring, *verb.backup);
    if (report.ok()) {
      backup = *std::move(report);
    } else {
      result.note =
          absl::StrCat("the keyring was made, but no backup of it: ", report.status().message());
      result.exit_code = ExitCodeOf(report.status());
    }
  }
  result.output = context.format == OutputFormat::kJson
                      ? InitJson(view, keyring->directory, new_key_files, backup)
                      : Describe(*keyring, view, new_key_files, backup);
  if (context.format == OutputFormat::kTable && context.config->keyrings.size() > 1 &&
      !verb.cluster_id.has_value()) {
    absl::StrAppend(&result.output, "Keyrings of one cluster share its id: make the others with '",
                    "--cluster-id ", view.cluster_id(), "'.\n");
  }
  if (backup.has_value()) NoteUnrecorded(*backup, result);
  return result;
}

}  // namespace kekd
