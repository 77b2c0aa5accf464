#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "kekd/admin/v1/admin.pb.h"
#include "kms/ctl/admin_client.h"
#include "kms/ctl/commands.h"
#include "kms/ctl/json_output.h"
#include "kms/ctl/table_output.h"

namespace kekd {
namespace {

// Status is asked for when something is wrong, so it must not wait long.
constexpr absl::Duration kStatusTime = absl::Seconds(5);

}  // namespace

absl::StatusOr<CommandResult> Status(const CommandContext& context) {
  const absl::StatusOr<AdminClient> kekd = AdminClient::Connect(*context.config);
  if (absl::IsNotFound(kekd.status())) {
    return absl::UnavailableError(kekd.status().message());
  }
  if (!kekd.ok()) return kekd.status();
  KEKD_ASSIGN_OR_RETURN(admin::v1::GetStatusResponse status,
                        kekd->GetStatus(context.now + kStatusTime));
  CommandResult result;
  for (const admin::v1::KeyringStatus& keyring : status.keyrings()) {
    if (keyring.must_not_encrypt()) {
      result.exit_code = kExitFailure;
      absl::StrAppend(&result.note, result.note.empty() ? "" : "; ", "keyring ", keyring.name(),
                      " must not encrypt: ", keyring.healthz());
    } else if (keyring.healthz() != "ok") {
      absl::StrAppend(&result.note, result.note.empty() ? "" : "; ", "keyring ", keyring.name(),
                      " is degraded, and serves: ", keyring.healthz());
    }
  }
  result.output = context.format == OutputFormat::kJson
                      ? StatusJson(status)
                      : StatusTable(status, context.now, context.colors);
  return result;
}

}  // namespace kekd
