#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "keystore/file_keyring_store.h"
#include "keystore/keyring_record.h"
#include "kms/ctl/admin_client.h"
#include "kms/ctl/commands.h"
#include "kms/ctl/json_output.h"
#include "kms/ctl/keyring_reader.h"
#include "kms/ctl/table_output.h"
#include "kms/ctl/verify_report.h"
#include "kms/keyring/keyring_access.h"

namespace kekd {
namespace {

absl::Status CheckKeys(const CommandContext& context, const KeyringConfig& keyring,
                       VerifyReport& report) {
  KEKD_ASSIGN_OR_RETURN(
      const std::shared_ptr<const OpenKeyring> opened,
      ReadKeyringFiles(*context.fs, *context.config, keyring, context.now + kVerbTime));
  for (const OpenKeyring::Entry& entry : opened->entries()) {
    if (!CanDecrypt(entry.version->state)) continue;
    report.keys.push_back({.version = entry.version->number,
                           .key_id = entry.version->key_id.text(),
                           .state = std::string(ToString(entry.version->state)),
                           .status = entry.status});
  }
  return absl::OkStatus();
}

std::string MoveAside(const std::string& path) {
  return absl::StrCat("mv ", path, " ", path, ".damaged");
}

// What gets out of what was found, as commands; empty if nothing has to be done, or the finding
// itself says what.
std::string CureOf(const VerifyReport& report) {
  const FileKeyringStore::CopyReport& current = report.copies.front();
  const auto good = std::find_if(report.copies.begin() + 1, report.copies.end(),
                                 [](const auto& copy) { return copy.status.ok(); });
  const bool is_missing = absl::IsNotFound(current.status);
  if (!current.is_whole && (is_missing || absl::IsDataLoss(current.status))) {
    if (good == report.copies.end()) {
      return "no copy of it here is good: move the folder away, and 'kekctl keyring restore' "
             "from a backup";
    }
    return absl::StrCat("the newest good copy is ", good->path, "; with kekd stopped, '",
                        is_missing ? "" : absl::StrCat(MoveAside(current.path), " && "), "cp -p ",
                        good->path, " ", current.path, "' puts it back");
  }
  // Not where the operator has accepted the earlier one: that ring is good.
  const bool was_rolled_back = current.is_whole && !current.status.ok() &&
                               good != report.copies.end() &&
                               *good->generation > *current.generation;
  if (was_rolled_back) {
    return absl::StrCat("a later copy is ", good->path, "; with kekd stopped, 'cp -p ", good->path,
                        " ", current.path, "' puts it back");
  }
  for (size_t i = 1; i < report.copies.size(); ++i) {
    const FileKeyringStore::CopyReport& copy = report.copies[i];
    // The next change would refuse to write over it.
    if (absl::IsDataLoss(copy.status) &&
        copy.path == absl::StrCat(current.path, ".", *current.generation)) {
      return absl::StrCat("the second copy of it is damaged, which keeps it from being changed: '",
                          MoveAside(copy.path), "'");
    }
  }
  return "";
}

// By the record's form: whether it is authentic, and there at all, is for the store to say.
absl::Status CheckRecordName(const CommandContext& context, const KeyringConfig& keyring) {
  absl::StatusOr<std::string> bytes =
      context.fs->ReadFile(JoinPath(keyring.directory, "keyring"), kMaxRecordBytes);
  if (!bytes.ok()) return absl::OkStatus();
  const absl::StatusOr<UnverifiedRecord> record = UnverifiedRecord::Parse(*std::move(bytes));
  if (!record.ok()) return absl::OkStatus();
  return CheckName(record->identity(), keyring);
}

}  // namespace

absl::StatusOr<CommandResult> KeyringShow(const CommandContext& context) {
  KEKD_ASSIGN_OR_RETURN(const KeyringConfig* const keyring,
                        context.config->FindKeyring(context.keyring));
  KEKD_ASSIGN_OR_RETURN(
      const admin::v1::Keyring view,
      ReadKeyring(*context.fs, *context.config, *keyring, context.now + kVerbTime));
  CommandResult result;
  result.output = context.format == OutputFormat::kJson
                      ? KeyringJson(view)
                      : KeyringTable(view, context.now, context.colors);
  return result;
}

absl::StatusOr<CommandResult> KeyringVerify(const CommandContext& context) {
  KEKD_ASSIGN_OR_RETURN(const KeyringConfig* const keyring,
                        context.config->FindKeyring(context.keyring));
  if (absl::IsNotFound(context.fs->GetInfo(keyring->directory).status())) {
    return absl::NotFoundError(absl::StrCat("there is no keyring: the folder ", keyring->directory,
                                            " does not exist; 'kekctl keyring init' makes one"));
  }
  VerifyReport report;
  report.keyring = keyring->name;
  KEKD_ASSIGN_OR_RETURN(report.copies, FileKeyringStore::Verify(
                                           StoreOptions(*context.fs, *context.config, *keyring)));
  if (report.copies.front().status.ok()) {
    KEKD_RETURN_IF_ERROR(CheckKeys(context, *keyring, report));
  }
  CommandResult result;
  result.output = context.format == OutputFormat::kJson ? VerifyJson(report)
                                                        : VerifyTable(report, context.colors);
  const absl::Status verdict = report.Verdict();
  result.exit_code = ExitCodeOf(verdict);
  const std::string cure = CureOf(report);
  if (!verdict.ok()) result.note = absl::StrCat("keyring ", keyring->name, " is not good");
  if (!cure.empty()) {
    absl::StrAppend(&result.note, result.note.empty() ? "" : ": ", cure);
  }
  return result;
}

absl::StatusOr<CommandResult> KeyringAcceptRollback(const CommandContext& context,
                                                    const KeyringAcceptRollbackVerb& verb) {
  KEKD_ASSIGN_OR_RETURN(const KeyringConfig* const keyring,
                        context.config->FindKeyring(context.keyring));
  KEKD_RETURN_IF_ERROR(CheckRecordName(context, *keyring));
  KEKD_ASSIGN_OR_RETURN(const std::shared_ptr<const Keyring> accepted,
                        FileKeyringStore::AcceptRollback(
                            StoreOptions(*context.fs, *context.config, *keyring), verb.generation));
  CommandResult result;
  if (context.format == OutputFormat::kJson) {
    result.output = AcceptedJson(keyring->name, accepted->generation());
    return result;
  }
  result.output = absl::StrCat("generation ", accepted->generation(), " of keyring ", keyring->name,
                               " is taken for the newest now\n",
                               "Key versions that only newer generations had are gone: what they "
                               "encrypted can't be read.\n");
  return result;
}

}  // namespace kekd
