#include "kms/ctl/scan_keys.h"

#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "keystore/backup.h"
#include "kms/ctl/backup_opener.h"
#include "kms/ctl/keyring_reader.h"

namespace kekd {
namespace {

// The keyrings that are meant; none without a configuration.
absl::StatusOr<std::vector<const KeyringConfig*>> Chosen(const CommandContext& context) {
  std::vector<const KeyringConfig*> chosen;
  if (context.config == nullptr) {
    if (context.keyring.empty()) return chosen;
    return absl::NotFoundError(absl::StrCat("there is no configuration at ", context.config_path,
                                            " that could name the keyring \"", context.keyring,
                                            "\"; --config FILE names another"));
  }
  if (!context.keyring.empty()) {
    KEKD_ASSIGN_OR_RETURN(chosen.emplace_back(), context.config->FindKeyring(context.keyring));
    return chosen;
  }
  for (const KeyringConfig& keyring : context.config->keyrings) chosen.push_back(&keyring);
  return chosen;
}

absl::StatusOr<ScanKeys> FromBackup(const CommandContext& context, const KeysFrom& from) {
  KEKD_ASSIGN_OR_RETURN(const OpenedBackup backup,
                        OpenBackupFile(*context.fs, from.backup, from.opening));
  ScanKeys keys;
  keys.keyrings.push_back(OpenBackupKeyring(backup, context.now + kVerbTime));
  keys.catalog.Add(*backup.keyring);
  keys.from.push_back(absl::StrCat("backup ", from.backup));
  return keys;
}

void AddTo(KeyCatalog& catalog, const admin::v1::Keyring& keyring) {
  for (const admin::v1::KeyVersion& version : keyring.versions()) {
    const std::optional<KeyState> state = KeyStateFromText(version.state());
    catalog.AddKey(version.key_id(), {.keyring = keyring.name(),
                                      .version = version.number(),
                                      .state = state.value_or(KeyState::kPreActivation),
                                      .primary = state == KeyState::kActive,
                                      .compromised = version.compromised_ms() != 0});
  }
}

}  // namespace

absl::StatusOr<ScanKeys> LoadKeyIds(const CommandContext& context, const KeysFrom& from) {
  if (!from.backup.empty()) return FromBackup(context, from);
  KEKD_ASSIGN_OR_RETURN(const std::vector<const KeyringConfig*> chosen, Chosen(context));
  ScanKeys keys;
  if (chosen.empty()) {
    keys.note = absl::StrCat("no configuration at ", context.config_path,
                             ": whose keys these are can't be told; --config or --keyring-backup "
                             "says which keyrings are yours");
  }
  for (const KeyringConfig* const config : chosen) {
    const absl::StatusOr<admin::v1::Keyring> keyring =
        ReadKeyring(*context.fs, *context.config, *config, context.now + kVerbTime);
    if (!keyring.ok()) {
      keys.missing.push_back(
          {.what = absl::StrCat("keyring ", config->name),
           .why = absl::StrCat("its key ids can't be compared with: ", keyring.status().message()),
           .cure = "start kekd, or scan as a user who may read its files"});
      continue;
    }
    AddTo(keys.catalog, *keyring);
    keys.from.push_back(absl::StrCat("keyring ", config->name));
  }
  return keys;
}

absl::StatusOr<ScanKeys> LoadOpenKeys(const CommandContext& context, const KeysFrom& from) {
  if (!from.backup.empty()) return FromBackup(context, from);
  KEKD_ASSIGN_OR_RETURN(const std::vector<const KeyringConfig*> chosen, Chosen(context));
  if (chosen.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "there is nothing to open objects with: no configuration at ", context.config_path,
        "; name one with --config, or a backup of the keyring "
        "with --keyring-backup"));
  }
  ScanKeys keys;
  for (const KeyringConfig* const config : chosen) {
    absl::StatusOr<std::shared_ptr<const OpenKeyring>> keyring =
        ReadKeyringFiles(*context.fs, *context.config, *config, context.now + kVerbTime);
    if (!keyring.ok()) {
      return WithContext(keyring.status(), absl::StrCat("keyring ", config->name));
    }
    keys.catalog.Add((*keyring)->keyring());
    keys.keyrings.push_back(*std::move(keyring));
    keys.from.push_back(absl::StrCat("keyring ", config->name));
  }
  return keys;
}

}  // namespace kekd
