#include "kms/ctl/rotation_ring.h"

#include <limits.h>
#include <pwd.h>
#include <unistd.h>

#include <cstdlib>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "keystore/file_keyring_store.h"
#include "kms/ctl/admin_client.h"
#include "kms/ctl/apply_transition.h"
#include "kms/keyring/keyring_access.h"

namespace kekd {
namespace {

absl::Time FromMillis(int64_t millis) {
  return millis == 0 ? absl::InfiniteFuture() : absl::FromUnixMillis(millis);
}

// What a newer kekd says is not to be taken for something else.
absl::Status Unknown(absl::string_view what, absl::string_view text) {
  return absl::UnimplementedError(
      absl::StrCat("this kekctl does not know the ", what, " \"", text, "\": kekd is newer"));
}

absl::StatusOr<RotationRecord> RotationFrom(const admin::v1::Rotation& in) {
  const std::optional<RotationStep> step = RotationStepFromText(in.step());
  if (!step.has_value()) return Unknown("step of a rotation", in.step());
  RotationRecord rotation;
  rotation.from = in.from();
  rotation.to = in.to();
  rotation.step = *step;
  rotation.who = in.who();
  rotation.reason = in.reason();
  rotation.nodes = {in.nodes().begin(), in.nodes().end()};
  for (const admin::v1::ProvedNode& one : in.proved()) {
    rotation.proved.push_back({one.node(), FromMillis(one.proved_ms())});
  }
  rotation.begin_time = FromMillis(in.begun_ms());
  rotation.step_time = FromMillis(in.step_ms());
  rotation.end_reason = in.end_reason();
  return rotation;
}

absl::StatusOr<RingView> ViewFrom(const admin::v1::Keyring& in) {
  RingView view;
  view.name = in.name();
  view.generation = in.generation();
  for (const admin::v1::KeyVersion& one : in.versions()) {
    const std::optional<KeyState> state = KeyStateFromText(one.state());
    if (!state.has_value()) return Unknown("key state", one.state());
    const std::optional<Custody> custody = CustodyFromText(one.custody());
    if (!custody.has_value()) return Unknown("custody", one.custody());
    view.versions.push_back({.number = one.number(),
                             .key_id = one.key_id(),
                             .backend = one.backend(),
                             .custody = *custody,
                             .state = *state,
                             .compromised = one.compromised_ms() != 0,
                             .creation_time = FromMillis(one.created_ms()),
                             .activation_time = FromMillis(one.activated_ms())});
  }
  if (in.has_rotation()) {
    KEKD_ASSIGN_OR_RETURN(view.rotation, RotationFrom(in.rotation()));
  }
  return view;
}

// What kekd knows of the backups of a keyring.
absl::Status AddBackups(const AdminClient& kekd, absl::Time deadline, RingView& view) {
  KEKD_ASSIGN_OR_RETURN(const admin::v1::GetStatusResponse status, kekd.GetStatus(deadline));
  for (const admin::v1::KeyringStatus& keyring : status.keyrings()) {
    if (keyring.name() != view.name) continue;
    view.without_backup = {keyring.versions_without_backup().begin(),
                           keyring.versions_without_backup().end()};
    if (keyring.has_newest_backup()) {
      view.newest_backup = FromMillis(keyring.newest_backup().created_ms());
    }
  }
  return absl::OkStatus();
}

std::string HostName() {
  char name[HOST_NAME_MAX + 1] = {};
  return gethostname(name, HOST_NAME_MAX) == 0 && name[0] != '\0' ? name : "localhost";
}

}  // namespace

absl::StatusOr<RingView> CtlRing::Read() {
  KEKD_ASSIGN_OR_RETURN(const KeyringConfig* const config,
                        context_.config->FindKeyring(context_.keyring));
  const absl::Time deadline = absl::Now() + kVerbTime;
  const absl::StatusOr<AdminClient> kekd = AdminClient::Connect(*context_.config);
  if (kekd.ok()) {
    KEKD_ASSIGN_OR_RETURN(const admin::v1::Keyring keyring,
                          kekd->GetKeyring(config->name, deadline));
    uuid_ = keyring.ring_uuid();
    KEKD_ASSIGN_OR_RETURN(RingView view, ViewFrom(keyring));
    KEKD_RETURN_IF_ERROR(AddBackups(*kekd, deadline, view));
    return view;
  }
  if (!absl::IsNotFound(kekd.status())) return kekd.status();
  KEKD_ASSIGN_OR_RETURN(
      const std::unique_ptr<FileKeyringStore> store,
      FileKeyringStore::Open(StoreOptions(*context_.fs, *context_.config, *config),
                             FileKeyringStore::Access::kReadOnly));
  KEKD_ASSIGN_OR_RETURN(const std::shared_ptr<const Keyring> keyring, store->Load());
  KEKD_RETURN_IF_ERROR(CheckName(*keyring, *config));
  uuid_ = keyring->identity().ring_uuid.ToString();
  return ViewOf(*keyring, store->Backups().value_or(std::vector<BackupLogEntry>()));
}

absl::StatusOr<RingView> CtlRing::Apply(const Transition& transition, uint64_t generation) {
  KEKD_ASSIGN_OR_RETURN(const admin::v1::ApplyResponse applied,
                        ApplyTransition(context_, transition, generation));
  warning_ = applied.warning();
  return Read();
}

absl::StatusOr<std::string> CtlRing::ProveThisNode(uint32_t version, absl::string_view node) {
  KEKD_ASSIGN_OR_RETURN(const KeyringConfig* const config,
                        context_.config->FindKeyring(context_.keyring));
  const absl::Time deadline = absl::Now() + kVerbTime;
  const absl::StatusOr<AdminClient> kekd = AdminClient::Connect(*context_.config);
  if (kekd.ok()) {
    admin::v1::ProveNodeRequest request;
    request.set_keyring(config->name);
    request.set_version(version);
    request.set_node(std::string(node));
    return kekd->ProveNode(request, deadline);
  }
  if (!absl::IsNotFound(kekd.status())) return kekd.status();
  KEKD_ASSIGN_OR_RETURN(const std::unique_ptr<KeyringWriter> writer,
                        OpenForWriting(*context_.fs, *context_.config, *config, deadline));
  return writer->ProveNode(version, node, deadline);
}

absl::StatusOr<std::unique_ptr<FileLock>> LockRotation(const CommandContext& context,
                                                       const std::string& ring_uuid) {
  const std::string path =
      JoinPath(context.config->state_directory, absl::StrCat(ring_uuid, ".rotation.lock"));
  absl::StatusOr<std::unique_ptr<FileLock>> lock = context.fs->Lock(path, 0600);
  if (absl::IsUnavailable(lock.status())) {
    return WithContext(lock.status(), "another kekctl drives a rotation here");
  }
  if (!lock.ok()) return lock.status();
  KEKD_RETURN_IF_ERROR((*lock)->SetHolder(
      absl::StrCat(WhoAsks(), ", pid ", getpid(), ", since ",
                   absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::Now(), absl::UTCTimeZone()))));
  return lock;
}

std::string WhoAsks() {
  std::string user;
  if (const char* const sudo = getenv("SUDO_USER"); sudo != nullptr) user = sudo;
  if (user.empty()) {
    const passwd* const entry = getpwuid(geteuid());
    user = entry != nullptr ? entry->pw_name : absl::StrCat("uid ", geteuid());
  }
  return absl::StrCat(user, "@", HostName());
}

std::string ThisNode() { return HostName(); }

}  // namespace kekd
