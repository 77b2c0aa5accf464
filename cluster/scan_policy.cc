#include "cluster/scan_policy.h"

#include <algorithm>
#include <map>
#include <optional>
#include <tuple>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "cluster/object_key.h"
#include "cluster/storage_value.h"

namespace kekd {
namespace {

constexpr absl::string_view kAll = "*";
constexpr PolicyLevel kLevels[] = {PolicyLevel::kEncrypted, PolicyLevel::kKms, PolicyLevel::kOurs,
                                   PolicyLevel::kPrimary};

std::string Quoted(absl::string_view text) {
  return absl::StrCat("\"", absl::Utf8SafeCHexEscape(text.substr(0, 128)), "\"");
}

std::optional<PolicyLevel> LevelNamed(absl::string_view name) {
  for (const PolicyLevel level : kLevels) {
    if (name == ToString(level)) return level;
  }
  return std::nullopt;
}

bool IsResource(absl::string_view text) {
  constexpr absl::string_view kLetters = "abcdefghijklmnopqrstuvwxyz0123456789-.";
  return !text.empty() && text.find_first_not_of(kLetters) == absl::string_view::npos &&
         text.front() != '.' && text.back() != '.' && !absl::StrContains(text, "..");
}

absl::StatusOr<PolicyRule> ParseRule(absl::string_view text) {
  const size_t equals = text.find('=');
  const std::optional<PolicyLevel> level =
      equals == absl::string_view::npos ? std::nullopt : LevelNamed(text.substr(equals + 1));
  if (!level) {
    return absl::InvalidArgumentError(
        absl::StrCat("rule ", Quoted(text),
                     ": write RESOURCE=LEVEL, with the level encrypted, kms, ours or primary"));
  }
  const absl::string_view resource = text.substr(0, equals);
  if (resource != kAll && !IsResource(resource)) {
    return absl::InvalidArgumentError(
        absl::StrCat("rule ", Quoted(text), ": ", Quoted(resource),
                     " is no resource: write it as secrets or deployments.apps, or * for all that "
                     "no other rule names"));
  }
  if (IsNeverEncrypted(resource)) {
    return absl::InvalidArgumentError(absl::StrCat("rule ", Quoted(text),
                                                   ": kube-apiserver never encrypts ", resource,
                                                   ": leave the rule out"));
  }
  return PolicyRule{std::string(resource.data(), resource.size()), *level};
}

std::string KeyOf(const ScanGroup& group) {
  if (!group.key) return "";
  return absl::StrCat("version ", group.key->version, " of keyring \"", group.key->keyring, "\"");
}

// Whether its key may be of a keyring that could not be had.
bool MayBeOfMissing(const ScanGroup& group, const ScanReport& report) {
  return report.keyrings_missing && !group.key && !group.key_id.empty();
}

// What is wrong with how a group is encrypted, or nothing. Values of the past are what they are:
// only that anyone can read them counts.
std::string OffenceOf(const ScanGroup& group, PolicyLevel level, const ScanReport& report) {
  if (group.kind == StorageKind::kPlaintext) return "in clear";
  if (IsPast(group.place)) return "";
  if (group.kind == StorageKind::kUnknownProvider) return "of a provider that is not known";
  if (group.kind == StorageKind::kUnrecognised) return "of a form that is not known";
  if (level == PolicyLevel::kEncrypted) return "";
  if (group.kind != StorageKind::kKmsV2) {
    return absl::StrCat("encrypted by ", ToString(group.kind), ", not by KMS v2");
  }
  // Folded groups are a gap of the report: whose keys they are under is not known.
  if (level == PolicyLevel::kKms || group.resource == ScanReport::kOtherResources) return "";
  if (group.key_id.empty()) {
    return group.undecodable == group.objects ? "" : "under a key that can't be told";
  }
  if (MayBeOfMissing(group, report)) return "";
  if (!group.key) return "under a key that is in none of the keyrings";
  if (group.freshness == Freshness::kDestroyed) {
    return absl::StrCat("under ", KeyOf(group), ", which has been destroyed");
  }
  if (level == PolicyLevel::kPrimary && group.freshness != Freshness::kPrimary) {
    return absl::StrCat("under ", KeyOf(group), ", which is not the primary");
  }
  return "";
}

// Adds what the group breaks. Groups that differ in a name only make one violation.
class Violations final {
 public:
  void Add(const ScanGroup& group, PolicyLevel level, std::string what, uint64_t objects) {
    PolicyViolation& violation = violations_[{group.resource, group.place, what}];
    if (violation.objects == 0) {
      violation = {.resource = group.resource,
                   .level = level,
                   .place = group.place,
                   .what = std::move(what),
                   .example_key = group.example_key};
    }
    violation.objects += objects;
  }

  std::vector<PolicyViolation> Take() && {
    std::vector<PolicyViolation> all;
    all.reserve(violations_.size());
    for (auto& [name, violation] : violations_) all.push_back(std::move(violation));
    return all;
  }

 private:
  std::map<std::tuple<std::string, Place, std::string>, PolicyViolation> violations_;
};

}  // namespace

absl::string_view ToString(PolicyLevel level) {
  switch (level) {
    case PolicyLevel::kEncrypted:
      return "encrypted";
    case PolicyLevel::kKms:
      return "kms";
    case PolicyLevel::kOurs:
      return "ours";
    case PolicyLevel::kPrimary:
      return "primary";
  }
  return "?";
}

absl::string_view ToString(PolicyVerdict verdict) {
  switch (verdict) {
    case PolicyVerdict::kMet:
      return "met";
    case PolicyVerdict::kNotProven:
      return "not proven";
    case PolicyVerdict::kViolated:
      return "violated";
  }
  return "?";
}

absl::StatusOr<ScanPolicy> ScanPolicy::Parse(absl::Span<const std::string> rules) {
  std::vector<PolicyRule> parsed;
  for (const std::string& text : rules) {
    KEKD_ASSIGN_OR_RETURN(PolicyRule rule, ParseRule(text));
    const bool twice = std::any_of(parsed.begin(), parsed.end(), [&](const PolicyRule& other) {
      return other.resource == rule.resource;
    });
    if (twice) {
      return absl::InvalidArgumentError(
          absl::StrCat("there are two rules for ", Quoted(rule.resource)));
    }
    parsed.push_back(std::move(rule));
  }
  return ScanPolicy(std::move(parsed));
}

bool ScanPolicy::NeedsKeyrings() const {
  return std::any_of(rules_.begin(), rules_.end(), [](const PolicyRule& rule) {
    return rule.level == PolicyLevel::kOurs || rule.level == PolicyLevel::kPrimary;
  });
}

const PolicyRule* ScanPolicy::RuleFor(const ScanGroup& group) const {
  const PolicyRule* all = nullptr;
  for (const PolicyRule& rule : rules_) {
    if (rule.resource == group.resource) return &rule;
    if (rule.resource == kAll) all = &rule;
  }
  return group.never_encrypted ? nullptr : all;
}

PolicyResult ScanPolicy::Evaluate(const ScanReport& report) const {
  PolicyResult result;
  result.history = report.facts.history;
  Violations violations;
  for (const ScanGroup& group : report.groups) {
    const PolicyRule* const rule = RuleFor(group);
    // Remains in clear of which the key is lost: they may be of any resource that has a rule.
    const bool may_have_a_rule = group.kind == StorageKind::kPlaintext && IsPast(group.place) &&
                                 group.resource == kUnknownResource;
    if (rule == nullptr && may_have_a_rule) result.untold += group.objects;
    if (rule == nullptr) continue;
    const std::string offence = OffenceOf(group, rule->level, report);
    if (!offence.empty()) {
      violations.Add(group, rule->level, offence, group.objects);
    } else if (group.undecodable != 0 && !IsPast(group.place)) {
      violations.Add(group, rule->level, "damaged: nothing can decode it", group.undecodable);
    }
    // Remains without their beginning: in clear for all that can be told.
    if (IsPast(group.place) && group.kind == StorageKind::kUnrecognised) {
      result.untold += group.objects;
    }
  }
  result.violations = std::move(violations).Take();
  for (const PolicyRule& rule : rules_) {
    // Everything may well be named by other rules.
    const bool found =
        std::any_of(report.groups.begin(), report.groups.end(), [&](const ScanGroup& group) {
          const PolicyRule* const its = IsPast(group.place) ? nullptr : RuleFor(group);
          return rule.resource == kAll ? its != nullptr : its == &rule;
        });
    if (!found) result.none_found.push_back(rule.resource);
  }
  if (!result.violations.empty()) {
    result.verdict = PolicyVerdict::kViolated;
  } else if (!report.complete() || !result.none_found.empty() || result.untold != 0) {
    result.verdict = PolicyVerdict::kNotProven;
  }
  return result;
}

}  // namespace kekd
