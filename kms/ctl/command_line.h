// The command line as values.
#ifndef KEKD_KMS_CTL_COMMAND_LINE_H_
#define KEKD_KMS_CTL_COMMAND_LINE_H_

#include <string>

#include "absl/status/statusor.h"
#include "kms/ctl/command_tree.h"
#include "kms/ctl/verbs.h"

namespace kekd {

enum class OutputFormat { kTable, kJson };

struct CommandLine {
  std::string config_path;
  bool config_is_default = false;  // --config was not given
  ConfigUse config_use = ConfigUse::kNone;
  OutputFormat format = OutputFormat::kTable;
  std::string keyring;  // empty: the only one of the configuration
  Verb verb;
};

// Reads a command line as the command tree describes it. InvalidArgument, saying what is wrong and
// what was probably meant, for anything else.
absl::StatusOr<CommandLine> ParseCommandLine(int argc, const char* const* argv);

}  // namespace kekd

#endif  // KEKD_KMS_CTL_COMMAND_LINE_H_
