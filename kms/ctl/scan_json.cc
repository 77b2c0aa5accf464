#include <map>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "kms/config/version.h"
#include "kms/ctl/json_parts.h"
#include "kms/ctl/scan_output.h"
#include "kms/ctl/table.h"

namespace kekd {
namespace {

std::string Text(absl::string_view text) { return std::string(text); }

std::string TimeText(absl::Time time) { return FormatMillis(absl::ToUnixMillis(time)); }

Json SourceObject(const SourceFacts& facts) {
  Json gaps = Json::array();
  for (const Gap& gap : facts.gaps) {
    gaps.push_back({{"what", gap.what},
                    {"why", gap.why},
                    {"cure", TextOrNull(gap.cure)},
                    {"damaged", gap.damaged},
                    {"count", gap.count}});
  }
  return {{"kind", facts.kind},
          {"name", facts.name},
          {"identity", TextOrNull(facts.identity)},
          {"etcdVersion", TextOrNull(facts.version)},
          {"revision", facts.revision},
          {"compactedRevision", facts.compacted},
          {"bytesRead", facts.bytes},
          {"otherKeys", facts.other_keys},
          {"history", facts.history},
          {"notRead", std::move(gaps)}};
}

Json GroupObject(const ScanGroup& group, bool opened) {
  Json json = {
      {"resource", group.resource},
      {"place", Text(ToString(group.place))},
      {"storedAs", Text(ToString(group.kind))},
      {"provider", TextOrNull(group.name)},
      {"keyId", TextOrNull(group.key_id)},
      {"keyring", group.key ? Json(group.key->keyring) : Json(nullptr)},
      {"version", group.key ? Json(group.key->version) : Json(nullptr)},
      {"compromised", group.key && group.key->compromised},
      {"state",
       group.freshness == Freshness::kNone ? Json(nullptr) : Json(Text(ToString(group.freshness)))},
      {"neverEncrypted", group.never_encrypted},
      {"objects", group.objects},
      {"bytes", group.bytes},
      {"partial", group.partial},
      {"undecodable", group.undecodable},
      {"exampleKey", group.example_key}};
  if (opened) {
    json["opened"] = group.outcome(OpenOutcome::kOpened);
    json["damaged"] = group.outcome(OpenOutcome::kDamaged);
    json["unknownKey"] = group.outcome(OpenOutcome::kUnknownKey);
    json["unavailable"] = group.outcome(OpenOutcome::kUnavailable);
  }
  return json;
}

Json FindingsObject(const ScanFindings& findings) {
  Json first = Json::array();
  for (const ScanFinding& finding : findings.first) {
    first.push_back(
        {{"key", finding.key},
         {"place", Text(ToString(finding.place))},
         {"modRevision", finding.mod_revision},
         {"damage",
          finding.damage == Damage::kNone ? Json(nullptr) : Json(Text(ToString(finding.damage)))},
         {"reason", finding.reason}});
  }
  return {{"total", findings.total}, {"first", std::move(first)}};
}

Json PolicyObject(const ScanOutcome& outcome) {
  Json rules = Json::array();
  for (const PolicyRule& rule : outcome.policy->rules()) {
    rules.push_back({{"resource", rule.resource}, {"level", Text(ToString(rule.level))}});
  }
  Json violations = Json::array();
  for (const PolicyViolation& violation : outcome.result.violations) {
    violations.push_back({{"resource", violation.resource},
                          {"level", Text(ToString(violation.level))},
                          {"place", Text(ToString(violation.place))},
                          {"what", violation.what},
                          {"objects", violation.objects},
                          {"exampleKey", violation.example_key}});
  }
  return {{"verdict", Text(ToString(outcome.result.verdict))},
          {"rules", std::move(rules)},
          {"violations", std::move(violations)},
          {"noneFound", outcome.result.none_found},
          {"untold", outcome.result.untold}};
}

// The value of a label: ASCII, whatever bytes etcd has, different for different bytes, and escaped
// once more as the text format wants it.
std::string Label(absl::string_view text) {
  std::string out;
  for (const char c : absl::CHexEscape(text)) {
    if (c == '\\' || c == '"') out.push_back('\\');
    out.push_back(c);
  }
  return out;
}

// Whoever alerts on plaintext has to leave out what is never encrypted.
absl::string_view StateOf(const ScanGroup& group) {
  if (group.never_encrypted) return "never encrypted";
  return group.freshness == Freshness::kNone ? "" : ToString(group.freshness);
}

std::string Series(const ScanGroup& group) {
  return absl::StrCat("kekd_scan_objects{resource=\"", Label(group.resource), "\",place=\"",
                      ToString(group.place), "\",stored_as=\"", ToString(group.kind),
                      "\",provider=\"", Label(group.name), "\",key_id=\"", Label(group.key_id),
                      "\",state=\"", StateOf(group), "\"}");
}

uint64_t CountGaps(const SourceFacts& facts) {
  uint64_t count = 0;
  for (const Gap& gap : facts.gaps) count += gap.count;
  return count;
}

}  // namespace

std::string ScanJson(const ScanOutcome& outcome) {
  const ScanReport& report = outcome.report;
  Json groups = Json::array();
  for (const ScanGroup& group : report.groups) groups.push_back(GroupObject(group, report.opened));
  const Json json = {{"format", "kekd.dev/scan-report/v1"},
                     {"kekctl", Text(kKekdVersion)},
                     {"begin", TimeText(outcome.begin)},
                     {"end", TimeText(outcome.end)},
                     {"source", SourceObject(report.facts)},
                     {"keys", outcome.keys_from},
                     {"foreignProviders", outcome.foreign_providers},
                     {"decrypted", report.opened},
                     {"complete", report.complete() && UntriedObjects(report) == 0 &&
                                      !(report.opened && OpenedObjects(report) == 0)},
                     {"groups", std::move(groups)},
                     {"damaged", FindingsObject(report.damaged)},
                     {"undecodable", FindingsObject(report.undecodable)},
                     {"past", FindingsObject(report.past)},
                     {"untried", UntriedObjects(report)},
                     {"policy", outcome.policy ? PolicyObject(outcome) : Json(nullptr)}};
  return Dump(json);
}

std::string ScanMetrics(const ScanOutcome& outcome) {
  const ScanReport& report = outcome.report;
  std::string text =
      "# HELP kekd_scan_objects Values in etcd by how they are stored.\n"
      "# TYPE kekd_scan_objects gauge\n";
  // Names that were cut, and resources with a dot, may be the same though their groups are not.
  std::map<std::string, uint64_t> series;
  for (const ScanGroup& group : report.groups) series[Series(group)] += group.objects;
  for (const auto& [name, objects] : series) absl::StrAppend(&text, name, " ", objects, "\n");
  const auto add = [&](absl::string_view name, absl::string_view help, const auto& value) {
    absl::StrAppend(&text, "# HELP ", name, " ", help, "\n# TYPE ", name, " gauge\n", name, " ",
                    value, "\n");
  };
  add("kekd_scan_damaged_objects", "Objects that no API server can read.", DamagedObjects(report));
  add("kekd_scan_untried_objects", "Objects whose key could not be had.", UntriedObjects(report));
  add("kekd_scan_gaps", "Parts that could not be read.", CountGaps(report.facts));
  if (outcome.policy) {
    add("kekd_scan_policy_met", "1 if the policy is met, 0 if it is violated or not proven.",
        outcome.result.verdict == PolicyVerdict::kMet ? 1 : 0);
  }
  add("kekd_scan_end_timestamp_seconds", "When the scan ended.", absl::ToUnixSeconds(outcome.end));
  return text;
}

}  // namespace kekd
