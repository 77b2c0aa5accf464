#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "kekd/admin/v1/admin.pb.h"
#include "keystore/key_state.h"
#include "keystore/software_key_backend.h"
#include "keystore/transition.h"
#include "kms/ctl/apply_transition.h"
#include "kms/ctl/commands.h"
#include "kms/ctl/json_output.h"
#include "kms/ctl/keyring_reader.h"
#include "kms/ctl/table_output.h"

namespace kekd {
namespace {

using admin::v1::ApplyResponse;

absl::StatusOr<admin::v1::KeyVersion> ChangedVersion(const ApplyResponse& response) {
  for (const admin::v1::KeyVersion& version : response.keyring().versions()) {
    if (version.number() == response.version()) return version;
  }
  return absl::InternalError("the answer to the change does not hold the key version it names");
}

}  // namespace

absl::StatusOr<CreateVersion> AsPrimaryIs(const CommandContext& context, CreateVersion create) {
  if (create.backend == kSoftwareBackend ||
      (!create.backend.empty() && create.custody.has_value())) {
    return create;
  }
  KEKD_ASSIGN_OR_RETURN(const KeyringConfig* const keyring,
                        context.config->FindKeyring(context.keyring));
  KEKD_ASSIGN_OR_RETURN(
      const admin::v1::Keyring view,
      ReadKeyring(*context.fs, *context.config, *keyring, context.now + kVerbTime));
  for (const admin::v1::KeyVersion& version : view.versions()) {
    if (version.state() != ToString(KeyState::kActive)) continue;
    if (create.backend.empty()) create.backend = version.backend();
    if (!create.custody.has_value() && create.backend == version.backend() && IsWrapped(version)) {
      create.custody = Custody::kEnvelope;
    }
  }
  if (create.backend.empty()) create.backend = std::string(kSoftwareBackend);
  return create;
}

absl::StatusOr<CommandResult> KeyList(const CommandContext& context) {
  KEKD_ASSIGN_OR_RETURN(const KeyringConfig* const keyring,
                        context.config->FindKeyring(context.keyring));
  KEKD_ASSIGN_OR_RETURN(
      const admin::v1::Keyring view,
      ReadKeyring(*context.fs, *context.config, *keyring, context.now + kVerbTime));
  CommandResult result;
  result.output = context.format == OutputFormat::kJson
                      ? KeyListJson(view)
                      : KeyListTable(view, context.now, context.colors);
  return result;
}

absl::StatusOr<CommandResult> KeyCreate(const CommandContext& context, const KeyCreateVerb& verb) {
  KEKD_ASSIGN_OR_RETURN(CreateVersion create,
                        AsPrimaryIs(context, {.backend = verb.backend, .custody = verb.custody}));
  KEKD_ASSIGN_OR_RETURN(const ApplyResponse response,
                        ApplyTransition(context, std::move(create), verb.generation));
  KEKD_ASSIGN_OR_RETURN(const admin::v1::KeyVersion version, ChangedVersion(response));
  CommandResult result;
  if (context.format == OutputFormat::kJson) {
    result.output = KeyJson(response.keyring(), version);
    return result;
  }
  result.output =
      absl::StrCat("made key version ", version.number(), " of keyring ", response.keyring().name(),
                   ": ", version.key_id(), " (", WhereKept(version), ", ", version.state(),
                   ")\nNothing is encrypted with it yet, and no backup holds it. Make one first ",
                   "('kekctl keyring backup'),\nthen 'kekctl key promote ", version.number(),
                   "' makes it the primary.\n");
  return result;
}

absl::StatusOr<CommandResult> KeyAdopt(const CommandContext& context, const KeyAdoptVerb& verb) {
  KEKD_ASSIGN_OR_RETURN(const ApplyResponse response,
                        ApplyTransition(context,
                                        AdoptKey{.backend = verb.backend,
                                                 .reference = verb.object,
                                                 .allow_extractable = verb.allow_extractable},
                                        verb.generation));
  KEKD_ASSIGN_OR_RETURN(const admin::v1::KeyVersion version, ChangedVersion(response));
  CommandResult result;
  if (context.format == OutputFormat::kJson) {
    result.output = KeyJson(response.keyring(), version);
    return result;
  }
  result.output = absl::StrCat(
      "adopted a key as key version ", version.number(), " of keyring ", response.keyring().name(),
      ": ", version.key_id(), " (", version.state(),
      ")\nNothing is encrypted with it yet. No backup of kekd's ever holds the key itself: that is "
      "the device's.\n'kekctl key promote ",
      version.number(), "' makes it the primary.\n");
  return result;
}

absl::StatusOr<CommandResult> KeyPromote(const CommandContext& context,
                                         const KeyPromoteVerb& verb) {
  KEKD_ASSIGN_OR_RETURN(
      const ApplyResponse response,
      ApplyTransition(context, PromoteVersion{.number = verb.version}, verb.generation));
  KEKD_ASSIGN_OR_RETURN(const admin::v1::KeyVersion version, ChangedVersion(response));
  CommandResult result;
  if (context.format == OutputFormat::kJson) {
    result.output = KeyJson(response.keyring(), version);
    return result;
  }
  result.output = absl::StrCat(
      "key version ", version.number(), " is the primary of keyring ", response.keyring().name(),
      " now: ", version.key_id(), " (", WhereKept(version), ")",
      "\nAPI servers notice it within a minute or so and write new data with it. What is stored\n"
      "already stays under the former key, which goes on decrypting, until it is written again.\n");
  return result;
}

}  // namespace kekd
