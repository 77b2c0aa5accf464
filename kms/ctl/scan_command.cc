#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/durable_file.h"
#include "base/status_macros.h"
#include "cluster/dek_source_opener.h"
#include "cluster/object_opener.h"
#include "cluster/scan.h"
#include "kms/ctl/commands.h"
#include "kms/ctl/etcd_options.h"
#include "kms/ctl/report_signature.h"
#include "kms/ctl/scan_keys.h"
#include "kms/ctl/scan_output.h"
#include "kms/ctl/scan_status.h"
#include "kms/ctl/terminal.h"

namespace kekd {
namespace {

// Reports name objects: not for everybody.
constexpr mode_t kReportMode = 0640;
// Prometheus' node exporter runs as a user of its own.
constexpr mode_t kMetricsMode = 0644;

std::string Join(const std::string& a, const std::string& b) {
  return absl::StrCat(a, a.empty() || b.empty() ? "" : "\n", b);
}

absl::Status WriteReport(FileSystem& fs, const ScanVerb& verb, const std::string& json) {
  std::string signature;
  if (!verb.signing_key.empty()) {
    KEKD_ASSIGN_OR_RETURN(signature, SignReport(fs, verb.signing_key, json));
  }
  KEKD_RETURN_IF_ERROR(CreateFileDurably(fs, verb.report, AsBytes(json), {.mode = kReportMode}));
  if (signature.empty()) return absl::OkStatus();
  return CreateFileDurably(fs, absl::StrCat(verb.report, ".sig"), AsBytes(signature),
                           {.mode = kReportMode});
}

// What goes wrong with files is told before minutes of reading, as far as it can be.
absl::Status CheckFiles(FileSystem& fs, const ScanVerb& verb) {
  if (!verb.signing_key.empty()) {
    KEKD_RETURN_IF_ERROR(SignReport(fs, verb.signing_key, "").status());
  }
  if (!verb.metrics.empty()) {
    const absl::StatusOr<FileInfo> there = fs.GetInfo(verb.metrics);
    if (there.ok() && there->type != FileType::kRegular) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--metrics ", verb.metrics, " is no plain file, and would be replaced by one"));
    }
  }
  if (verb.report.empty()) return absl::OkStatus();
  for (const std::string& path : {verb.report, absl::StrCat(verb.report, ".sig")}) {
    absl::Status there = fs.GetInfo(path).status();
    if (there.ok()) {
      return absl::AlreadyExistsError(
          absl::StrCat(path, " is there already; a report goes to a new file"));
    }
    if (!absl::IsNotFound(there)) return there;
  }
  return absl::OkStatus();
}

absl::StatusOr<ScanReport> ReadAll(const CommandContext& context, const ScanVerb& verb,
                                   const ScanKeys& keys, ObjectOpener* opener) {
  KEKD_ASSIGN_OR_RETURN(const std::unique_ptr<EtcdSource> etcd, OpenEtcd(*context.fs, verb.etcd));
  ReadRange range;
  if (!verb.etcd.prefixes.empty()) range.prefixes = verb.etcd.prefixes;
  range.history = verb.history;
  Scanner scanner({.prefixes = range.prefixes,
                   .catalog = keys.catalog.empty() ? nullptr : &keys.catalog,
                   .foreign_providers = verb.foreign_providers,
                   .opener = opener});
  Progress progress({.what = "scanning", .style = context.progress});
  absl::StatusOr<SourceFacts> facts = etcd->Read(
      range, [&](const StoredObject& object) { return scanner.Visit(object); },
      [&](uint64_t done, uint64_t total) { progress.Update(done, total); });
  if (!facts.ok()) {
    // A file that is in use or not there is a matter of what was named; a server's answer is not.
    return verb.etcd.endpoints.empty() ? facts.status() : NothingProven(facts.status());
  }
  return std::move(scanner).Finish(*std::move(facts));
}

// The gravest of what was found, and what to say about it.
void Judge(const ScanOutcome& outcome, CommandResult& result) {
  const ScanReport& report = outcome.report;
  const uint64_t untried = UntriedObjects(report);
  const auto unproven = [&](const std::string& why) {
    result.exit_code = kExitUnreachable;
    result.note = Join(result.note, why);
  };
  if (!report.complete()) {
    unproven("not everything could be read: nothing is proven of the rest");
  }
  if (untried != 0) {
    unproven(absl::StrCat(untried,
                          " objects could not be tried, as their key could not be had: these may "
                          "be the wrong keys; --foreign-provider NAME leaves out what another "
                          "plugin encrypted"));
  }
  if (report.opened && OpenedObjects(report) == 0) {
    unproven("not one object was opened: that these keys open anything is not proven");
  }
  if (outcome.policy && outcome.result.verdict == PolicyVerdict::kNotProven) {
    unproven("the policy is not proven to be met");
  }
  if (outcome.policy && outcome.result.verdict == PolicyVerdict::kViolated) {
    result.exit_code = kExitFailure;
    result.note = Join(result.note, "the policy is violated");
  }
  const bool source_is_damaged = std::any_of(report.facts.gaps.begin(), report.facts.gaps.end(),
                                             [](const Gap& gap) { return gap.damaged; });
  if (source_is_damaged || DamagedObjects(report) != 0) {
    result.exit_code = kExitIntegrity;
    result.note = Join(
        result.note, source_is_damaged ? "what was read is damaged" : "there are damaged objects");
  }
}

// A keyring that is missing keeps the policy from being proven if it speaks of keyrings; else the
// scan says less than it could.
void NoteMissing(const ScanKeys& keys, ScanOutcome& outcome, CommandResult& result) {
  const bool needs_keyrings = outcome.policy && outcome.policy->NeedsKeyrings();
  for (const Gap& gap : keys.missing) {
    if (needs_keyrings) {
      outcome.report.keyrings_missing = true;
      outcome.report.facts.gaps.push_back(gap);
    } else {
      result.note = Join(result.note, absl::StrCat(gap.what, ": ", gap.why));
    }
  }
}

// What was named and is not there is a matter of the command line, and what is wrong with the files
// of keyrings is not.
absl::StatusOr<ScanKeys> LoadKeys(const CommandContext& context, const ScanVerb& verb) {
  absl::StatusOr<ScanKeys> keys =
      verb.decrypt ? LoadOpenKeys(context, verb.keys) : LoadKeyIds(context, verb.keys);
  if (keys.ok()) return keys;
  const bool names_nothing =
      absl::IsNotFound(keys.status()) &&
      (!verb.keys.backup.empty() || context.config == nullptr ||
       (!context.keyring.empty() && !context.config->FindKeyring(context.keyring).ok()));
  if (names_nothing) return keys;
  return NothingProven(keys.status());
}

absl::StatusOr<CommandResult> ScanAll(const CommandContext& context, const ScanVerb& verb) {
  ScanOutcome outcome;
  if (!verb.policy.empty()) {
    KEKD_ASSIGN_OR_RETURN(outcome.policy, ScanPolicy::Parse(verb.policy));
  }
  KEKD_RETURN_IF_ERROR(CheckFiles(*context.fs, verb));
  KEKD_ASSIGN_OR_RETURN(const ScanKeys keys, LoadKeys(context, verb));
  if (outcome.policy && outcome.policy->NeedsKeyrings() && keys.catalog.empty() &&
      keys.missing.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the policy speaks of keys of these keyrings, and none could be read: ", keys.note));
  }
  outcome.begin = context.now;
  const std::unique_ptr<const DekSourceOpener> sources =
      CreateKeyringDekSourceOpener(keys.keyrings);
  ObjectOpener opener(*sources);
  KEKD_ASSIGN_OR_RETURN(outcome.report,
                        ReadAll(context, verb, keys, verb.decrypt ? &opener : nullptr));
  outcome.end = absl::Now();
  outcome.keys_from = keys.from;
  outcome.foreign_providers = verb.foreign_providers;
  CommandResult result;
  result.note = keys.note;
  NoteMissing(keys, outcome, result);
  if (outcome.policy) outcome.result = outcome.policy->Evaluate(outcome.report);

  const std::string json = ScanJson(outcome);
  result.output = context.format == OutputFormat::kJson ? json : ScanTable(outcome, context.colors);
  Judge(outcome, result);
  if (!verb.report.empty()) KEKD_RETURN_IF_ERROR(WriteReport(*context.fs, verb, json));
  if (!verb.metrics.empty()) {
    KEKD_RETURN_IF_ERROR(ReplaceFileDurably(*context.fs, verb.metrics,
                                            AsBytes(ScanMetrics(outcome)), {.mode = kMetricsMode}));
  }
  return result;
}

}  // namespace

absl::StatusOr<CommandResult> Scan(const CommandContext& context, const ScanVerb& verb) {
  absl::StatusOr<CommandResult> result = ScanAll(context, verb);
  if (!result.ok()) return NeverViolated(result.status());
  return result;
}

}  // namespace kekd
