#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "hsm/pkcs11_key_backend.h"
#include "keystore/canary.h"
#include "keystore/file_keyring_store.h"
#include "keystore/key_state.h"
#include "kms/ctl/commands.h"
#include "kms/ctl/json_output.h"
#include "kms/ctl/key_show_report.h"
#include "kms/ctl/keyring_reader.h"
#include "kms/ctl/table_output.h"
#include "kms/keyring/keyring_access.h"

namespace kekd {
namespace {

absl::StatusOr<admin::v1::KeyVersion> VersionOf(const admin::v1::Keyring& keyring,
                                                uint32_t number) {
  for (const admin::v1::KeyVersion& version : keyring.versions()) {
    if (version.number() == number) return version;
  }
  return absl::NotFoundError(absl::StrCat("keyring ", keyring.name(), " has no key version ",
                                          number, "; 'kekctl key list' lists those there are"));
}

// The keyring's record and what opens its keys, both from the files.
struct RingFiles {
  std::unique_ptr<FileKeyringStore> store;
  std::shared_ptr<const Keyring> keyring;
  std::shared_ptr<const BackendSet> backends;
};

absl::StatusOr<RingFiles> OpenFiles(const CommandContext& context, const KeyringConfig& keyring) {
  RingFiles files;
  KEKD_ASSIGN_OR_RETURN(files.store,
                        FileKeyringStore::Open(StoreOptions(*context.fs, *context.config, keyring),
                                               FileKeyringStore::Access::kReadOnly));
  KEKD_ASSIGN_OR_RETURN(files.keyring, files.store->Load());
  KEKD_RETURN_IF_ERROR(CheckName(*files.keyring, keyring));
  KEKD_ASSIGN_OR_RETURN(
      files.backends, MakeBackends(*context.fs, *context.config, keyring, files.store->ring_key()));
  return files;
}

// Whether every place that is to hold the key decrypts its canary now.
absl::Status TryCanary(const RingFiles& files, const KeyVersion& version, absl::Time deadline) {
  KEKD_ASSIGN_OR_RETURN(KeyBackend* const backend, files.backends->Find(version.backend));
  const RingIdentity& ring = files.keyring->identity();
  KEKD_ASSIGN_OR_RETURN(
      const std::shared_ptr<const BackendKey> key,
      backend->OpenKey({.ring = ring, .version = version.number}, version.material, deadline));
  KEKD_RETURN_IF_ERROR(CheckCanary(ring, version, *key, deadline));
  return key->ProveEverywhere(deadline);
}

// By the record's own word, which needs what opens the keyring: whoever runs kekctl may not have
// it, while kekd tells him everything else.
void TryCanary(const absl::StatusOr<RingFiles>& files, KeyShowReport& report) {
  if (report.version.state() == ToString(KeyState::kDestroyed)) {
    report.canary_not_tried = "the key is destroyed";
    return;
  }
  if (!files.ok()) {
    report.canary_not_tried =
        absl::StrCat("the keyring's files can't be opened here: ", files.status().message());
    return;
  }
  const KeyVersion* const version = files->keyring->Find(report.version.number());
  if (version == nullptr || version->key_id.text() != report.version.key_id()) {
    report.canary_not_tried = "the keyring on the disk is another than the one that kekd serves";
    return;
  }
  report.canary = TryCanary(*files, *version, absl::Now() + kVerbTime);
}

absl::StatusOr<std::vector<KeyAttestation>> AskTokens(const CommandContext& context,
                                                      const KeyringConfig& keyring,
                                                      const absl::StatusOr<RingFiles>& files,
                                                      const KeySpec& spec,
                                                      const std::string& reference) {
  // The workers that have tried the canary, if it could be tried.
  std::unique_ptr<KeyBackend> own;
  KeyBackend* backend = nullptr;
  if (files.ok() && keyring.pkcs11.has_value()) {
    KEKD_ASSIGN_OR_RETURN(backend, files->backends->Find(kPkcs11Backend));
  } else {
    KEKD_ASSIGN_OR_RETURN(own, MakeTokenBackend(*context.fs, *context.config, keyring));
    backend = own.get();
  }
  return backend->attester()->AttestKey(spec, reference, absl::Now() + kVerbTime);
}

}  // namespace

absl::StatusOr<CommandResult> KeyShow(const CommandContext& context, const KeyShowVerb& verb) {
  KEKD_ASSIGN_OR_RETURN(const KeyringConfig* const keyring,
                        context.config->FindKeyring(context.keyring));
  KEKD_ASSIGN_OR_RETURN(
      const admin::v1::Keyring view,
      ReadKeyring(*context.fs, *context.config, *keyring, context.now + kVerbTime));
  KeyShowReport report;
  report.keyring = view.name();
  report.generation = view.generation();
  KEKD_ASSIGN_OR_RETURN(report.version, VersionOf(view, verb.version));
  const absl::StatusOr<RingFiles> files = OpenFiles(context, *keyring);
  TryCanary(files, report);
  if (report.version.backend() == kPkcs11Backend) {
    KEKD_ASSIGN_OR_RETURN(report.token_key, KeyReference::Parse(report.version.key_reference()));
    report.several_tokens = keyring->pkcs11.has_value() && keyring->pkcs11->uris.size() > 1;
    KeySpec spec;
    spec.ring.name = view.name();
    spec.version = report.version.number();
    KEKD_ASSIGN_OR_RETURN(spec.ring.cluster_id, Uuid::Parse(view.cluster_id()));
    KEKD_ASSIGN_OR_RETURN(spec.ring.ring_uuid, Uuid::Parse(view.ring_uuid()));
    if (report.version.state() == ToString(KeyState::kDestroyed)) {
      report.not_asked = "the key is destroyed";
    } else {
      absl::StatusOr<std::vector<KeyAttestation>> said =
          AskTokens(context, *keyring, files, spec, report.version.key_reference());
      if (said.ok()) {
        report.attestation = *std::move(said);
      } else {
        report.not_asked = std::string(said.status().message());
      }
    }
  }
  CommandResult result;
  // A key that is another one, not one that can't be asked just now: the record is shown all the
  // same.
  if (report.canary.has_value() && absl::IsDataLoss(*report.canary)) {
    result.exit_code = kExitIntegrity;
  }
  result.output = context.format == OutputFormat::kJson
                      ? KeyShowJson(report)
                      : KeyShowTable(report, context.now, context.colors);
  return result;
}

}  // namespace kekd
