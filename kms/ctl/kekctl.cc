#include "kms/ctl/kekctl.h"

#include <errno.h>
#include <unistd.h>

#include <cstdio>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "base/file_system.h"
#include "base/log.h"
#include "base/posix_error.h"
#include "base/status_macros.h"
#include "cluster/etcd_client/etcd_client.h"
#include "kms/config/config.h"
#include "kms/config/exit_code.h"
#include "kms/ctl/command_line.h"
#include "kms/ctl/commands.h"
#include "kms/ctl/hints.h"
#include "kms/ctl/table.h"
#include "kms/ctl/terminal.h"

namespace kekd {
namespace {

void PrintError(absl::string_view text) {
  // Parts of it may come from a file or from kekd.
  fprintf(stderr, "kekctl: %s\n", Printable(text).c_str());
}

// A result that could not be written (a full disk, a closed pipe) is no result.
absl::Status WriteOutput(absl::string_view text) {
  if (fwrite(text.data(), 1, text.size(), stdout) == text.size() && fflush(stdout) == 0) {
    return absl::OkStatus();
  }
  return absl::InternalError(PosixError(errno, "writing to standard output").message());
}

// Calls the function of the verb.
struct Dispatch {
  const CommandContext& context;

  absl::StatusOr<CommandResult> operator()(const PrintText& v) const {
    return CommandResult{.output = v.text, .note = "", .exit_code = kExitOk};
  }
  absl::StatusOr<CommandResult> operator()(const KeyringInitVerb& v) const {
    return KeyringInit(context, v);
  }
  absl::StatusOr<CommandResult> operator()(const KeyringShowVerb&) const {
    return KeyringShow(context);
  }
  absl::StatusOr<CommandResult> operator()(const KeyringVerifyVerb& v) const {
    return v.backup.empty() ? KeyringVerify(context) : KeyringVerifyBackup(context, v);
  }
  absl::StatusOr<CommandResult> operator()(const KeyringBackupVerb& v) const {
    return KeyringBackup(context, v);
  }
  absl::StatusOr<CommandResult> operator()(const KeyringRestoreVerb& v) const {
    return KeyringRestore(context, v);
  }
  absl::StatusOr<CommandResult> operator()(const KeyringAcceptRollbackVerb& v) const {
    return KeyringAcceptRollback(context, v);
  }
  absl::StatusOr<CommandResult> operator()(const KeyringNewKeyFileVerb& v) const {
    return KeyringNewKeyFile(context, v);
  }
  absl::StatusOr<CommandResult> operator()(const KeyringUpgradeVerb& v) const {
    return KeyringUpgrade(context, v);
  }
  absl::StatusOr<CommandResult> operator()(const WrapListVerb& v) const {
    return WrapList(context, v);
  }
  absl::StatusOr<CommandResult> operator()(const WrapAddVerb& v) const {
    return WrapAdd(context, v);
  }
  absl::StatusOr<CommandResult> operator()(const WrapRemoveVerb& v) const {
    return WrapRemove(context, v);
  }
  absl::StatusOr<CommandResult> operator()(const KeyListVerb&) const { return KeyList(context); }
  absl::StatusOr<CommandResult> operator()(const KeyShowVerb& v) const {
    return KeyShow(context, v);
  }
  absl::StatusOr<CommandResult> operator()(const KeyCreateVerb& v) const {
    return KeyCreate(context, v);
  }
  absl::StatusOr<CommandResult> operator()(const KeyAdoptVerb& v) const {
    return KeyAdopt(context, v);
  }
  absl::StatusOr<CommandResult> operator()(const KeyPromoteVerb& v) const {
    return KeyPromote(context, v);
  }
  absl::StatusOr<CommandResult> operator()(const RotateVerb& v) const { return Rotate(context, v); }
  absl::StatusOr<CommandResult> operator()(const RetireVerb& v) const { return Retire(context, v); }
  absl::StatusOr<CommandResult> operator()(const CompromiseVerb& v) const {
    return Compromise(context, v);
  }
  absl::StatusOr<CommandResult> operator()(const StatusVerb&) const { return Status(context); }
  absl::StatusOr<CommandResult> operator()(const CheckVerb& v) const { return Check(context, v); }
  absl::StatusOr<CommandResult> operator()(const ConfigCheckVerb&) const {
    return ConfigCheck(context);
  }
  absl::StatusOr<CommandResult> operator()(const ConfigSchemaVerb&) const {
    return PrintConfigSchema();
  }
  absl::StatusOr<CommandResult> operator()(const EncryptionConfigVerb& v) const {
    return PrintEncryptionConfig(context, v);
  }
  absl::StatusOr<CommandResult> operator()(const ScanVerb& v) const { return Scan(context, v); }
  absl::StatusOr<CommandResult> operator()(const MigrateVerb& v) const {
    return Migrate(context, v);
  }
  absl::StatusOr<CommandResult> operator()(const RecoverVerb& v) const {
    return Recover(context, v);
  }
  absl::StatusOr<CommandResult> operator()(const HsmListVerb&) const { return HsmList(context); }
  absl::StatusOr<CommandResult> operator()(const HsmDoctorVerb&) const {
    return HsmDoctor(context);
  }
  absl::StatusOr<CommandResult> operator()(const HsmBenchVerb& v) const {
    return HsmBench(context, v);
  }
  absl::StatusOr<CommandResult> operator()(const CompletionVerb& v) const { return Completion(v); }
  absl::StatusOr<CommandResult> operator()(const ManVerb&) const { return ManPage(); }
};

// None if the verb does without.
absl::StatusOr<std::optional<Config>> ReadConfig(FileSystem& fs, const CommandLine& line) {
  if (line.config_use == ConfigUse::kNone) return std::nullopt;
  // A backup is opened by itself; only a keyring's own files are where the configuration says.
  const auto* const verify = std::get_if<KeyringVerifyVerb>(&line.verb);
  const bool may_lack = line.config_use == ConfigUse::kIfThere && line.config_is_default &&
                        (verify == nullptr || !verify->backup.empty());
  if (may_lack && absl::IsNotFound(fs.GetInfo(line.config_path).status())) return std::nullopt;
  absl::StatusOr<Config> config = LoadConfig(fs, line.config_path);
  if (config.ok()) return std::move(*config);
  if (!line.config_is_default) return config.status();
  return absl::Status(
      config.status().code(),
      absl::StrCat(config.status().message(), "; --config FILE names another configuration"));
}

absl::StatusOr<CommandResult> NameKeyring(absl::StatusOr<CommandResult> result,
                                          const CommandLine& line) {
  if (!result.ok()) {
    return absl::Status(result.status().code(),
                        WithKeyringInHints(result.status().message(), line.keyring));
  }
  result->note = WithKeyringInHints(result->note, line.keyring);
  // JSON is for scripts, and quotes nothing to be typed.
  if (line.format == OutputFormat::kTable) {
    result->output = WithKeyringInHints(result->output, line.keyring);
  }
  return result;
}

absl::StatusOr<CommandResult> Execute(const CommandLine& line) {
  FileSystem& fs = FileSystem::System();
  KEKD_ASSIGN_OR_RETURN(const std::optional<Config> config, ReadConfig(fs, line));
  const CommandContext context = {.fs = &fs,
                                  .config = config ? &*config : nullptr,
                                  .config_path = line.config_path,
                                  .format = line.format,
                                  .keyring = line.keyring,
                                  .now = absl::Now(),
                                  .colors = ColorsFor(FactsOf(STDOUT_FILENO)),
                                  .progress = ProgressStyleFor(FactsOf(STDERR_FILENO))};
  absl::StatusOr<CommandResult> result = std::visit(Dispatch{context}, line.verb);
  const bool names_one = config && config->keyrings.size() > 1 && !line.keyring.empty();
  return names_one ? NameKeyring(std::move(result), line) : result;
}

}  // namespace

int RunKekctl(int argc, const char* const* argv) {
  // What went wrong is said once, by us; what went well is the output.
  ConfigureLog(LogLevel::kWarning, LogFormat::kText);
  PrepareGrpcForEtcd();
  const absl::StatusOr<CommandLine> line = ParseCommandLine(argc, argv);
  if (!line.ok()) {
    PrintError(line.status().message());
    PrintError("hint: see 'kekctl --help', or --help after a verb");
    return ExitCodeOf(line.status());
  }
  const absl::StatusOr<CommandResult> result = Execute(*line);
  if (!result.ok()) {
    PrintError(result.status().message());
    return ExitCodeOf(result.status());
  }
  const absl::Status written = WriteOutput(result->output);
  for (const absl::string_view note : absl::StrSplit(result->note, '\n', absl::SkipEmpty())) {
    PrintError(note);
  }
  if (!written.ok()) {
    PrintError(written.message());
    return ExitCodeOf(written);
  }
  return result->exit_code;
}

}  // namespace kekd
