#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "kms/ctl/commands.h"
#include "kms/ctl/config_findings.h"
#include "kms/ctl/config_schema.h"
#include "kms/ctl/json_output.h"
#include "kms/ctl/table_output.h"

namespace kekd {
namespace {

constexpr size_t kMaxConfigBytes = size_t{1} << 20;

}  // namespace

absl::StatusOr<CommandResult> ConfigCheck(const CommandContext& context) {
  // The configuration was read before any verb is carried out; here it is valid for kekd. Other
  // tools go by the schema.
  const absl::StatusOr<std::string> yaml =
      context.fs->ReadFile(context.config_path, kMaxConfigBytes);
  if (!yaml.ok()) return yaml.status();
  KEKD_RETURN_IF_ERROR(CheckAgainstSchema(*yaml, context.config_path));
  CommandResult result;
  for (const std::string& finding : ConfigFindings(*context.fs, *context.config)) {
    absl::StrAppend(&result.note, "warning: ", finding, "\n");
  }
  result.output =
      context.format == OutputFormat::kJson
          ? ConfigJson(*context.config)
          : absl::StrCat(context.config_path, " is valid\n", ConfigTable(*context.config));
  return result;
}

absl::StatusOr<CommandResult> PrintConfigSchema() {
  CommandResult result;
  result.output = std::string(ConfigSchema());
  return result;
}

}  // namespace kekd
