#include "kms/ctl/table_output.h"

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "keystore/key_state.h"
#include "kms/ctl/help_text.h"
#include "kms/ctl/hints.h"
#include "kms/ctl/table.h"
#include "kms/ctl/wrap_text.h"

namespace kekd {
namespace {

std::string StateText(const admin::v1::KeyVersion& version) {
  return absl::StrCat(version.state(), version.compromised_ms() == 0 ? "" : ", compromised");
}

Tone ToneOf(const admin::v1::KeyVersion& version) {
  if (!version.problem().empty() || version.compromised_ms() != 0) return Tone::kBad;
  return version.state() == ToString(KeyState::kActive) ? Tone::kGood : Tone::kPlain;
}

// Lines for the keys that can't be used now.
std::string Problems(const admin::v1::Keyring& keyring, Colors colors) {
  std::string text;
  for (const admin::v1::KeyVersion& version : keyring.versions()) {
    if (version.problem().empty()) continue;
    absl::StrAppend(&text, "key version ", version.number(), " ",
                    Painted("can't be used", Tone::kBad, colors), ": ",
                    Printable(version.problem()), "\n");
  }
  return text;
}

// A line on the keys that a device wraps, if there are any.
std::string WrappedVersions(const admin::v1::Keyring& keyring) {
  std::vector<uint32_t> versions;
  for (const admin::v1::KeyVersion& version : keyring.versions()) {
    if (IsWrapped(version)) versions.push_back(version.number());
  }
  if (versions.empty()) return "";
  return absl::StrCat("custody envelope, wrapped by the device: key version ",
                      absl::StrJoin(versions, ", "), "\n");
}

bool AnyWasDeactivated(const admin::v1::Keyring& keyring) {
  return std::any_of(
      keyring.versions().begin(), keyring.versions().end(),
      [](const admin::v1::KeyVersion& version) { return version.deactivated_ms() != 0; });
}

std::string VersionTable(const admin::v1::Keyring& keyring, absl::Time now, Colors colors) {
  std::vector<std::string> header = {"VERSION", "STATE",   "KEY ID",   "BACKEND",
                                     "CUSTODY", "CREATED", "ACTIVATED"};
  const bool any_was_deactivated = AnyWasDeactivated(keyring);
  if (any_was_deactivated) header.push_back("DEACTIVATED");
  Table table(std::move(header));
  for (const admin::v1::KeyVersion& version : keyring.versions()) {
    std::vector<std::string> row = {absl::StrCat(version.number()),
                                    StateText(version),
                                    version.key_id(),
                                    version.backend(),
                                    version.custody(),
                                    FormatMillisWithAge(version.created_ms(), now),
                                    FormatMillisWithAge(version.activated_ms(), now)};
    if (any_was_deactivated) row.push_back(FormatMillisWithAge(version.deactivated_ms(), now));
    table.Add(std::move(row));
    table.SetTone(1, ToneOf(version));
  }
  return absl::StrCat(table.ToString(colors), Problems(keyring, colors));
}

// The reason has no room in a table; it stands below.
std::string Verdict(const absl::Status& status) { return status.ok() ? "good" : "NOT GOOD"; }

void AddReason(absl::string_view what, const absl::Status& status, std::string* reasons) {
  if (status.ok()) return;
  absl::StrAppend(reasons, "\n",
                  WrapText(absl::StrCat(what, ": ", Printable(status.message())), 0, 100), "\n");
}

Tone ToneOf(const absl::Status& status) { return status.ok() ? Tone::kGood : Tone::kBad; }

struct Health {
  std::string text;
  Tone tone = Tone::kPlain;
};

Health HealthOf(const admin::v1::KeyringStatus& ring) {
  if (ring.must_not_encrypt()) return {"MUST NOT ENCRYPT", Tone::kBad};
  return ring.healthz() == "ok" ? Health{"ok", Tone::kGood} : Health{"degraded", Tone::kWarning};
}

// What of a keyring has no room in the table, and what an operator should mend.
std::string StatusDetails(const admin::v1::KeyringStatus& ring, absl::Time now, Colors colors) {
  std::string text = absl::StrCat("\nkeyring ", Printable(ring.name()), "\n");
  const auto add = [&](absl::string_view name, absl::string_view value) {
    if (!value.empty()) absl::StrAppend(&text, "  ", name, Printable(value), "\n");
  };
  add("key id   ", ring.key_id());
  if (!ring.primary_backend().empty()) {
    add("primary  ",
        absl::StrCat("backend ", ring.primary_backend(), ", custody ", ring.primary_custody()));
  }
  if (!ring.opened_by().empty()) add("opened   ", absl::StrCat("by ", ring.opened_by()));
  add("socket   ", ring.socket());
  if (ring.healthz() != "ok") add("healthz  ", ring.healthz());
  if (ring.has_newest_backup()) {
    const admin::v1::Backup& backup = ring.newest_backup();
    add("backup   ",
        absl::StrCat("generation ", backup.generation(), ", made ",
                     FormatMillisWithAge(backup.created_ms(), now), ", verified ",
                     FormatMillisAsAge(backup.verified_ms(), now),
                     ring.versions_without_backup().empty() ? ", holds every key" : ""));
  }
  for (const admin::v1::Token& token : ring.tokens()) {
    const std::string state = token.state() == "up"
                                  ? token.state()
                                  : Painted(Printable(token.state()), Tone::kWarning, colors);
    absl::StrAppend(&text, "  token    ", Printable(token.name()), ": ", state, " since ",
                    FormatMillisWithAge(token.since_ms(), now), "\n");
  }
  if (ring.refused_connections() != 0) {
    add("refused  ", absl::StrCat(ring.refused_connections(), " connections"));
  }
  if (ring.refused_calls() != 0) {
    add("refused  ", absl::StrCat(ring.refused_calls(), " calls, for want of time"));
  }
  for (const std::string& warning : ring.warnings()) {
    absl::StrAppend(&text, "  ", Painted("warning", Tone::kWarning, colors), "  ",
                    Printable(warning), "\n");
  }
  return text;
}

std::string OpenerOf(const admin::v1::Wrap& wrap, const UnlockTrial& trial) {
  const auto found = trial.opened.find(wrap.number());
  if (found != trial.opened.end()) return found->second;
  for (const UnlockTrial::Failed& failed : trial.failed) {
    if (ToString(failed.type) == wrap.type()) return "nothing, see below";
  }
  return "nothing configured";
}

void AddLatency(absl::string_view name, const CheckReport::Latency& latency, std::string* text) {
  absl::StrAppend(text, name, "  ", latency.count, " calls: p50 ", FormatLatency(latency.p50),
                  ", p99 ", FormatLatency(latency.p99), ", max ", FormatLatency(latency.max), "\n");
}

}  // namespace

std::string KeyringTable(const admin::v1::Keyring& keyring, absl::Time now, Colors colors) {
  std::string wraps;
  for (const admin::v1::Wrap& wrap : keyring.ring_key_wraps()) {
    absl::StrAppend(&wraps, "opened by    ", wrap.type(), " ",
                    Printable(WrapReferenceText(wrap.type(), wrap.reference())),
                    wrap.node().empty() ? "" : " on ", Printable(wrap.node()), "\n");
  }
  return absl::StrCat("keyring      ", Printable(keyring.name()), "\n",        //
                      "cluster id   ", Printable(keyring.cluster_id()), "\n",  //
                      "ring uuid    ", Printable(keyring.ring_uuid()), "\n",   //
                      "generation   ", keyring.generation(), "\n",             //
                      "format       ", keyring.format(), "\n",                 //
                      "created      ", FormatMillisWithAge(keyring.created_ms(), now), "\n", wraps,
                      "\n", VersionTable(keyring, now, colors));
}

std::string WrapListTable(const admin::v1::Keyring& keyring, const UnlockTrial* trial,
                          absl::Time now, Colors colors) {
  std::vector<std::string> header = {"WRAP", "TYPE", "REFERENCE", "CREATED"};
  if (trial != nullptr) header.push_back("OPENED BY");
  Table table(std::move(header));
  for (const admin::v1::Wrap& wrap : keyring.ring_key_wraps()) {
    std::vector<std::string> row = {
        absl::StrCat(wrap.number()),
        wrap.kdf().empty() ? wrap.type() : absl::StrCat(wrap.type(), " (", wrap.kdf(), ")"),
        WrapReferenceText(wrap.type(), wrap.reference()),
        FormatMillisWithAge(wrap.created_ms(), now)};
    if (trial != nullptr) row.push_back(OpenerOf(wrap, *trial));
    table.Add(std::move(row));
  }
  std::string text = table.ToString(colors);
  if (trial == nullptr) return text;
  for (const UnlockTrial::Failed& failed : trial->failed) {
    absl::StrAppend(&text, Painted("opens none of them", Tone::kWarning, colors), ": ",
                    Printable(failed.status.message()), "\n");
  }
  return text;
}

bool IsWrapped(const admin::v1::KeyVersion& version) {
  return version.custody() == ToString(Custody::kEnvelope) && !version.key_reference().empty();
}

std::string WhereKept(const admin::v1::KeyVersion& version) {
  return absl::StrCat(version.backend(), IsWrapped(version) ? " envelope" : "");
}

std::string KeyListTable(const admin::v1::Keyring& keyring, absl::Time now, Colors colors) {
  // Three times would be wider than a screen; KeyringTable has them all.
  const bool any_was_deactivated = AnyWasDeactivated(keyring);
  Table table({"VERSION", "STATE", "KEY ID", "BACKEND",
               any_was_deactivated ? "ACTIVATED" : "CREATED",
               any_was_deactivated ? "DEACTIVATED" : "ACTIVATED"});
  for (const admin::v1::KeyVersion& version : keyring.versions()) {
    const int64_t first = any_was_deactivated ? version.activated_ms() : version.created_ms();
    const int64_t second = any_was_deactivated ? version.deactivated_ms() : version.activated_ms();
    table.Add({absl::StrCat(version.number()), StateText(version), version.key_id(),
               version.backend(), FormatMillisAsAge(first, now), FormatMillisAsAge(second, now)});
    table.SetTone(1, ToneOf(version));
  }
  return absl::StrCat("keyring ", Printable(keyring.name()), ", generation ", keyring.generation(),
                      "\n\n", table.ToString(colors), WrappedVersions(keyring),
                      Problems(keyring, colors));
}

std::string VerifyTable(const VerifyReport& report, Colors colors) {
  std::string reasons;
  Table copies({"FILE", "GENERATION", "VERDICT"});
  for (const FileKeyringStore::CopyReport& copy : report.copies) {
    copies.Add({copy.path, copy.generation.has_value() ? absl::StrCat(*copy.generation) : "-",
                Verdict(copy.status)});
    copies.SetTone(2, ToneOf(copy.status));
    AddReason(Printable(copy.path), copy.status, &reasons);
  }
  std::string text = absl::StrCat("keyring ", report.keyring, "\n\n", copies.ToString(colors));
  if (report.keys.empty()) return absl::StrCat(text, reasons);
  Table keys({"VERSION", "STATE", "KEY ID", "VERDICT"});
  for (const VerifyReport::Key& key : report.keys) {
    keys.Add({absl::StrCat(key.version), key.state, key.key_id, Verdict(key.status)});
    keys.SetTone(3, ToneOf(key.status));
    AddReason(absl::StrCat("key version ", key.version), key.status, &reasons);
  }
  return absl::StrCat(text, "\n", keys.ToString(colors), reasons);
}

std::string StatusTable(const admin::v1::GetStatusResponse& status, absl::Time now, Colors colors) {
  const std::string secrets = status.memory_locked()
                                  ? "secrets locked in memory"
                                  : Painted("secrets NOT locked in memory", Tone::kWarning, colors);
  Table table({"KEYRING", "HEALTH", "GENERATION", "PRIMARY", "STATUS", "ENCRYPT", "DECRYPT",
               "FAILED", "CONNS", "CANARY"});
  std::string details;
  for (const std::string& warning : status.warnings()) {
    absl::StrAppend(&details,
                    Painted(absl::StrCat("warning: ", Printable(warning)), Tone::kWarning, colors),
                    "\n");
  }
  for (const admin::v1::KeyringStatus& ring : status.keyrings()) {
    const Health health = HealthOf(ring);
    table.Add({ring.name(), health.text, absl::StrCat(ring.generation()),
               ring.primary_version() == 0 ? "-" : absl::StrCat(ring.primary_version()),
               absl::StrCat(ring.status_calls()), absl::StrCat(ring.encrypt_calls()),
               absl::StrCat(ring.decrypt_calls()), absl::StrCat(ring.failed_calls()),
               absl::StrCat(ring.connections()), FormatMillisAsAge(ring.last_canary_ms(), now)});
    table.SetTone(1, health.tone);
    const std::string of_ring = StatusDetails(ring, now, colors);
    details += status.keyrings_size() > 1 ? WithKeyringInHints(of_ring, ring.name()) : of_ring;
  }
  return absl::StrCat("kekd ", Printable(status.version()), ", pid ", status.pid(), ", up ",
                      FormatAge(absl::Milliseconds(status.uptime_ms())), ", ", secrets, "\n\n",
                      table.ToString(colors), details);
}

std::string ItemLine(const CheckReport::Item& item, Colors colors) {
  const bool ok = item.status.ok();
  const std::string detail = Printable(ok ? absl::string_view(item.detail) : item.status.message());
  return absl::StrCat(Painted(ok ? "ok" : "FAIL", ToneOf(item.status), colors), ok ? "    " : "  ",
                      item.name, detail.empty() ? "" : ": ", detail, "\n");
}

std::string CheckTable(const CheckReport& report, Colors colors) {
  std::string text = absl::StrCat("keyring ", report.keyring, " on ", report.endpoint, "\n\n");
  for (const CheckReport::Item& item : report.items) absl::StrAppend(&text, ItemLine(item, colors));
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
