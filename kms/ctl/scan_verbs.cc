#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "kms/ctl/backup_options.h"
#include "kms/ctl/command_tree.h"
#include "kms/ctl/etcd_options.h"

namespace kekd {
namespace {

constexpr char kBackup[] = "--keyring-backup";

OptionDescription BackupOption() {
  return {.name = kBackup,
          .value = "FILE",
          .help = "take the keys from this backup of a keyring, not from the configured keyrings",
          .kind = ValueKind::kFile};
}

absl::StatusOr<KeysFrom> ReadKeysFrom(const VerbArguments& given) {
  KeysFrom keys;
  keys.backup = given.Text(kBackup);
  if (keys.backup.empty()) {
    if (!HasOpeningOptions(given)) return keys;
    return absl::InvalidArgumentError(
        absl::StrCat("a passphrase or share opens a backup: name it with ", kBackup));
  }
  KEKD_ASSIGN_OR_RETURN(keys.opening, ReadBackupOpening(given));
  return keys;
}

absl::StatusOr<Verb> ReadScan(const VerbArguments& given) {
  ScanVerb verb;
  KEKD_ASSIGN_OR_RETURN(verb.etcd, ReadEtcdPlace(given));
  verb.history = given.Has("--history");
  verb.decrypt = given.Has("--decrypt");
  KEKD_ASSIGN_OR_RETURN(verb.keys, ReadKeysFrom(given));
  verb.foreign_providers = given.All("--foreign-provider");
  verb.policy = given.All("--policy");
  verb.report = given.Text("--report");
  verb.signing_key = given.Text("--signing-key");
  if (verb.report.empty() && !verb.signing_key.empty()) {
    return absl::InvalidArgumentError("--signing-key signs a report: name it with --report");
  }
  verb.metrics = given.Text("--metrics");
  return verb;
}

absl::StatusOr<Verb> ReadRecover(const VerbArguments& given) {
  RecoverVerb verb;
  KEKD_ASSIGN_OR_RETURN(verb.etcd, ReadEtcdPlace(given));
  KEKD_ASSIGN_OR_RETURN(verb.keys, ReadKeysFrom(given));
  verb.object = given.Text("OBJECT");
  if (verb.object.empty() != given.Has("--all")) {
    return absl::InvalidArgumentError("name one OBJECT, such as secrets/default/db, or give --all");
  }
  verb.resource = given.Text("--resource");
  if (!verb.resource.empty() && !given.Has("--all")) {
    return absl::InvalidArgumentError("--resource goes with --all");
  }
  verb.out = given.Text("--out");
  verb.stored = given.Has("--stored");
  verb.reason = given.Text("--reason");
  return verb;
}

}  // namespace

VerbSection ScanVerbs() {
  return {
      .title = "Evidence and recovery",
      .groups = {},
      .verbs = {
          {
              .path = "scan",
              .summary = "what is really in etcd: plaintext, or encrypted, and under which key",
              .description =
                  "Reads every object of a running etcd, of a snapshot or of a data folder, and "
                  "says of each resource how it is stored: in plaintext, by aescbc, aesgcm, "
                  "secretbox, KMS v1 or KMS v2, and under which key of the configured keyrings. No "
                  "API server and no key is needed, and nothing is changed.\n\n"
                  "With --history also what etcd still remembers: old revisions, and of files the "
                  "remains in their free pages and in the write-ahead log. With --decrypt every "
                  "object of KMS v2 is opened, except those of providers that are named as not "
                  "kekd's, and damaged ones are listed.\n\n"
                  "Exits with 1 if the policy is violated, with 5 if something is damaged, and "
                  "with 4 if not everything could be read or opened, or the policy speaks of what "
                  "is not there: then nothing is proven.",
              .options = WithOpeningOptions(WithEtcdOptions(
                  {{.name = "--history", .help = "also what etcd still remembers"},
                   {.name = "--decrypt", .help = "prove that each object opens with its key"},
                   {.name = "--foreign-provider",
                    .value = "NAME",
                    .help = "a KMS v2 provider that is not kekd: what it encrypted is not to be "
                            "opened; once for each",
                    .repeatable = true},
                   {.name = "--policy",
                    .value = "RESOURCE=LEVEL",
                    .help =
                        "demand of a resource, or of * for all, that it is stored encrypted, by "
                        "kms (version 2), by ours (a key of these keyrings) or by the primary "
                        "key; once for each",
                    .repeatable = true},
                   {.name = "--report",
                    .value = "FILE",
                    .help = "write what was found to this new file, as JSON",
                    .kind = ValueKind::kFile},
                   {.name = "--signing-key",
                    .value = "FILE",
                    .help = "sign the report with this Ed25519 key (PEM); the signature goes to "
                            "FILE.sig beside it",
                    .kind = ValueKind::kFile},
                   {.name = "--metrics",
                    .value = "FILE",
                    .help = "write the counts to this file for Prometheus' textfile collector",
                    .kind = ValueKind::kFile},
                   BackupOption()})),
              .examples =
                  {"scan --snapshot snapshot.db",
                   "scan --endpoints https://10.0.0.1:2379 --cacert ca --cert crt --key key",
                   "scan --data-dir /var/lib/etcd --history --policy secrets=primary",
                   "scan --snapshot s.db --decrypt --keyring-backup b --share 1 --share 2"},
              .read = ReadScan,
              .config = ConfigUse::kIfThere,
          },
          {
              .path = "recover",
              .summary = "break glass: take objects out of etcd without an API server",
              .description =
                  "Opens one object, or all that are encrypted under these keyrings or not "
                  "encrypted at all, and writes each to a file of its own in a new folder, with "
                  "mode 0600: Secrets, ConfigMaps and custom resources as manifests that kubectl "
                  "takes, anything else as it is stored. OBJECT is RESOURCE/NAMESPACE/NAME, or its "
                  "key in etcd.\n\n"
                  "Who did it, when, of what and why goes to the system's log (authpriv) and into "
                  "the file recover.log of the folder, before the first object is written.",
              .arguments = {{.name = "OBJECT",
                             .help = "the object, such as secrets/default/db",
                             .required = false}},
              .options = WithOpeningOptions(WithEtcdOptions(
                  {{.name = "--all", .help = "every object instead of one"},
                   {.name = "--resource",
                    .value = "RESOURCE",
                    .help = "with --all: only objects of this one, such as secrets"},
                   {.name = "--out",
                    .value = "DIR",
                    .help = "the folder to write to; a new one",
                    .kind = ValueKind::kFolder,
                    .required = true},
                   {.name = "--stored", .help = "write the bytes as stored, not manifests"},
                   {.name = "--reason",
                    .value = "TEXT",
                    .help = "why the glass is broken, for the log",
                    .required = true},
                   BackupOption()})),
              .examples = {"recover secrets/default/db --snapshot s.db --out db --reason incident",
                           "recover --all --data-dir /var/lib/etcd --out all --reason site-lost"},
              .read = ReadRecover,
              .config = ConfigUse::kIfThere,
          },
      }};
}

}  // namespace kekd
