#include "kms/ctl/migrate_output.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "kms/ctl/json_parts.h"
#include "kms/ctl/table.h"

namespace kekd {
namespace {

// The rest is in the JSON.
constexpr size_t kRefusalsShown = 20;

std::string ObjectName(const MigrationRefusal& refusal) {
  return refusal.namespace_name.empty()
             ? absl::StrCat(refusal.resource, " ", refusal.name)
             : absl::StrCat(refusal.resource, " ", refusal.namespace_name, "/", refusal.name);
}

// With the one that was under way, if it ended there.
std::vector<MigratedResource> ResourcesOf(const MigrationOutcome& outcome) {
  std::vector<MigratedResource> all = outcome.checkpoint.done;
  if (!outcome.checkpoint.resource.empty()) {
    all.push_back({.resource = outcome.checkpoint.resource,
                   .counts = outcome.checkpoint.counts,
                   .failure = "not finished"});
  }
  return all;
}

Json CountsObject(const MigrationCounts& counts) {
  return {{"written", counts.written},
          {"upToDate", counts.up_to_date},
          {"writtenByOthers", counts.by_others},
          {"refused", counts.refused}};
}

}  // namespace

std::string MigrationTable(const MigrationOutcome& outcome, Colors colors) {
  const std::vector<MigratedResource> all = ResourcesOf(outcome);
  std::string text;
  if (outcome.by_controller) {
    Table table({"RESOURCE", "RESULT"});
    for (const MigratedResource& one : all) {
      table.Add({one.resource, one.failure.empty() ? "migrated by the cluster" : one.failure});
      table.SetTone(1, one.failure.empty() ? Tone::kGood : Tone::kBad);
    }
    text = table.ToString(colors);
  } else {
    Table table({"RESOURCE", "WRITTEN", "UP TO DATE", "BY OTHERS", "REFUSED", "RESULT"});
    for (const MigratedResource& one : all) {
      const bool good = one.failure.empty() && one.counts.refused == 0;
      table.Add({one.resource, absl::StrCat(one.counts.written),
                 absl::StrCat(one.counts.up_to_date), absl::StrCat(one.counts.by_others),
                 absl::StrCat(one.counts.refused),
                 !one.failure.empty() ? one.failure : (good ? "complete" : "incomplete")});
      table.SetTone(5, good ? Tone::kGood : Tone::kBad);
    }
    text = table.ToString(colors);
  }
  const std::vector<MigrationRefusal>& refusals = outcome.checkpoint.refusals;
  const uint64_t refused = outcome.checkpoint.TotalCounts().refused;
  if (refused != 0) absl::StrAppend(&text, "\nRefused:\n");
  for (size_t i = 0; i < std::min(refusals.size(), kRefusalsShown); ++i) {
    absl::StrAppend(&text, "  ", Printable(ObjectName(refusals[i])), ": ",
                    Printable(refusals[i].reason), "\n");
  }
  if (refused > kRefusalsShown) {
    absl::StrAppend(&text, "  and ", refused - kRefusalsShown, " more; -o json has up to ",
                    MigrationCheckpoint::kMaxRefusals, "\n");
  }
  if (!outcome.problems.empty()) absl::StrAppend(&text, "\nNot looked at:\n");
  for (const DiscoveryProblem& problem : outcome.problems) {
    absl::StrAppend(&text, "  ", Printable(problem.what), ": ", Printable(problem.why), "\n");
  }
  return text;
}

std::string MigrationJson(const MigrationOutcome& outcome) {
  Json resources = Json::array();
  for (const MigratedResource& one : ResourcesOf(outcome)) {
    Json json = {{"resource", one.resource}, {"failure", TextOrNull(one.failure)}};
    if (!outcome.by_controller) json.update(CountsObject(one.counts));
    resources.push_back(std::move(json));
  }
  Json refused = Json::array();
  for (const MigrationRefusal& one : outcome.checkpoint.refusals) {
    refused.push_back({{"resource", one.resource},
                       {"namespace", TextOrNull(one.namespace_name)},
                       {"name", one.name},
                       {"reason", one.reason}});
  }
  Json problems = Json::array();
  for (const DiscoveryProblem& one : outcome.problems) {
    problems.push_back({{"what", one.what}, {"why", one.why}, {"storedHere", one.stored_here}});
  }
  Json json = {{"server", outcome.server},
               {"via", outcome.by_controller ? "storage-version-migration" : "client"},
               {"complete", outcome.complete},
               {"ended", TextOrNull(std::string(outcome.status.message()))},
               {"resources", std::move(resources)}};
  if (!outcome.by_controller) json["total"] = CountsObject(outcome.checkpoint.TotalCounts());
  json["refused"] = std::move(refused);
  json["notLookedAt"] = std::move(problems);
  return Dump(json);
}

}  // namespace kekd
