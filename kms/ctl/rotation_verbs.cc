#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"
#include "keystore/rotation_record.h"
#include "kms/ctl/cluster_options.h"
#include "kms/ctl/command_tree.h"

namespace kekd {
namespace {

using Action = RotateVerb::Action;

constexpr char kAction[] = "ACTION";

Action ActionOf(const std::string& text) {
  if (text == "status") return Action::kStatus;
  if (text == "resume") return Action::kResume;
  if (text == "abort") return Action::kAbort;
  return text == "prove" ? Action::kProve : Action::kRun;
}

// Which options an action takes beside those of the cluster.
absl::Status CheckOptions(const VerbArguments& given, const RotateVerb& verb) {
  const auto only_for = [&](const char* option, bool takes) {
    if (takes || !given.Has(option)) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(option, " has no meaning for 'rotate",
                                                   given.Has(kAction) ? " " : "",
                                                   given.Text(kAction), "'"));
  };
  const Action action = verb.action;
  const bool runs = action == Action::kRun;
  const bool drives = runs || action == Action::kResume;
  for (const char* const option : {"--backend", "--custody", "--nodes"}) {
    KEKD_RETURN_IF_ERROR(only_for(option, runs));
  }
  KEKD_RETURN_IF_ERROR(only_for("--copies-taken", action == Action::kResume));
  KEKD_RETURN_IF_ERROR(only_for("--to", runs || action == Action::kProve));
  KEKD_RETURN_IF_ERROR(only_for("--reason", runs || action == Action::kAbort));
  for (const char* const option : {"--until", "--without-backup", "--proof", "--endpoints",
                                   "--kubeconfig", "--context", "--api-servers", "--resources"}) {
    KEKD_RETURN_IF_ERROR(only_for(option, drives));
  }
  if (verb.version != 0 && runs && (given.Has("--backend") || given.Has("--custody"))) {
    return absl::InvalidArgumentError(
        "--to names a version that is there: it has its backend and custody already");
  }
  if (action == Action::kResume && (verb.until == "preflight" || verb.until == "generate")) {
    return absl::InvalidArgumentError(
        absl::StrCat("--until ", verb.until, ": a rotation that runs is past it"));
  }
  return absl::OkStatus();
}

absl::StatusOr<uint32_t> ReadCopiesTaken(const VerbArguments& given) {
  if (!given.Has("--copies-taken")) return 0;
  return given.ReadNumber<uint32_t>("--copies-taken", 1, UINT32_MAX);
}

absl::Status ReadCommon(const VerbArguments& given, RotateVerb& verb) {
  verb.reason = given.Text("--reason");
  verb.nodes = absl::StrSplit(given.Text("--nodes"), ',', absl::SkipEmpty());
  verb.proofs = given.All("--proof");
  verb.node = given.Text("--node");
  if (!verb.node.empty() && !IsNodeName(verb.node)) {
    return absl::InvalidArgumentError("--node has letters, digits, '.', '-' and '_' only");
  }
  verb.without_backup = given.Has("--without-backup");
  KEKD_ASSIGN_OR_RETURN(verb.cluster, ReadClusterPlace(given));
  return absl::OkStatus();
}

absl::StatusOr<Verb> ReadRotate(const VerbArguments& given) {
  RotateVerb verb;
  verb.action = ActionOf(given.Text(kAction));
  verb.backend = given.Text("--backend");
  verb.custody = CustodyFromText(given.Text("--custody"));
  if (given.Has("--to")) {
    KEKD_ASSIGN_OR_RETURN(verb.version, given.ReadNumber<uint32_t>("--to", 1, UINT32_MAX));
  }
  KEKD_ASSIGN_OR_RETURN(verb.copies_taken, ReadCopiesTaken(given));
  verb.until = given.Text("--until");
  KEKD_RETURN_IF_ERROR(ReadCommon(given, verb));
  KEKD_RETURN_IF_ERROR(CheckOptions(given, verb));
  return verb;
}

absl::StatusOr<Verb> ReadRetire(const VerbArguments& given) {
  RetireVerb verb;
  KEKD_ASSIGN_OR_RETURN(verb.version, given.ReadNumber<uint32_t>("VERSION", 1, UINT32_MAX));
  verb.confirm = given.Text("--confirm");
  verb.backups_checked = given.Has("--backups-checked");
  KEKD_ASSIGN_OR_RETURN(verb.copies_taken, ReadCopiesTaken(given));
  KEKD_ASSIGN_OR_RETURN(verb.cluster, ReadClusterPlace(given));
  return verb;
}

absl::StatusOr<Verb> ReadCompromise(const VerbArguments& given) {
  CompromiseVerb verb;
  KEKD_ASSIGN_OR_RETURN(verb.version, given.ReadNumber<uint32_t>("VERSION", 1, UINT32_MAX));
  KEKD_RETURN_IF_ERROR(ReadCommon(given, verb.rotate));
  return verb;
}

OptionDescription NodeOption() {
  return {.name = "--node", .value = "NAME", .help = "this node's name, if not its host name"};
}
OptionDescription NodesOption() {
  return {.name = "--nodes",
          .value = "LIST",
          .help =
              "the nodes that are to prove that they can decrypt, with commas between; those "
              "of the rotation before, or this one alone, if not given"};
}
OptionDescription ProofOption() {
  return {.name = "--proof",
          .value = "LINE",
          .help = "what 'rotate prove' printed on another node; once for each",
          .repeatable = true};
}
OptionDescription CopiesTakenOption() {
  return {.name = "--copies-taken",
          .value = "N",
          .help =
              "every node of several serves the keyring as it is since version N was "
              "promoted: asked for where the API servers themselves can't all be asked"};
}
OptionDescription WithoutBackupOption() {
  return {.name = "--without-backup",
          .help = "promote a software key that is in no verified backup, too"};
}

VerbDescription RotateDescription() {
  return {
      .path = "rotate",
      .summary = "make a new key the primary, and have everything written again under it",
      .description =
          "Carries a rotation through from its beginning to its end: preflight, generate, "
          "self-test, prove, promote, observe, migrate, scan. The keyring itself remembers how far "
          "it is, so that it can be gone on with after any error or kill:\n\n"
          "'rotate status' explains the rotation that runs; 'rotate resume' goes on with it; "
          "'rotate abort' ends it, and never goes back to a former key; 'rotate prove' prints the "
          "proof of a node of several, for 'rotate resume --proof' on the one where changes are "
          "made.\n\n"
          "Moving to an HSM and back is a rotation with another --backend. From observe on it "
          "needs --kubeconfig (API servers, with the rights of manifests/rbac) and --endpoints "
          "(etcd, to prove that nothing is left).\n\n"
          "Exits with 0 when it is done or has come to --until, with 3 when it waits for an "
          "operator, and says for what.",
      .arguments = {{.name = kAction,
                     .help = "what to do with the rotation that runs; begins one if not given",
                     .choices = {"status", "resume", "abort", "prove"},
                     .required = false}},
      .options = WithClusterOptions(
          {{.name = "--backend",
            .value = "NAME",
            .help = "where the new key is kept: software or pkcs11; where the primary's is, if not "
                    "given"},
           {.name = "--custody",
            .value = "CUSTODY",
            .help = "of the new key, as for 'key create'",
            .choices = {"device", "envelope"}},
           {.name = "--to",
            .value = "N",
            .help = "rotate to this pre-activation version ('key create', 'key adopt') instead of "
                    "making one"},
           {.name = "--reason", .value = "TEXT", .help = "why, for the record"},
           NodesOption(),
           NodeOption(),
           ProofOption(),
           CopiesTakenOption(),
           {.name = "--until",
            .value = "STEP",
            .help = "stop when this step is done",
            .choices = {"preflight", "generate", "self-test", "prove", "promote", "observe",
                        "migrate", "scan"}},
           WithoutBackupOption()}),
      .examples = {"rotate --kubeconfig admin.conf --endpoints http://127.0.0.1:2379",
                   "rotate --backend pkcs11 --until promote", "rotate status",
                   "rotate resume --kubeconfig admin.conf --endpoints http://127.0.0.1:2379",
                   "rotate abort --reason wrong-token"},
      .read = ReadRotate,
  };
}

}  // namespace

VerbSection RotationVerbs() {
  return {
      .title = "Rotation",
      .groups = {},
      .verbs = {
          RotateDescription(),
          {
              .path = "retire",
              .summary = "destroy a former key for ever, once nothing needs it",
              .description =
                  "Destroys the material of a key version: its record stays, and what is encrypted "
                  "under it can never be read again. Refused, with what still refers to it, while "
                  "an API server encrypts under another key than the primary, while etcd holds an "
                  "object under it, while etcd's history reaches back to before "
                  "(it waits until that is compacted), or unless --backups-checked says that no "
                  "backup of etcd that may be restored needs it. The name of the version "
                  "(KEYRING.NUMBER) must be typed.",
              .arguments = {{.name = "VERSION", .help = "the number of the key version"}},
              .options = WithClusterOptions(
                  {{.name = "--confirm",
                    .value = "NAME",
                    .help = "the name of the version, where there is no terminal to type it at"},
                   {.name = "--backups-checked",
                    .help = "every backup of etcd from before the rotation away from it has "
                            "expired or been destroyed"},
                   CopiesTakenOption()}),
              .examples = {"retire 1 --kubeconfig admin.conf --endpoints http://10.0.0.1:2379"},
              .read = ReadRetire,
          },
          {
              .path = "compromise",
              .summary = "mark a key as known to others, and rotate away from it at once",
              .description =
                  "Marks a key version compromised, for ever. If it is the primary a rotation "
                  "begins at once, as 'kekctl rotate' does, and waits for what that waits for; a "
                  "former version's objects are written again. In the end it says what still is "
                  "under "
                  "it: in etcd, its history and its backups, where it can be read by whoever has "
                  "the key. What was encrypted under it must be taken for known: exchange the "
                  "Secrets themselves, too.",
              .arguments = {{.name = "VERSION", .help = "the number of the key version"}},
              .options = WithClusterOptions(
                  {{.name = "--reason", .value = "TEXT", .help = "why, for the record"},
                   NodesOption(),
                   NodeOption(),
                   ProofOption(),
                   WithoutBackupOption()}),
              .examples = {"compromise 3 --kubeconfig admin.conf --endpoints http://10.0.0.1:2379"},
              .read = ReadCompromise,
          },
      }};
}

}  // namespace kekd
