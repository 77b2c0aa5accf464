#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "kms/ctl/scan_output.h"
#include "kms/ctl/table.h"

namespace kekd {
namespace {

// More are in the JSON.
constexpr size_t kShownFindings = 20;

struct State {
  std::string text;
  Tone tone = Tone::kPlain;
};

// What etcd remembers is read by nobody.
Tone DamageTone(const ScanGroup& group) { return IsPast(group.place) ? Tone::kPlain : Tone::kBad; }

State StateOf(const ScanGroup& group) {
  if (group.never_encrypted) return {"never encrypted", Tone::kPlain};
  if (group.undecodable != 0) {
    return {absl::StrCat(group.undecodable, " undecodable"), DamageTone(group)};
  }
  if (group.kind == StorageKind::kPlaintext) return {"plaintext", Tone::kWarning};
  switch (group.freshness) {
    case Freshness::kNone:
      return {"encrypted", Tone::kPlain};
    case Freshness::kPrimary:
      return {std::string(ToString(group.freshness)), Tone::kGood};
    case Freshness::kForeignProvider:
      return {std::string(ToString(group.freshness)), Tone::kPlain};
    case Freshness::kStale:
    case Freshness::kNewer:
      return {std::string(ToString(group.freshness)), Tone::kWarning};
    case Freshness::kDestroyed:
    case Freshness::kUnknownKey:
      return {std::string(ToString(group.freshness)), Tone::kBad};
  }
  return {};
}

std::string KeyOf(const ScanGroup& group) {
  if (group.key) {
    return absl::StrCat(group.key->keyring, " version ", group.key->version,
                        group.key->compromised ? ", compromised" : "");
  }
  if (!group.key_id.empty()) {
    constexpr size_t kShownBytes = 32;
    return group.key_id.size() <= kShownBytes
               ? group.key_id
               : absl::StrCat(group.key_id.substr(0, kShownBytes - 3), "...");
  }
  return group.kind == StorageKind::kPlaintext ? "-" : group.name.empty() ? "-" : group.name;
}

State OpenedOf(const ScanGroup& group) {
  const uint64_t opened = group.outcome(OpenOutcome::kOpened);
  const uint64_t damaged = group.outcome(OpenOutcome::kDamaged);
  const uint64_t untried =
      group.outcome(OpenOutcome::kUnavailable) + group.outcome(OpenOutcome::kUnknownKey);
  if (damaged != 0) return {absl::StrCat(damaged, " DAMAGED"), DamageTone(group)};
  if (untried != 0) return {absl::StrCat(untried, " not opened"), Tone::kWarning};
  if (opened != 0) return {"all", Tone::kGood};
  return {"-", Tone::kPlain};
}

std::string GroupTable(const ScanReport& report, Colors colors) {
  const bool has_places =
      std::any_of(report.groups.begin(), report.groups.end(),
                  [](const ScanGroup& g) { return g.place != Place::kCurrent; });
  std::vector<std::string> header = {"RESOURCE", "OBJECTS", "STORED AS", "KEY", "STATE"};
  if (report.opened) header.push_back("OPENED");
  if (has_places) header.push_back("WHERE");
  Table table(header);
  for (const ScanGroup& group : report.groups) {
    const State state = StateOf(group);
    std::vector<std::string> row = {group.resource, absl::StrCat(group.objects),
                                    std::string(ToString(group.kind)), KeyOf(group), state.text};
    const State opened = OpenedOf(group);
    if (report.opened) row.push_back(opened.text);
    if (has_places) row.emplace_back(ToString(group.place));
    table.Add(std::move(row));
    table.SetTone(4, state.tone);
    if (report.opened) table.SetTone(5, opened.tone);
  }
  return table.ToString(colors);
}

std::string Findings(const ScanFindings& findings, absl::string_view title, Tone tone,
                     Colors colors) {
  if (findings.total == 0) return "";
  std::string text = absl::StrCat("\n", Painted(title, tone, colors), ": ", findings.total, "\n");
  const size_t shown = std::min(findings.first.size(), kShownFindings);
  for (size_t i = 0; i < shown; ++i) {
    const ScanFinding& finding = findings.first[i];
    absl::StrAppend(
        &text, "  ", Printable(finding.key),
        finding.place == Place::kCurrent ? "" : absl::StrCat(" (", ToString(finding.place), ")"),
        ": ", Printable(finding.reason), "\n");
  }
  if (findings.total > shown) {
    absl::StrAppend(&text, "  and ", findings.total - shown, " more; '-o json' lists ",
                    findings.total > ScanFindings::kMaxKept ? "the first 1000" : "all", "\n");
  }
  return text;
}

std::string Gaps(const SourceFacts& facts, Colors colors) {
  std::string text;
  for (const Gap& gap : facts.gaps) {
    absl::StrAppend(&text, "  ", Printable(gap.what), ": ", Printable(gap.why),
                    gap.cure.empty() ? "" : "; ", Printable(gap.cure), "\n");
  }
  if (text.empty()) return text;
  return absl::StrCat("\n", Painted("not read", Tone::kWarning, colors), "\n", text);
}

std::string Policy(const ScanOutcome& outcome, Colors colors) {
  if (!outcome.policy) return "";
  const PolicyResult& result = outcome.result;
  const Tone tone = result.verdict == PolicyVerdict::kMet        ? Tone::kGood
                    : result.verdict == PolicyVerdict::kViolated ? Tone::kBad
                                                                 : Tone::kWarning;
  std::string text =
      absl::StrCat("\npolicy ", Painted(ToString(result.verdict), tone, colors), "\n");
  for (const PolicyViolation& violation : result.violations) {
    absl::StrAppend(
        &text, "  ", Printable(violation.resource), " must be ", ToString(violation.level), ": ",
        violation.objects, " ", Printable(violation.what),
        !IsPast(violation.place) ? "" : absl::StrCat(" (", ToString(violation.place), ")"),
        ", such as ", Printable(violation.example_key), "\n");
  }
  for (const std::string& resource : result.none_found) {
    absl::StrAppend(&text, "  there are no ", resource == "*" ? "objects" : Printable(resource),
                    resource == "*" ? " at all\n" : ": is the name right?\n");
  }
  if (result.untold != 0) {
    absl::StrAppend(&text, "  of ", result.untold,
                    " values that etcd remembers it can't be told whether they are in clear\n");
  }
  return text;
}

// What etcd remembers of plaintext, by place.
std::string Remembered(const ScanReport& report) {
  uint64_t counts[5] = {};
  for (const ScanGroup& group : report.groups) {
    if (group.kind == StorageKind::kPlaintext && !group.never_encrypted) {
      counts[static_cast<size_t>(group.place)] += group.objects;
    }
  }
  std::string text;
  const auto add = [&](Place place, absl::string_view cure) {
    const uint64_t count = counts[static_cast<size_t>(place)];
    if (count == 0) return;
    absl::StrAppend(&text, "  ", count, " plaintext values in the ", ToString(place), ": ", cure,
                    "\n");
  };
  add(Place::kOldRevision, "'etcdctl compact REVISION' lets go of them");
  add(Place::kFreeSpace, "'etcdctl defrag', after compaction, rewrites the file without them");
  add(Place::kWal,
      "etcd keeps 5 segments of 64 MB; they go as it writes on and takes snapshots, or when the "
      "member is removed and added again with an empty folder");
  if (text.empty()) return text;
  return absl::StrCat("\nwhat etcd still remembers\n", text,
                      "  and every snapshot and backup of etcd that was made before has them too: "
                      "let those expire\n");
}

std::string WaysOut(const ScanReport& report) {
  if (DamagedObjects(report) == 0) return "";
  return "\nways out of damage\n"
         "  write the object again from its manifest or from a snapshot in which it opens "
         "('kekctl scan --decrypt --snapshot', 'kekctl recover')\n"
         "  or delete it unread: from Kubernetes 1.32 on with DeleteOptions' "
         "ignoreStoreReadErrorWithClusterBreakingPotential,\n"
         "  which skips finalizers and everything that hangs on them, and works on any read error, "
         "an outage of kekd too:\n"
         "  be sure, by this scan, that the object is damaged\n";
}

std::string Head(const ScanOutcome& outcome) {
  const SourceFacts& facts = outcome.report.facts;
  std::string text = absl::StrCat(facts.kind, " ", Printable(facts.name));
  if (facts.revision != 0) absl::StrAppend(&text, ", revision ", facts.revision);
  if (!facts.version.empty()) absl::StrAppend(&text, ", etcd ", Printable(facts.version));
  absl::StrAppend(&text, "\n");
  if (facts.other_keys != 0) {
    absl::StrAppend(&text, facts.other_keys,
                    " keys do not begin with a prefix that was asked for and are not counted\n");
  }
  return absl::StrCat(text, "\n");
}

}  // namespace

uint64_t DamagedObjects(const ScanReport& report) {
  uint64_t count = 0;
  for (const ScanGroup& group : report.groups) {
    if (IsPast(group.place)) continue;
    const uint64_t damaged = group.outcome(OpenOutcome::kDamaged);
    count += report.opened && group.kind == StorageKind::kKmsV2 ? damaged : group.undecodable;
  }
  return count;
}

uint64_t UntriedObjects(const ScanReport& report) {
  uint64_t count = 0;
  for (const ScanGroup& group : report.groups) {
    if (IsPast(group.place)) continue;
    count += group.outcome(OpenOutcome::kUnavailable) + group.outcome(OpenOutcome::kUnknownKey);
  }
  return count;
}

uint64_t OpenedObjects(const ScanReport& report) {
  uint64_t count = 0;
  for (const ScanGroup& group : report.groups) {
    if (!IsPast(group.place)) count += group.outcome(OpenOutcome::kOpened);
  }
  return count;
}

std::string ScanTable(const ScanOutcome& outcome, Colors colors) {
  const ScanReport& report = outcome.report;
  return absl::StrCat(Head(outcome), GroupTable(report, colors),
                      Findings(report.damaged, "damaged", Tone::kBad, colors),
                      Findings(report.undecodable, "undecodable", Tone::kBad, colors),
                      WaysOut(report),
                      Findings(report.past, "unreadable in what etcd remembers, which nobody reads",
                               Tone::kPlain, colors),
                      Remembered(report), Gaps(report.facts, colors), Policy(outcome, colors));
}

}  // namespace kekd
