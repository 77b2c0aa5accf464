#include "base/status_macros.h"
#include "base/uuid.h"
#include "keystore/software_key_backend.h"
#include "kms/ctl/backup_options.h"
#include "kms/ctl/command_tree.h"

namespace kekd {
namespace {

absl::StatusOr<Verb> ReadInit(const VerbArguments& given) {
  KeyringInitVerb verb;
  verb.backend = given.Text("--backend");
  verb.custody = CustodyFromText(given.Text("--custody"));
  if (given.Has("--backup")) {
    KEKD_ASSIGN_OR_RETURN(verb.backup, ReadBackupMaking(given, given.Path("--backup")));
  } else if (HasMakingOptions(given)) {
    return absl::InvalidArgumentError("--backup FILE is missing: where the backup goes");
  }
  if (!given.Has("--cluster-id")) return verb;
  const absl::StatusOr<Uuid> cluster_id = Uuid::Parse(given.Text("--cluster-id"));
  if (!cluster_id.ok()) return WithContext(cluster_id.status(), "--cluster-id");
  if (cluster_id->IsNil()) {
    return absl::InvalidArgumentError("--cluster-id: the UUID must not be all zero");
  }
  verb.cluster_id = *cluster_id;
  return verb;
}

absl::StatusOr<Verb> ReadVerify(const VerbArguments& given) {
  KeyringVerifyVerb verb;
  if (given.Has("--backup")) {
    verb.backup = given.Path("--backup");
    KEKD_ASSIGN_OR_RETURN(verb.opening, ReadBackupOpening(given));
  } else if (HasOpeningOptions(given)) {
    return absl::InvalidArgumentError("--backup FILE is missing: which backup is to be verified");
  }
  return verb;
}

absl::StatusOr<Verb> ReadAcceptRollback(const VerbArguments& given) {
  KEKD_ASSIGN_OR_RETURN(const uint64_t generation,
                        given.ReadNumber<uint64_t>("--generation", 1, UINT64_MAX));
  return KeyringAcceptRollbackVerb{generation};
}

absl::StatusOr<Verb> ReadUpgrade(const VerbArguments& given) {
  return KeyringUpgradeVerb{.without_backup = given.Has("--without-backup")};
}

absl::StatusOr<Verb> ReadNewKeyFile(const VerbArguments& given) {
  return KeyringNewKeyFileVerb{.path = given.Text("FILE") == "-" ? "-" : given.Path("FILE")};
}

}  // namespace

VerbSection KeyringVerbs() {
  return {
      .title = "Keyrings",
      .groups = {{.path = "keyring", .summary = "make keyrings and look after them"}},
      .verbs = {
          {
              .path = "keyring init",
              .summary = "make a keyring, its key file if there is none, and key version 1, which "
                         "becomes the primary",
              .description =
                  "Makes a keyring with key version 1 as its primary, and its key file if there is "
                  "none. Never over a keyring that is there.",
              .options = WithMakingOptions(
                  {{.name = "--cluster-id",
                    .value = "UUID",
                    .help = "what the keyrings of one cluster share; a new one if not given"},
                   {.name = "--backend",
                    .value = "NAME",
                    .help = "where its first key is kept: software, or pkcs11 for the token that "
                            "the configuration names",
                    .default_value = std::string(kSoftwareBackend)},
                   {.name = "--custody",
                    .value = "CUSTODY",
                    .help = "device: every operation is done by the token, as is usual there; "
                            "envelope: the token unwraps the key at the start and kekd works with "
                            "it",
                    .choices = {"device", "envelope"}},
                   {.name = "--backup",
                    .value = "FILE",
                    .help = "make a backup of it at once, into this new file",
                    .kind = ValueKind::kFile}}),
              .examples = {"keyring init",
                           "keyring init --backup prod.backup --shares 2/3 --share-words terminal",
                           "keyring init --backend pkcs11",
                           "keyring init --backend pkcs11 --custody envelope"},
              .read = ReadInit,
          },
          {
              .path = "keyring show",
              .summary = "what a keyring is and which keys it has",
              .description = "Shows the names and ids of a keyring, what opens it, and its key "
                             "versions.",
              .examples = {"keyring show", "-o json keyring show"},
              .read = ReadNothing<KeyringShowVerb>,
          },
          {
              .path = "keyring verify",
              .summary = "check every stored copy of a keyring and its keys, or a backup",
              .description =
                  "Checks every copy in the keyring's folder, and that each key of the current one "
                  "decrypts what was encrypted with it when it was made. Writes nothing.\n\n"
                  "With --backup it opens a backup instead, proves every key in it, says whether "
                  "it holds every key of the keyring, and writes down that it was verified.",
              .options = WithOpeningOptions({{.name = "--backup",
                                              .value = "FILE",
                                              .help = "verify this backup",
                                              .kind = ValueKind::kFile}}),
              .examples = {"keyring verify",
                           "keyring verify --backup prod.backup --passphrase-file /mnt/usb/words"},
              .read = ReadVerify,
              .config = ConfigUse::kIfThere,
          },
          {
              .path = "keyring accept-rollback",
              .summary = "take an older keyring (a restored backup) for the newest",
              .description =
                  "Takes the keyring on the disk for the newest although a newer one was stored "
                  "here before: after a backup was restored, and for nothing else. kekd must be "
                  "stopped.\n\n"
                  "Key versions that only newer generations had are gone then, and what they "
                  "encrypted can't be read.",
              .options = {{.name = "--generation",
                           .value = "N",
                           .help = "the generation of the keyring on the disk, as the refusal "
                                   "named it",
                           .required = true}},
              .examples = {"keyring accept-rollback --generation 7"},
              .read = ReadAcceptRollback,
          },
          {
              .path = "keyring upgrade",
              .summary = "write a keyring's record in the newest format",
              .description =
                  "Raises the format of the keyring's record to the newest that this kekd knows; "
                  "some things need it, and say so. An older kekd can't read it afterwards.",
              .options = {{.name = "--without-backup",
                           .help = "although no verified backup holds all of its keys"}},
              .examples = {"keyring upgrade"},
              .read = ReadUpgrade,
          },
          {
              .path = "keyring new-key-file",
              .summary = "make a key file, or the content of a credential",
              .description =
                  "Makes a new key file, which opens nothing before 'keyring wrap add' or 'keyring "
                  "init' uses it. Never over a file that is there.\n\n"
                  "Its content can be a systemd credential too: pipe it to 'systemd-creds encrypt "
                  "--name=NAME - FILE'.",
              .arguments = {{.name = "FILE",
                             .help = "the file; - for standard output, into a pipe",
                             .kind = ValueKind::kFile}},
              .examples = {"keyring new-key-file /etc/kekd/second.key", "keyring new-key-file -"},
              .read = ReadNewKeyFile,
              .takes_keyring = false,
              .config = ConfigUse::kNone,
              .has_json = false,
          },
      }};
}

}  // namespace kekd
