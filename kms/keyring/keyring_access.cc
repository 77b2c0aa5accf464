#include "kms/keyring/keyring_access.h"

#include <unistd.h>

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/random_source.h"
#include "base/status_macros.h"
#include "keystore/key_file.h"
#include "keystore/software_key_backend.h"

namespace kekd {
namespace {

// Root's tool works for the user that the keyring's folder belongs to.
std::optional<uid_t> FolderOwner(FileSystem& fs, const std::string& directory) {
  if (geteuid() != 0) return std::nullopt;
  const absl::StatusOr<FileInfo> info = fs.GetInfo(directory);
  if (!info.ok()) return std::nullopt;
  return info->owner;
}

}  // namespace

FileKeyringStore::Options StoreOptions(FileSystem& fs, const Config& config,
                                       const KeyringConfig& keyring) {
  FileKeyringStore::Options options;
  options.fs = &fs;
  options.random = &RandomSource::System();
  options.directory = keyring.directory;
  options.state_directory = config.state_directory;
  for (const UnlockConfig& unlock : keyring.unlock) {
    options.wrappers.push_back(CreateKeyFileWrapper(
        fs, unlock.key_file, FolderOwner(fs, keyring.directory), RandomSource::System()));
  }
  return options;
}

std::shared_ptr<const BackendSet> MakeBackends(const FileKeyringStore& store) {
  auto backends = std::make_shared<BackendSet>();
  backends->Add(CreateSoftwareKeyBackend(store.ring_key(), RandomSource::System()));
  return backends;
}

absl::Status CheckName(const Keyring& keyring, const KeyringConfig& config) {
  if (keyring.identity().name == config.name) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "the keyring in ", config.directory, " is named \"", keyring.identity().name,
      "\", the configuration calls it \"", config.name, "\"; correct the name or the folder"));
}

absl::StatusOr<std::unique_ptr<KeyringWriter>> OpenForWriting(FileSystem& fs, const Config& config,
                                                              const KeyringConfig& keyring,
                                                              absl::Time deadline) {
  KEKD_ASSIGN_OR_RETURN(std::shared_ptr<FileKeyringStore> store,
                        FileKeyringStore::Open(StoreOptions(fs, config, keyring),
                                               FileKeyringStore::Access::kExclusive));
  std::shared_ptr<const BackendSet> backends = MakeBackends(*store);
  KEKD_ASSIGN_OR_RETURN(std::unique_ptr<KeyringWriter> writer,
                        KeyringWriter::Create({.store = std::move(store),
                                               .backends = std::move(backends),
                                               .random = &RandomSource::System(),
                                               .clock = &Clock::System()},
                                              deadline));
  KEKD_RETURN_IF_ERROR(CheckName(writer->current()->Get()->keyring(), keyring));
  return writer;
}

}  // namespace kekd
