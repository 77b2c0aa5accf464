#include "kms/admin/admin_calls.h"

#include <unistd.h>

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/log.h"
#include "base/secret_arena.h"
#include "base/status_macros.h"
#include "kekd/admin/v1/admin.pb.h"
#include "keystore/backup_log.h"
#include "kms/admin_view/backup_view.h"
#include "kms/admin_view/keyring_view.h"
#include "kms/admin_view/transition_message.h"
#include "kms/config/version.h"

namespace kekd {
namespace {

namespace pb = ::kekd::admin::v1;

void FillBackups(const KeyringWriter& writer, const Keyring& keyring, pb::KeyringStatus* out) {
  const absl::StatusOr<std::vector<BackupLogEntry>> entries = writer.Backups();
  for (const std::string& warning : BackupWarnings(keyring, entries)) out->add_warnings(warning);
  const std::vector<BackupLogEntry> none;
  const BackupCoverage coverage = CoverageOf(keyring, entries.ok() ? *entries : none);
  if (coverage.newest != nullptr) *out->mutable_newest_backup() = BackupToView(*coverage.newest);
  for (const uint32_t version : coverage.missing) out->add_versions_without_backup(version);
}

// A token that is not as it should be is the operator's business alone as long as another serves.
void FillTokens(const KeyringWriter& writer, pb::KeyringStatus* out) {
  for (const KeyPlace& place : writer.Places()) {
    pb::Token* const token = out->add_tokens();
    token->set_name(place.name);
    token->set_state(std::string(ToString(place.state)));
    token->set_since_ms(absl::ToUnixMillis(place.since));
    token->set_problem(place.problem);
    token->set_last_error(place.last_error);
    // One that no call has needed yet will be heard with the next canary.
    if (place.state == KeyPlace::State::kUp || place.state == KeyPlace::State::kNotAsked) continue;
    out->add_warnings(
        absl::StrCat("token ", place.name, " (", ToString(place.state), "): ", place.problem));
  }
}

void FillStatus(const AdministeredKeyring& ring, pb::KeyringStatus* out) {
  const std::shared_ptr<const OpenKeyring> opened = ring.writer->current()->Get();
  const std::shared_ptr<const HealthReport> health = ring.health->Get();
  out->set_name(ring.name);
  out->set_generation(opened->keyring().generation());
  const KeyVersion* primary = opened->keyring().Primary();
  if (primary == nullptr) {
    out->set_healthz("no key version is active");
    out->set_must_not_encrypt(true);
  } else {
    out->set_primary_version(primary->number);
    out->set_primary_backend(primary->backend);
    const absl::string_view custody = ToString(primary->material.custody);
    out->set_primary_custody(custody.data(), custody.size());
    out->set_must_not_encrypt(!health->may_encrypt.ok());
    out->set_healthz(health->may_encrypt.ok() ? health->healthz
                                              : std::string(health->may_encrypt.message()));
    if (health->may_encrypt.ok()) out->set_key_id(primary->key_id.text());
  }
  for (const std::string& warning : health->warnings) out->add_warnings(warning);
  for (const std::string& warning : ring.warnings()) out->add_warnings(warning);
  out->set_opened_by(ring.writer->store().Opener());
  FillTokens(*ring.writer, out);
  if (health->check_time != absl::InfinitePast()) {
    out->set_last_canary_ms(absl::ToUnixMillis(health->check_time));
  }
  out->set_socket(ring.endpoint);
  const EnvelopeService::Counters& counters = ring.service->counters();
  out->set_status_calls(counters.status.load());
  out->set_encrypt_calls(counters.encrypt.load());
  out->set_decrypt_calls(counters.decrypt.load());
  out->set_failed_calls(counters.failed.load());
  const AdministeredKeyring::Connections connections = ring.connections();
  out->set_connections(connections.open);
  out->set_refused_connections(connections.refused);
  out->set_refused_calls(connections.refused_calls);
  FillBackups(*ring.writer, opened->keyring(), out);
}

}  // namespace

absl::StatusOr<const AdministeredKeyring*> AdminCalls::Find(absl::string_view name) const {
  for (const AdministeredKeyring& ring : options_.keyrings) {
    if (ring.name == name) return &ring;
  }
  return absl::NotFoundError(absl::StrCat("this kekd serves no keyring \"",
                                          absl::Utf8SafeCHexEscape(name.substr(0, 80)), "\""));
}

absl::Status AdminCalls::GetStatus(pb::GetStatusResponse& response) const {
  response.set_version(kKekdVersion);
  response.set_pid(getpid());
  response.set_uptime_ms(absl::ToInt64Milliseconds(absl::Now() - options_.start_time));
  response.set_memory_locked(SecretArena::Instance().LockStatus().ok());
  for (const std::string& warning : options_.warnings()) response.add_warnings(warning);
  for (const AdministeredKeyring& ring : options_.keyrings) {
    FillStatus(ring, response.add_keyrings());
  }
  return absl::OkStatus();
}

absl::Status AdminCalls::GetKeyring(const pb::GetKeyringRequest& request,
                                    pb::Keyring& response) const {
  KEKD_ASSIGN_OR_RETURN(const AdministeredKeyring* ring, Find(request.keyring()));
  const std::shared_ptr<const OpenKeyring> opened = ring->writer->current()->Get();
  response = KeyringToView(opened->keyring(), opened.get());
  return absl::OkStatus();
}

absl::Status AdminCalls::Apply(const AdminCaller& caller, const pb::ApplyRequest& request,
                               pb::ApplyResponse& response) const {
  KEKD_ASSIGN_OR_RETURN(const AdministeredKeyring* ring, Find(request.keyring()));
  KEKD_ASSIGN_OR_RETURN(const Transition transition, TransitionOf(request));
  KEKD_ASSIGN_OR_RETURN(const Uuid request_id, Uuid::FromBytes(AsBytes(request.request_id())));
  absl::StatusOr<KeyringWriter::Applied> applied = ring->writer->Apply(
      transition, request.expected_generation(), request_id, caller.deadline, caller.who);
  if (!applied.ok()) {
    LogWarning(
        "a change of the keyring was refused",
        {{"keyring", ring->name}, {"by", caller.who}, {"error", applied.status().ToString()}});
    return applied.status();
  }
  const Keyring& keyring = applied->keyring->keyring();
  LogInfo("the keyring was changed", {{"keyring", ring->name},
                                      {"by", caller.who},
                                      {"generation", keyring.generation()},
                                      {"change", DescribeChange(transition, applied->version)},
                                      {"request", request_id.ToString()}});
  response.set_version(applied->version);
  response.set_warning(applied->warning);
  *response.mutable_keyring() = KeyringToView(keyring, applied->keyring.get());
  return absl::OkStatus();
}

absl::Status AdminCalls::ProveNode(const AdminCaller& caller, const pb::ProveNodeRequest& request,
                                   pb::ProveNodeResponse& response) const {
  KEKD_ASSIGN_OR_RETURN(const AdministeredKeyring* ring, Find(request.keyring()));
  absl::StatusOr<std::string> proof =
      ring->writer->ProveNode(request.version(), request.node(), caller.deadline);
  if (!proof.ok()) return proof.status();
  LogInfo("this node has proved that it can decrypt under a key version",
          {{"keyring", ring->name}, {"by", caller.who}, {"version", request.version()}});
  response.set_proof(*std::move(proof));
  return absl::OkStatus();
}

absl::Status AdminCalls::RecordBackup(const AdminCaller& caller,
                                      const pb::RecordBackupRequest& request) const {
  KEKD_ASSIGN_OR_RETURN(const AdministeredKeyring* ring, Find(request.keyring()));
  KEKD_ASSIGN_OR_RETURN(const BackupLogEntry entry, BackupFromView(request.backup()));
  absl::Status recorded = ring->writer->store().RecordBackup(entry);
  ring->writer->RefreshBackups();
  if (!recorded.ok()) {
    LogWarning("a backup could not be written down",
               {{"keyring", ring->name}, {"error", recorded.message()}});
    return recorded;
  }
  LogInfo("a backup was written down", {{"keyring", ring->name},
                                        {"by", caller.who},
                                        {"backup", entry.backup_id.ToString()},
                                        {"generation", entry.generation},
                                        {"verified", entry.IsVerified()}});
  return absl::OkStatus();
}

}  // namespace kekd
