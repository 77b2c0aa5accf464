// What kekctl's verbs do, one function a verb.
#ifndef KEKD_KMS_CTL_COMMANDS_H_
#define KEKD_KMS_CTL_COMMANDS_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/file_system.h"
#include "kms/config/config.h"
#include "kms/config/exit_code.h"
#include "kms/ctl/command_line.h"
#include "kms/ctl/terminal.h"
#include "kms/ctl/verbs.h"

namespace kekd {

// How long one verb may wait for kekd or for a backend, where nothing shorter is said.
inline constexpr absl::Duration kVerbTime = absl::Seconds(30);

struct CommandContext {
  FileSystem* fs = nullptr;
  const Config* config = nullptr;  // null if the verb does without
  std::string config_path;
  OutputFormat format = OutputFormat::kTable;
  std::string keyring;  // as given
  absl::Time now;
  Colors colors = Colors::kOff;  // of the tables on standard output
  ProgressStyle progress = ProgressStyle::kSilent;
};

struct CommandResult {
  std::string output;  // for standard output, with its last line's end
  std::string note;    // for standard error, or empty
  ExitCode exit_code = kExitOk;
};

absl::StatusOr<CommandResult> KeyringInit(const CommandContext& context,
                                          const KeyringInitVerb& verb);
absl::StatusOr<CommandResult> KeyringShow(const CommandContext& context);
absl::StatusOr<CommandResult> KeyringVerify(const CommandContext& context);
absl::StatusOr<CommandResult> KeyringVerifyBackup(const CommandContext& context,
                                                  const KeyringVerifyVerb& verb);
absl::StatusOr<CommandResult> KeyringBackup(const CommandContext& context,
                                            const KeyringBackupVerb& verb);
absl::StatusOr<CommandResult> KeyringRestore(const CommandContext& context,
                                             const KeyringRestoreVerb& verb);
absl::StatusOr<CommandResult> KeyringAcceptRollback(const CommandContext& context,
                                                    const KeyringAcceptRollbackVerb& verb);
absl::StatusOr<CommandResult> KeyringNewKeyFile(const CommandContext& context,
                                                const KeyringNewKeyFileVerb& verb);
absl::StatusOr<CommandResult> KeyringUpgrade(const CommandContext& context,
                                             const KeyringUpgradeVerb& verb);
absl::StatusOr<CommandResult> WrapList(const CommandContext& context, const WrapListVerb& verb);
absl::StatusOr<CommandResult> WrapAdd(const CommandContext& context, const WrapAddVerb& verb);
absl::StatusOr<CommandResult> WrapRemove(const CommandContext& context, const WrapRemoveVerb& verb);
absl::StatusOr<CommandResult> KeyList(const CommandContext& context);
absl::StatusOr<CommandResult> KeyShow(const CommandContext& context, const KeyShowVerb& verb);
absl::StatusOr<CommandResult> KeyCreate(const CommandContext& context, const KeyCreateVerb& verb);
absl::StatusOr<CommandResult> KeyAdopt(const CommandContext& context, const KeyAdoptVerb& verb);
absl::StatusOr<CommandResult> KeyPromote(const CommandContext& context, const KeyPromoteVerb& verb);
absl::StatusOr<CommandResult> Rotate(const CommandContext& context, const RotateVerb& verb);
absl::StatusOr<CommandResult> Retire(const CommandContext& context, const RetireVerb& verb);
absl::StatusOr<CommandResult> Compromise(const CommandContext& context, const CompromiseVerb& verb);
absl::StatusOr<CommandResult> Status(const CommandContext& context);
absl::StatusOr<CommandResult> Check(const CommandContext& context, const CheckVerb& verb);
absl::StatusOr<CommandResult> ConfigCheck(const CommandContext& context);
absl::StatusOr<CommandResult> PrintConfigSchema();
absl::StatusOr<CommandResult> PrintEncryptionConfig(const CommandContext& context,
                                                    const EncryptionConfigVerb& verb);
absl::StatusOr<CommandResult> Scan(const CommandContext& context, const ScanVerb& verb);
absl::StatusOr<CommandResult> Migrate(const CommandContext& context, const MigrateVerb& verb);
absl::StatusOr<CommandResult> Recover(const CommandContext& context, const RecoverVerb& verb);
absl::StatusOr<CommandResult> HsmList(const CommandContext& context);
absl::StatusOr<CommandResult> HsmDoctor(const CommandContext& context);
absl::StatusOr<CommandResult> HsmBench(const CommandContext& context, const HsmBenchVerb& verb);
absl::StatusOr<CommandResult> Completion(const CompletionVerb& verb);
absl::StatusOr<CommandResult> ManPage();

}  // namespace kekd

#endif  // KEKD_KMS_CTL_COMMANDS_H_
