#include "kms/ctl/table_output.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kms/ctl/table.h"

namespace kekd {
namespace {

std::string StateText(const admin::v1::KeyVersion& version) {
  return absl::StrCat(version.state(), version.compromised_ms() == 0 ? "" : ", compromised");
}

// Lines for the keys that can't be used now.
std::string Problems(const admin::v1::Keyring& keyring) {
  std::string text;
  for (const admin::v1::KeyVersion& version : keyring.versions()) {
    if (version.problem().empty()) continue;
    absl::StrAppend(&text, "key version ", version.number(),
                    " can't be used: ", Printable(version.problem()), "\n");
  }
  return text;
}

std::string VersionTable(const admin::v1::Keyring& keyring, absl::Time now) {
  Table table({"VERSION", "STATE", "KEY ID", "BACKEND", "CUSTODY", "CREATED", "ACTIVATED"});
  for (const admin::v1::KeyVersion& version : keyring.versions()) {
    table.Add({absl::StrCat(version.number()), StateText(version), version.key_id(),
               version.backend(), version.custody(), FormatMillisWithAge(version.created_ms(), now),
               FormatMillisWithAge(version.activated_ms(), now)});
  }
  return table.ToString() + Problems(keyring);
}

std::string Verdict(const absl::Status& status) {
  return status.ok() ? "good" : std::string(status.message());
}

void AddLatency(absl::string_view name, const CheckReport::Latency& latency, std::string* text) {
  absl::StrAppend(text, name, "  ", latency.count, " calls: p50 ", FormatLatency(latency.p50),
                  ", p99 ", FormatLatency(latency.p99), ", max ", FormatLatency(latency.max), "\n");
}

}  // namespace

std::string KeyringTable(const admin::v1::Keyring& keyring, absl::Time now) {
  std::string wraps;
  for (const admin::v1::Wrap& wrap : keyring.ring_key_wraps()) {
    absl::StrAppend(&wraps, "opened by    ", wrap.type(), " ", Printable(wrap.reference()),
                    wrap.node().empty() ? "" : " on ", Printable(wrap.node()), "\n");
  }
  return absl::StrCat("keyring      ", Printable(keyring.name()), "\n",        //
                      "cluster id   ", Printable(keyring.cluster_id()), "\n",  //
                      "ring uuid    ", Printable(keyring.ring_uuid()), "\n",   //
                      "generation   ", keyring.generation(), "\n",             //
                      "created      ", FormatMillisWithAge(keyring.created_ms(), now), "\n", wraps,
                      "\n", VersionTable(keyring, now));
}

std::string KeyListTable(const admin::v1::Keyring& keyring, absl::Time now) {
  return absl::StrCat("keyring ", Printable(keyring.name()), ", generation ", keyring.generation(),
                      "\n\n", VersionTable(keyring, now));
}

std::string VerifyTable(const VerifyReport& report) {
  Table copies({"FILE", "GENERATION", "VERDICT"});
  for (const FileKeyringStore::CopyReport& copy : report.copies) {
    copies.Add({copy.path, copy.generation.has_value() ? absl::StrCat(*copy.generation) : "-",
                Verdict(copy.status)});
  }
  std::string text = absl::StrCat("keyring ", report.keyring, "\n\n", copies.ToString());
  if (report.keys.empty()) return text;
  Table keys({"VERSION", "STATE", "KEY ID", "VERDICT"});
  for (const VerifyReport::Key& key : report.keys) {
    keys.Add({absl::StrCat(key.version), key.state, key.key_id, Verdict(key.status)});
  }
  return absl::StrCat(text, "\n", keys.ToString());
}

std::string StatusTable(const admin::v1::GetStatusResponse& status, absl::Time now) {
  std::string text = absl::StrCat(
      "kekd ", Printable(status.version()), ", pid ", status.pid(), ", up ",
      FormatAge(absl::Milliseconds(status.uptime_ms())),
      status.memory_locked() ? ", secrets locked in memory" : ", secrets NOT locked in memory",
      "\n\n");
  Table table({"KEYRING", "HEALTHZ", "GENERATION", "PRIMARY", "KEY ID", "STATUS", "ENCRYPT",
               "DECRYPT", "FAILED", "CONNECTIONS", "LAST CANARY"});
  std::string warnings;
  for (const admin::v1::KeyringStatus& ring : status.keyrings()) {
    table.Add({ring.name(), ring.must_not_encrypt() ? "MUST NOT ENCRYPT" : ring.healthz(),
               absl::StrCat(ring.generation()),
               ring.primary_version() == 0 ? "-" : absl::StrCat(ring.primary_version()),
               ring.key_id(), absl::StrCat(ring.status_calls()), absl::StrCat(ring.encrypt_calls()),
               absl::StrCat(ring.decrypt_calls()), absl::StrCat(ring.failed_calls()),
               absl::StrCat(ring.connections(), " (", ring.refused_connections(), " refused)"),
               FormatMillisWithAge(ring.last_canary_ms(), now)});
    for (const std::string& warning : ring.warnings()) {
      absl::StrAppend(&warnings, "warning: ", Printable(ring.name()), ": ", Printable(warning),
                      "\n");
    }
  }
  return absl::StrCat(text, table.ToString(), warnings);
}

std::string CheckTable(const CheckReport& report) {
  std::string text = absl::StrCat("keyring ", report.keyring, " on ", report.endpoint, "\n\n");
  for (const CheckReport::Item& item : report.items) {
    const bool ok = item.status.ok();
    const std::string detail =
        Printable(ok ? absl::string_view(item.detail) : item.status.message());
    absl::StrAppend(&text, ok ? "ok    " : "FAIL  ", item.name, detail.empty() ? "" : ": ", detail,
                    "\n");
  }
  if (report.encrypt.has_value() || report.decrypt.has_value()) absl::StrAppend(&text, "\n");
  if (report.encrypt.has_value()) AddLatency("Encrypt", *report.encrypt, &text);
  if (report.decrypt.has_value()) AddLatency("Decrypt", *report.decrypt, &text);
  return text;
}

std::string ConfigTable(const Config& config) {
  Table table({"KEYRING", "DIRECTORY", "ENDPOINT"});
  for (const KeyringConfig& keyring : config.keyrings) {
    table.Add({keyring.name, keyring.directory, keyring.socket.Endpoint()});
  }
  return table.ToString();
}

}  // namespace kekd
