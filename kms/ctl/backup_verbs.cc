#include <utility>

#include "base/status_macros.h"
#include "kms/ctl/backup_options.h"
#include "kms/ctl/command_tree.h"

namespace kekd {
namespace {

absl::StatusOr<Verb> ReadBackup(const VerbArguments& given) {
  KEKD_ASSIGN_OR_RETURN(BackupMaking making, ReadBackupMaking(given, given.Path("--out")));
  return KeyringBackupVerb{std::move(making)};
}

absl::StatusOr<Verb> ReadRestore(const VerbArguments& given) {
  KeyringRestoreVerb verb;
  verb.backup = given.Path("--backup");
  KEKD_ASSIGN_OR_RETURN(verb.opening, ReadBackupOpening(given));
  if (given.Has("--accept-generation")) {
    KEKD_ASSIGN_OR_RETURN(verb.accept_generation,
                          given.ReadNumber<uint64_t>("--accept-generation", 1, UINT64_MAX));
  }
  return verb;
}

}  // namespace

VerbSection BackupVerbs() {
  return {
      .title = "Backups",
      .groups = {},
      .verbs = {
          {
              .path = "keyring backup",
              .summary = "back up a keyring into one file, under a passphrase or by shares",
              .description =
                  "Writes the keyring with its keys into one file that nothing but the passphrase, "
                  "or K of the N shares, opens: no key file and no kekd is needed. The file is "
                  "read "
                  "back and every key in it opened before anything is said. It does not stop kekd, "
                  "and overwrites nothing.\n\n"
                  "Of keys on a device the backup holds the references only, as the keyring does.",
              .options = WithMakingOptions({{.name = "--out",
                                             .value = "FILE",
                                             .help = "where the backup goes; a new file",
                                             .kind = ValueKind::kFile,
                                             .required = true}}),
              .examples = {"keyring backup --out /mnt/safe/prod.backup --passphrase-prompt",
                           "keyring backup --out prod.backup --shares 3/5 --share-words terminal",
                           "keyring backup --out prod.backup --shares 2/3 --share-dir /mnt/shares"},
              .read = ReadBackup,
          },
          {
              .path = "keyring restore",
              .summary = "put a keyring from a backup where there is none",
              .description =
                  "Opens a backup, proves every key in it, and puts the keyring into the "
                  "configured "
                  "folder, where there must be none, so that what the configuration names under "
                  "unlock opens it. A key file that is missing is made. kekd must be stopped.\n\n"
                  "A backup that is older than what was here last is refused, unless you say that "
                  "its generation is the newest there is.",
              .options =
                  WithOpeningOptions({{.name = "--backup",
                                       .value = "FILE",
                                       .help = "the backup",
                                       .kind = ValueKind::kFile,
                                       .required = true},
                                      {.name = "--accept-generation",
                                       .value = "N",
                                       .help = "restore the backup of this generation although a "
                                               "later one was here"}}),
              .examples = {"keyring restore --backup prod.backup --passphrase-prompt",
                           "keyring restore --backup prod.backup --share a.share --share b.share"},
              .read = ReadRestore,
          },
      }};
}

}  // namespace kekd
