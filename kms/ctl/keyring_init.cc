#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/posix_error.h"
#include "base/random_source.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "keystore/canary.h"
#include "keystore/file_keyring_store.h"
#include "keystore/key_file.h"
#include "keystore/software_key_backend.h"
#include "kms/admin_view/keyring_view.h"
#include "kms/ctl/commands.h"
#include "kms/ctl/json_output.h"
#include "kms/ctl/table_output.h"
#include "kms/keyring/keyring_access.h"

namespace kekd {
namespace {

// Held while a keyring and its key file are made. Without it, one of two kekctl at once could
// remove the key file that the other has just used. It is the configuration file that is locked, as
// it is what both have in common and is there already.
absl::StatusOr<UniqueFd> LockConfiguration(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return PosixError(errno, absl::StrCat("open ", path));
  if (flock(fd.get(), LOCK_EX | LOCK_NB) == 0) return fd;
  if (errno == EWOULDBLOCK) {
    return absl::UnavailableError("another 'kekctl keyring init' is at work; try again later");
  }
  return PosixError(errno, absl::StrCat("flock ", path));
}

absl::Status ExpectFolderOf(FileSystem& fs, const std::string& path) {
  const std::string folder = DirectoryOf(path);
  absl::Status found = fs.GetInfo(folder).status();
  if (!absl::IsNotFound(found)) return found;
  return absl::FailedPreconditionError(
      absl::StrCat("the folder ", folder, " of ", path, " does not exist; make it first"));
}

// Folders that are missing are made, and then belong to this process. Root at work for kekd's user
// would so make a state folder that kekd can't use.
absl::Status ExpectStateFolderOfSameOwner(FileSystem& fs, const std::string& state_directory,
                                          const std::string& directory) {
  absl::Status found = fs.GetInfo(state_directory).status();
  if (!absl::IsNotFound(found)) return found;
  const absl::StatusOr<FileInfo> ring = fs.GetInfo(directory);
  if (absl::IsNotFound(ring.status())) return absl::OkStatus();
  KEKD_RETURN_IF_ERROR(ring.status());
  if (ring->owner == geteuid()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("the state folder ", state_directory, " does not exist; make it first, for uid ",
                   ring->owner, ", to whom ", directory, " belongs"));
}

// Key files that this call made, removed again unless the keyring was made too.
class NewKeyFiles final {
 public:
  explicit NewKeyFiles(FileSystem& fs) : fs_(fs) {}
  ~NewKeyFiles() {
    for (const std::string& path : paths_) {
      fs_.Remove(path).IgnoreError();
      fs_.SyncDirectory(DirectoryOf(path)).IgnoreError();
    }
  }
  NewKeyFiles(const NewKeyFiles&) = delete;
  NewKeyFiles& operator=(const NewKeyFiles&) = delete;

  // They belong to whom the keyring's folder belongs, so that root can make a ring for kekd's user.
  absl::Status MakeMissing(const KeyringConfig& keyring) {
    std::optional<uid_t> owner;
    std::optional<gid_t> group;
    const absl::StatusOr<FileInfo> folder = fs_.GetInfo(keyring.directory);
    if (!folder.ok() && !absl::IsNotFound(folder.status())) return folder.status();
    if (folder.ok() && geteuid() == 0) {
      owner = folder->owner;
      group = folder->group;
    }
    for (const UnlockConfig& unlock : keyring.unlock) {
      if (unlock.kind != UnlockConfig::Kind::kKeyFile) continue;
      KEKD_RETURN_IF_ERROR(ExpectFolderOf(fs_, unlock.value));
      // Nothing is written, not even a temporary file, beside a key file that is there.
      absl::Status found = fs_.GetInfo(unlock.value).status();
      if (found.ok()) continue;
      if (!absl::IsNotFound(found)) return found;
      const absl::Status made =
          CreateKeyFile(fs_, unlock.value, owner, group, RandomSource::System());
      if (absl::IsAlreadyExists(made)) continue;
      KEKD_RETURN_IF_ERROR(made);
      paths_.push_back(unlock.value);
    }
    return absl::OkStatus();
  }

  std::vector<std::string> Keep() { return std::exchange(paths_, {}); }

 private:
  FileSystem& fs_;
  std::vector<std::string> paths_;
};

// The first content of a ring: version 1, the primary.
absl::StatusOr<Keyring> FirstVersion(const Keyring& empty,
                                     const std::shared_ptr<const RingKey>& ring_key,
                                     absl::Time now) {
  const std::unique_ptr<KeyBackend> backend =
      CreateSoftwareKeyBackend(ring_key, RandomSource::System());
  KEKD_ASSIGN_OR_RETURN(
      KeyVersion version,
      MakeKeyVersion({.ring = empty.identity(), .version = empty.NextVersionNumber()}, *backend,
                     RandomSource::System(), now, now + kVerbTime));
  const uint32_t number = version.number;
  KEKD_ASSIGN_OR_RETURN(const Keyring filled, empty.WithNewVersion(std::move(version)));
  return filled.WithPromoted(number, now);
}

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
                     const std::vector<std::string>& new_key_files) {
  std::string text =
      absl::StrCat("made keyring ", keyring.name, " in ", keyring.directory, "\n  cluster id   ",
                   view.cluster_id(), "\n  primary      ", view.versions(0).key_id(), "\n");
  for (const UnlockConfig& unlock : keyring.unlock) {
    const bool is_new =
        std::find(new_key_files.begin(), new_key_files.end(), unlock.value) != new_key_files.end();
    absl::StrAppend(&text, "  unlocked by  ", Describe(unlock), is_new ? " (new)" : "", "\n");
  }
  absl::StrAppend(
      &text,
      "\nStore a copy of the key file now, in another place than the copies of the keyring: who "
      "has\n"
      "both has the keys, and without the key file everything encrypted with them is lost for "
      "ever.\n"
      "Then start kekd; 'kekctl encryption-config --phase 1' prints what kube-apiserver needs "
      "first.\n");
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
  KEKD_RETURN_IF_ERROR(ExpectFolderOf(fs, keyring->directory));
  KEKD_RETURN_IF_ERROR(ExpectFolderOf(fs, context.config->state_directory));
  KEKD_RETURN_IF_ERROR(
      ExpectStateFolderOfSameOwner(fs, context.config->state_directory, keyring->directory));
  KEKD_ASSIGN_OR_RETURN(const RingIdentity identity, NewIdentity(keyring->name, verb.cluster_id));

  NewKeyFiles key_files(fs);
  KEKD_RETURN_IF_ERROR(key_files.MakeMissing(*keyring));
  absl::StatusOr<std::unique_ptr<FileKeyringStore>> store = FileKeyringStore::Create(
      StoreOptions(fs, *context.config, *keyring), identity, context.now,
      [&](const Keyring& empty, const std::shared_ptr<const RingKey>& ring_key) {
        return FirstVersion(empty, ring_key, context.now);
      });
  if (!store.ok()) {
    // A record may be there after all, and then needs its key file. So it stays unless it is sure
    // that there is none.
    if (!absl::IsNotFound(fs.GetInfo(record).status())) key_files.Keep();
    return store.status();
  }
  const std::vector<std::string> new_key_files = key_files.Keep();
  KEKD_ASSIGN_OR_RETURN(const std::shared_ptr<const Keyring> made, (*store)->Load());
  const admin::v1::Keyring view = KeyringToView(*made, nullptr);
  CommandResult result;
  result.output = context.format == OutputFormat::kJson
                      ? InitJson(view, keyring->directory, new_key_files)
                      : Describe(*keyring, view, new_key_files);
  return result;
}

}  // namespace kekd
