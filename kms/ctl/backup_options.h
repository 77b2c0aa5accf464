// The options by which verbs make and open backups.
#ifndef KEKD_KMS_CTL_BACKUP_OPTIONS_H_
#define KEKD_KMS_CTL_BACKUP_OPTIONS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kms/ctl/command_tree.h"
#include "kms/ctl/verb_arguments.h"
#include "kms/ctl/verbs.h"

namespace kekd {

// Those that say what protects a new backup; what is in `first` comes before them.
std::vector<OptionDescription> WithMakingOptions(std::vector<OptionDescription> first);
// InvalidArgument unless they name one way, whole. `out` is where the backup goes.
absl::StatusOr<BackupMaking> ReadBackupMaking(const VerbArguments& given, const std::string& out);
// Whether one of them was given.
bool HasMakingOptions(const VerbArguments& given);

// Those that say what opens a backup.
std::vector<OptionDescription> WithOpeningOptions(std::vector<OptionDescription> first);
absl::StatusOr<BackupOpening> ReadBackupOpening(const VerbArguments& given);
bool HasOpeningOptions(const VerbArguments& given);

}  // namespace kekd

#endif  // KEKD_KMS_CTL_BACKUP_OPTIONS_H_
