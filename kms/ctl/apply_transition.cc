#include "kms/ctl/apply_transition.h"

#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/random_source.h"
#include "base/status_macros.h"
#include "base/uuid.h"
#include "keystore/keyring_writer.h"
#include "kms/admin_view/keyring_view.h"
#include "kms/admin_view/transition_message.h"
#include "kms/ctl/admin_client.h"
#include "kms/keyring/keyring_access.h"

namespace kekd {
namespace {

using admin::v1::ApplyRequest;
using admin::v1::ApplyResponse;

absl::Status OutcomeUnknown(const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(status.message(),
                                                  ". Whether the change was made is not known; "
                                                  "'kekctl key list' tells"));
}

// A connection that broke says nothing of the change, so it is asked for once more: the request id
// makes that harmless.
absl::StatusOr<ApplyResponse> ApplyByKekd(const CommandContext& context, AdminClient kekd,
                                          const KeyringConfig& keyring,
                                          const Transition& transition, const Uuid& request_id,
                                          std::optional<uint64_t> generation) {
  // From now, not from the start: a person may have typed a passphrase in between.
  const absl::Time deadline = absl::Now() + kVerbTime;
  KEKD_ASSIGN_OR_RETURN(const admin::v1::Keyring now, kekd.GetKeyring(keyring.name, deadline));
  ApplyRequest request;
  request.set_keyring(keyring.name);
  request.set_expected_generation(generation.value_or(now.generation()));
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
  if (absl::IsDeadlineExceeded(applied.status())) return OutcomeUnknown(applied.status());
  if (!absl::IsUnavailable(applied.status())) return applied;
  // From kekd itself, perhaps, of a token that is away; it makes one change after the other.
  const absl::StatusOr<admin::v1::Keyring> after = again->GetKeyring(keyring.name, deadline);
  if (!after.ok() || after->generation() != request.expected_generation()) {
    return OutcomeUnknown(applied.status());
  }
  return WithContext(applied.status(), "nothing was changed");
}

absl::StatusOr<ApplyResponse> ApplyToFiles(const CommandContext& context,
                                           const KeyringConfig& keyring,
                                           const Transition& transition, const Uuid& request_id,
                                           std::optional<uint64_t> expected) {
  const absl::Time deadline = absl::Now() + kVerbTime;
  absl::StatusOr<std::unique_ptr<KeyringWriter>> writer =
      OpenForWriting(*context.fs, *context.config, keyring, deadline);
  if (absl::IsUnavailable(writer.status())) {
    return absl::UnavailableError(absl::StrCat(
        writer.status().message(), ". On the admin socket ", context.config->admin_socket.path,
        " nobody answers: kekd may be starting or stopping (try again), or run with another "
        "configuration"));
  }
  if (!writer.ok()) return writer.status();
  const uint64_t generation =
      expected.value_or((*writer)->current()->Get()->keyring().generation());
  KEKD_ASSIGN_OR_RETURN(const KeyringWriter::Applied applied,
                        (*writer)->Apply(transition, generation, request_id, deadline));
  ApplyResponse response;
  response.set_version(applied.version);
  response.set_warning(applied.warning);
  *response.mutable_keyring() = KeyringToView(applied.keyring->keyring(), applied.keyring.get());
  return response;
}

}  // namespace

absl::StatusOr<ApplyResponse> ApplyTransition(const CommandContext& context,
                                              const Transition& transition,
                                              std::optional<uint64_t> generation) {
  KEKD_ASSIGN_OR_RETURN(const KeyringConfig* const keyring,
                        context.config->FindKeyring(context.keyring));
  KEKD_ASSIGN_OR_RETURN(const Uuid request_id, Uuid::Random(RandomSource::System()));
  absl::StatusOr<AdminClient> kekd = AdminClient::Connect(*context.config);
  if (kekd.ok()) {
    return ApplyByKekd(context, *std::move(kekd), *keyring, transition, request_id, generation);
  }
  if (!absl::IsNotFound(kekd.status())) return kekd.status();
  return ApplyToFiles(context, *keyring, transition, request_id, generation);
}

}  // namespace kekd
