#include <memory>
#include <string>
#include <utility>
#include <variant>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/random_source.h"
#include "base/status_macros.h"
#include "base/uuid.h"
#include "kekd/admin/v1/admin.pb.h"
#include "keystore/keyring_writer.h"
#include "kms/admin_view/keyring_view.h"
#include "kms/ctl/admin_client.h"
#include "kms/ctl/commands.h"
#include "kms/ctl/json_output.h"
#include "kms/ctl/keyring_reader.h"
#include "kms/ctl/table_output.h"
#include "kms/keyring/keyring_access.h"

namespace kekd {
namespace {

using admin::v1::ApplyRequest;
using admin::v1::ApplyResponse;

void SetTransition(const Transition& transition, ApplyRequest& request) {
  if (const CreateVersion* const create = std::get_if<CreateVersion>(&transition)) {
    request.mutable_create_version()->set_backend(create->backend);
    return;
  }
  request.mutable_promote_version()->set_number(std::get<PromoteVersion>(transition).number);
}

absl::Status OutcomeUnknown(const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(status.message(),
                                                  ". Whether the change was made is not known; "
                                                  "'kekctl key list' tells"));
}

// A connection that broke says nothing of the change, so it is asked for once more: the request id
// makes that harmless.
absl::StatusOr<ApplyResponse> ApplyByKekd(const CommandContext& context, AdminClient kekd,
                                          const KeyringConfig& keyring,
                                          const Transition& transition, const Uuid& request_id) {
  const absl::Time deadline = context.now + kVerbTime;
  KEKD_ASSIGN_OR_RETURN(const admin::v1::Keyring now, kekd.GetKeyring(keyring.name, deadline));
  ApplyRequest request;
  request.set_keyring(keyring.name);
  request.set_expected_generation(now.generation());
  request.set_request_id(std::string(AsText(request_id.bytes())));
  SetTransition(transition, request);
  absl::StatusOr<ApplyResponse> applied = kekd.Apply(request, deadline);
  if (absl::IsDeadlineExceeded(applied.status())) return OutcomeUnknown(applied.status());
  if (!absl::IsUnavailable(applied.status())) return applied;

  absl::StatusOr<AdminClient> again = AdminClient::Connect(*context.config);
  if (!again.ok()) {
    return OutcomeUnknown(absl::UnavailableError(
        absl::StrCat("kekd ended the connection, and now: ", again.status().message())));
  }
  applied = again->Apply(request, deadline);
  const bool unknown =
      absl::IsDeadlineExceeded(applied.status()) || absl::IsUnavailable(applied.status());
  return unknown ? OutcomeUnknown(applied.status()) : applied;
}

absl::StatusOr<ApplyResponse> ApplyToFiles(const CommandContext& context,
                                           const KeyringConfig& keyring,
                                           const Transition& transition, const Uuid& request_id) {
  const absl::Time deadline = context.now + kVerbTime;
  absl::StatusOr<std::unique_ptr<KeyringWriter>> writer =
      OpenForWriting(*context.fs, *context.config, keyring, deadline);
  if (absl::IsUnavailable(writer.status())) {
    return absl::UnavailableError(absl::StrCat(
        writer.status().message(), ". On the admin socket ", context.config->admin_socket.path,
        " nobody answers: kekd may be starting or stopping (try again), or run with another "
        "configuration"));
  }
  if (!writer.ok()) return writer.status();
  const uint64_t generation = (*writer)->current()->Get()->keyring().generation();
  KEKD_ASSIGN_OR_RETURN(const KeyringWriter::Applied applied,
                        (*writer)->Apply(transition, generation, request_id, deadline));
  ApplyResponse response;
  response.set_version(applied.version);
  *response.mutable_keyring() = KeyringToView(applied.keyring->keyring(), applied.keyring.get());
  return response;
}

absl::StatusOr<ApplyResponse> Apply(const CommandContext& context, const Transition& transition) {
  KEKD_ASSIGN_OR_RETURN(const KeyringConfig* const keyring,
                        context.config->FindKeyring(context.keyring));
  KEKD_ASSIGN_OR_RETURN(const Uuid request_id, Uuid::Random(RandomSource::System()));
  absl::StatusOr<AdminClient> kekd = AdminClient::Connect(*context.config);
  if (kekd.ok()) {
    return ApplyByKekd(context, *std::move(kekd), *keyring, transition, request_id);
  }
  if (!absl::IsNotFound(kekd.status())) return kekd.status();
  return ApplyToFiles(context, *keyring, transition, request_id);
}

absl::StatusOr<admin::v1::KeyVersion> ChangedVersion(const ApplyResponse& response) {
  for (const admin::v1::KeyVersion& version : response.keyring().versions()) {
    if (version.number() == response.version()) return version;
  }
  return absl::InternalError("the answer to the change does not hold the key version it names");
}

}  // namespace

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
  KEKD_ASSIGN_OR_RETURN(const ApplyResponse response,
                        Apply(context, CreateVersion{.backend = verb.backend}));
  KEKD_ASSIGN_OR_RETURN(const admin::v1::KeyVersion version, ChangedVersion(response));
  CommandResult result;
  if (context.format == OutputFormat::kJson) {
    result.output = KeyJson(response.keyring(), version);
    return result;
  }
  result.output = absl::StrCat("made key version ", version.number(), " of keyring ",
                               response.keyring().name(), ": ", version.key_id(), " (",
                               version.state(), ")\nNothing is encrypted with it yet. 'kekctl key ",
                               "promote ", version.number(), "' makes it the primary.\n");
  return result;
}

absl::StatusOr<CommandResult> KeyPromote(const CommandContext& context,
                                         const KeyPromoteVerb& verb) {
  KEKD_ASSIGN_OR_RETURN(const ApplyResponse response,
                        Apply(context, PromoteVersion{.number = verb.version}));
  KEKD_ASSIGN_OR_RETURN(const admin::v1::KeyVersion version, ChangedVersion(response));
  CommandResult result;
  if (context.format == OutputFormat::kJson) {
    result.output = KeyJson(response.keyring(), version);
    return result;
  }
  result.output = absl::StrCat(
      "key version ", version.number(), " is the primary of keyring ", response.keyring().name(),
      " now: ", version.key_id(),
      "\nAPI servers notice it within a minute or so and write new data with it. What is stored\n"
      "already stays under the former key, which goes on decrypting, until it is written again.\n");
  return result;
}

}  // namespace kekd
