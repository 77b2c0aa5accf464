#include "kms/ctl/json_output.h"

#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/bytes.h"
#include "base/hex.h"
#include "kms/ctl/attestation_output.h"
#include "kms/ctl/json_parts.h"
#include "kms/ctl/table.h"

namespace kekd {
namespace {

Json TimeOrNull(int64_t unix_millis) {
  return unix_millis == 0 ? Json(nullptr) : Json(FormatMillis(unix_millis));
}

Json ErrorOrNull(const absl::Status& status) {
  return status.ok() ? Json(nullptr) : Json(std::string(status.message()));
}

Json VersionObject(const admin::v1::KeyVersion& version) {
  return {{"version", version.number()},
          {"keyId", version.key_id()},
          {"backend", version.backend()},
          {"keyReference", TextOrNull(version.key_reference())},
          {"custody", version.custody()},
          {"algorithm", version.algorithm()},
          {"state", version.state()},
          {"compromised", version.compromised_ms() != 0},
          {"created", TimeOrNull(version.created_ms())},
          {"activated", TimeOrNull(version.activated_ms())},
          {"deactivated", TimeOrNull(version.deactivated_ms())},
          {"destroyed", TimeOrNull(version.destroyed_ms())},
          {"compromisedSince", TimeOrNull(version.compromised_ms())},
          {"problem", TextOrNull(version.problem())}};
}

Json VersionArray(const admin::v1::Keyring& keyring) {
  Json versions = Json::array();
  for (const admin::v1::KeyVersion& version : keyring.versions()) {
    versions.push_back(VersionObject(version));
  }
  return versions;
}

Json WrapObject(const admin::v1::Wrap& wrap) {
  return {{"number", wrap.number()},
          {"type", wrap.type()},
          {"reference", TextOrNull(wrap.reference())},
          {"node", TextOrNull(wrap.node())},
          {"kdf", TextOrNull(wrap.kdf())},
          {"created", TimeOrNull(wrap.created_ms())}};
}

Json KeyringObject(const admin::v1::Keyring& keyring) {
  Json wraps = Json::array();
  for (const admin::v1::Wrap& wrap : keyring.ring_key_wraps()) wraps.push_back(WrapObject(wrap));
  return {{"keyring", keyring.name()},
          {"clusterId", keyring.cluster_id()},
          {"ringUuid", keyring.ring_uuid()},
          {"generation", keyring.generation()},
          {"format", keyring.format()},
          {"created", TimeOrNull(keyring.created_ms())},
          {"ringKeyNumber", keyring.ring_key_number()},
          {"ringKeyWraps", std::move(wraps)},
          {"versions", VersionArray(keyring)}};
}

Json TokenKeyObject(const KeyReference& key) {
  return {{"label", key.key.label},
          {"id", HexEncode(AsBytes(key.key.id))},
          {"madeOn", Json{{"label", key.token.label},
                          {"serial", key.token.serial},
                          {"manufacturer", key.token.manufacturer},
                          {"model", key.token.model}}},
          {"mechanism", std::string(ToString(key.mechanism))},
          {"mechanismReason", TextOrNull(key.mechanism_reason)}};
}

Json ProtectionObject(const BackupHeader& header) {
  const auto* const shares = std::get_if<ShareNumbers>(&header.protection);
  if (shares == nullptr) return {{"type", "passphrase"}};
  return {{"type", "shares"}, {"threshold", shares->threshold}, {"total", shares->total}};
}

absl::string_view NameOf(VersionProof::Result result) {
  switch (result) {
    case VersionProof::Result::kProven:
      return "proven";
    case VersionProof::Result::kElsewhere:
      return "elsewhere";
    case VersionProof::Result::kFailed:
      break;
  }
  return "failed";
}

Json BackupObject(const BackupReport& report) {
  const BackupHeader& header = report.header;
  Json versions = Json::array();
  for (const VersionProof& proof : report.proofs) {
    versions.push_back(Json{{"version", proof.version},
                            {"keyId", proof.key_id.text()},
                            {"state", std::string(ToString(proof.state))},
                            {"proof", std::string(NameOf(proof.result))},
                            {"error", ErrorOrNull(proof.status)}});
  }
  Json current = nullptr;
  if (report.current.has_value()) {
    current = {{"generation", report.current->generation},
               {"covered", report.current->missing.empty()},
               {"missingVersions", report.current->missing}};
  }
  return {{"path", report.path},
          {"backupId", header.backup_id.ToString()},
          {"keyring", header.ring.name},
          {"clusterId", header.ring.cluster_id.ToString()},
          {"ringUuid", header.ring.ring_uuid.ToString()},
          {"generation", header.generation},
          {"highestVersion", header.highest_version},
          {"created", FormatMillis(absl::ToUnixMillis(header.creation_time))},
          {"openedBy", ProtectionObject(header)},
          {"shareFiles", report.share_files},
          {"versions", std::move(versions)},
          {"current", std::move(current)},
          {"otherKeyring", TextOrNull(report.other_ring)},
          {"recorded", report.recorded.has_value() ? Json(report.recorded->ok()) : Json(nullptr)}};
}

// The newest verified backup as kekd knows it.
Json NewestBackupObject(const admin::v1::KeyringStatus& ring) {
  if (!ring.has_newest_backup()) return nullptr;
  const admin::v1::Backup& backup = ring.newest_backup();
  return {{"created", TimeOrNull(backup.created_ms())},
          {"verified", TimeOrNull(backup.verified_ms())},
          {"generation", backup.generation()},
          {"highestVersion", backup.highest_version()},
          {"path", backup.path()},
          {"holdsEveryKey", ring.versions_without_backup().empty()}};
}

Json StatusObject(const admin::v1::KeyringStatus& ring) {
  Json warnings = Json::array();
  for (const std::string& warning : ring.warnings()) warnings.push_back(warning);
  Json tokens = Json::array();
  for (const admin::v1::Token& token : ring.tokens()) {
    tokens.push_back(Json{{"name", token.name()},
                          {"state", token.state()},
                          {"since", TimeOrNull(token.since_ms())},
                          {"problem", TextOrNull(token.problem())},
                          {"lastError", TextOrNull(token.last_error())}});
  }
  return {{"name", ring.name()},
          {"generation", ring.generation()},
          {"healthz", ring.healthz()},
          {"mustNotEncrypt", ring.must_not_encrypt()},
          {"keyId", TextOrNull(ring.key_id())},
          {"primaryVersion",
           ring.primary_version() == 0 ? Json(nullptr) : Json(ring.primary_version())},
          {"primaryBackend", TextOrNull(ring.primary_backend())},
          {"primaryCustody", TextOrNull(ring.primary_custody())},
          {"openedBy", TextOrNull(ring.opened_by())},
          {"socket", ring.socket()},
          {"statuses", ring.status_calls()},
          {"encrypts", ring.encrypt_calls()},
          {"decrypts", ring.decrypt_calls()},
          {"failed", ring.failed_calls()},
          {"connections", ring.connections()},
          {"refusedConnections", ring.refused_connections()},
          {"refusedCalls", ring.refused_calls()},
          {"lastCanary", TimeOrNull(ring.last_canary_ms())},
          {"newestBackup", NewestBackupObject(ring)},
          {"versionsWithoutBackup", std::vector<uint32_t>(ring.versions_without_backup().begin(),
                                                          ring.versions_without_backup().end())},
          {"tokens", std::move(tokens)},
          {"warnings", std::move(warnings)}};
}

Json LatencyObject(const std::optional<CheckReport::Latency>& latency) {
  if (!latency.has_value()) return nullptr;
  return {{"count", latency->count},
          {"p50Microseconds", absl::ToDoubleMicroseconds(latency->p50)},
          {"p99Microseconds", absl::ToDoubleMicroseconds(latency->p99)},
          {"maxMicroseconds", absl::ToDoubleMicroseconds(latency->max)}};
}

Json EncryptionConfigObject(const EncryptionConfigOptions& options, int phase) {
  Json rules = Json::array();
  for (const EncryptionRule& rule : options.rules) {
    Json kms = {{"kms", Json{{"apiVersion", "v2"},
                             {"name", rule.provider_name},
                             {"endpoint", rule.endpoint},
                             {"timeout", "3s"}}}};
    Json identity = {{"identity", Json::object()}};
    Json providers = Json::array();
    providers.push_back(phase == 1 ? identity : kms);
    providers.push_back(phase == 1 ? kms : identity);
    rules.push_back(Json{{"resources", rule.resources}, {"providers", std::move(providers)}});
  }
  return {{"apiVersion", "apiserver.config.k8s.io/v1"},
          {"kind", "EncryptionConfiguration"},
          {"resources", std::move(rules)}};
}

}  // namespace

std::string InitJson(const admin::v1::Keyring& keyring, const std::string& directory,
                     const std::vector<std::string>& new_key_files,
                     const std::optional<BackupReport>& backup) {
  Json json = KeyringObject(keyring);
  json["directory"] = directory;
  json["newKeyFiles"] = new_key_files;
  json["backup"] = backup.has_value() ? BackupObject(*backup) : Json(nullptr);
  return Dump(json);
}

std::string BackupJson(const BackupReport& report) { return Dump(BackupObject(report)); }

std::string RestoreJson(const RestoreReport& report) {
  Json wraps = Json::array();
  for (const admin::v1::Wrap& wrap : report.keyring.ring_key_wraps()) {
    wraps.push_back(WrapObject(wrap));
  }
  Json overruled = nullptr;
  if (report.overruled.has_value()) {
    const std::optional<uint64_t>& generation = report.overruled->generation;
    overruled = {{"generation", generation.has_value() ? Json(*generation) : Json(nullptr)}};
  }
  return Dump(Json{{"keyring", report.backup.header.ring.name},
                   {"directory", report.directory},
                   {"generation", report.generation},
                   {"newUnlocks", report.new_wraps},
                   {"newKeyFiles", report.new_key_files},
                   {"wraps", std::move(wraps)},
                   {"overruled", std::move(overruled)},
                   {"backup", BackupObject(report.backup)}});
}

std::string KeyringJson(const admin::v1::Keyring& keyring) { return Dump(KeyringObject(keyring)); }

std::string WrapListJson(const admin::v1::Keyring& keyring, const UnlockTrial* trial) {
  Json wraps = Json::array();
  for (const admin::v1::Wrap& wrap : keyring.ring_key_wraps()) {
    Json object = WrapObject(wrap);
    if (trial != nullptr) {
      const auto found = trial->opened.find(wrap.number());
      object["openedBy"] = found == trial->opened.end() ? Json(nullptr) : Json(found->second);
    }
    wraps.push_back(std::move(object));
  }
  Json json = {{"keyring", keyring.name()},
               {"generation", keyring.generation()},
               {"ringKeyNumber", keyring.ring_key_number()},
               {"wraps", std::move(wraps)}};
  if (trial != nullptr) {
    json["failed"] = Json::array();
    for (const UnlockTrial::Failed& failed : trial->failed) {
      json["failed"].push_back(
          Json{{"unlock", failed.opener}, {"error", ErrorOrNull(failed.status)}});
    }
  }
  return Dump(json);
}

std::string KeyListJson(const admin::v1::Keyring& keyring) {
  return Dump(Json{{"keyring", keyring.name()},
                   {"generation", keyring.generation()},
                   {"versions", VersionArray(keyring)}});
}

std::string KeyJson(const admin::v1::Keyring& keyring, const admin::v1::KeyVersion& version) {
  Json json = {{"keyring", keyring.name()}, {"generation", keyring.generation()}};
  json.update(VersionObject(version));
  return Dump(json);
}

std::string KeyShowJson(const KeyShowReport& report) {
  Json json = {{"keyring", report.keyring}, {"generation", report.generation}};
  json.update(VersionObject(report.version));
  json["wraps"] = Json::array();
  for (const admin::v1::Wrap& wrap : report.version.wraps()) {
    json["wraps"].push_back(
        Json{{"type", wrap.type()}, {"reference", TextOrNull(wrap.reference())}});
  }
  json["tokenKey"] = nullptr;
  if (report.token_key.has_value()) json["tokenKey"] = TokenKeyObject(*report.token_key);
  json["canary"] = {{"tried", report.canary.has_value()},
                    {"good", report.canary.has_value() ? Json(report.canary->ok()) : Json(nullptr)},
                    {"error", report.canary.has_value() ? ErrorOrNull(*report.canary)
                                                        : Json(report.canary_not_tried)}};
  json["notAsked"] = TextOrNull(report.not_asked);
  json["tokens"] = Json::array();
  for (const KeyAttestation& said : report.attestation) {
    json["tokens"].push_back(AttestationObject(said));
  }
  return Dump(json);
}

std::string AcceptedJson(const std::string& keyring, uint64_t generation) {
  return Dump(Json{{"keyring", keyring}, {"generation", generation}});
}

std::string VerifyJson(const VerifyReport& report) {
  Json copies = Json::array();
  for (const FileKeyringStore::CopyReport& copy : report.copies) {
    copies.push_back(
        Json{{"path", copy.path},
             {"generation", copy.generation.has_value() ? Json(*copy.generation) : Json(nullptr)},
             {"good", copy.status.ok()},
             {"error", ErrorOrNull(copy.status)}});
  }
  Json keys = Json::array();
  for (const VerifyReport::Key& key : report.keys) {
    keys.push_back(Json{{"version", key.version},
                        {"keyId", key.key_id},
                        {"state", key.state},
                        {"good", key.status.ok()},
                        {"error", ErrorOrNull(key.status)}});
  }
  return Dump(Json{{"keyring", report.keyring},
                   {"good", report.Verdict().ok()},
                   {"copies", std::move(copies)},
                   {"keys", std::move(keys)}});
}

std::string StatusJson(const admin::v1::GetStatusResponse& status) {
  Json keyrings = Json::array();
  for (const admin::v1::KeyringStatus& ring : status.keyrings()) {
    keyrings.push_back(StatusObject(ring));
  }
  Json warnings = Json::array();
  for (const std::string& warning : status.warnings()) warnings.push_back(warning);
  return Dump(Json{{"kekd", Json{{"version", status.version()},
                                 {"pid", status.pid()},
                                 {"uptimeSeconds", status.uptime_ms() / 1000},
                                 {"memoryLocked", status.memory_locked()},
                                 {"warnings", std::move(warnings)}}},
                   {"keyrings", std::move(keyrings)}});
}

std::string CheckJson(const CheckReport& report) {
  Json checks = Json::array();
  for (const CheckReport::Item& item : report.items) {
    checks.push_back(
        Json{{"name", item.name},
             {"ok", item.status.ok()},
             {"detail", item.status.ok() ? TextOrNull(item.detail) : ErrorOrNull(item.status)}});
  }
  return Dump(Json{{"keyring", report.keyring},
                   {"endpoint", report.endpoint},
                   {"ok", report.Passed()},
                   {"checks", std::move(checks)},
                   {"encrypt", LatencyObject(report.encrypt)},
                   {"decrypt", LatencyObject(report.decrypt)}});
}

std::string RecoverJson(const RecoverReport& report) {
  Json recovered = Json::array();
  for (const RecoverReport::Recovered& each : report.recovered) {
    recovered.push_back(Json{{"key", each.key}, {"path", each.path}});
  }
  Json failed = Json::array();
  for (const RecoverReport::Failed& each : report.failed) {
    failed.push_back(Json{{"key", each.key}, {"reason", ErrorOrNull(each.status)}});
  }
  Json gaps = Json::array();
  for (const Gap& gap : report.gaps) gaps.push_back(Json{{"what", gap.what}, {"why", gap.why}});
  return Dump(Json{{"folder", report.folder},
                   {"recovered", std::move(recovered)},
                   {"failed", std::move(failed)},
                   {"notRead", std::move(gaps)},
                   {"complete", report.gaps.empty() && report.failed.empty()}});
}

std::string ConfigJson(const Config& config) {
  Json keyrings = Json::array();
  for (const KeyringConfig& keyring : config.keyrings) {
    keyrings.push_back(Json{{"name", keyring.name},
                            {"directory", keyring.directory},
                            {"endpoint", keyring.socket.Endpoint()}});
  }
  return Dump(Json{{"valid", true}, {"keyrings", std::move(keyrings)}});
}

std::string EncryptionConfigJson(const EncryptionConfigOptions& options) {
  if (options.phase.has_value()) return Dump(EncryptionConfigObject(options, *options.phase));
  Json phases = Json::array();
  for (const int phase : {1, 2}) {
    phases.push_back(Json{{"phase", phase},
                          {"encryptionConfiguration", EncryptionConfigObject(options, phase)}});
  }
  return Dump(Json{{"phases", std::move(phases)}});
}

}  // namespace kekd
