// What an operator demands of etcd, and whether a scan proves it.
#ifndef KEKD_CLUSTER_SCAN_POLICY_H_
#define KEKD_CLUSTER_SCAN_POLICY_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "cluster/scan_report.h"
#include "cluster/stored_object.h"

namespace kekd {

// Each demands what those before it do, and more.
enum class PolicyLevel {
  kEncrypted,  // no plaintext, and nothing that can't be decoded
  kKms,        // by KMS v2 only
  kOurs,       // under a key of the given keyrings
  kPrimary,    // under a primary of them
};

absl::string_view ToString(PolicyLevel level);  // "encrypted", "kms", "ours", "primary"

struct PolicyRule {
  std::string resource;  // "secrets", "deployments.apps", or "*": all that no other rule names
  PolicyLevel level = PolicyLevel::kEncrypted;
};

struct PolicyViolation {
  std::string resource;
  PolicyLevel level = PolicyLevel::kEncrypted;  // what was demanded
  Place place = Place::kCurrent;
  std::string what;  // of the objects: "in clear", "encrypted by aescbc, not by KMS v2", …
  uint64_t objects = 0;
  std::string example_key;  // of etcd: escape it where it is printed
};

enum class PolicyVerdict {
  kMet,
  kNotProven,  // nothing was found against it, and not everything was seen
  kViolated,
};

absl::string_view ToString(PolicyVerdict verdict);  // "met", "not proven", "violated"

struct PolicyResult {
  PolicyVerdict verdict = PolicyVerdict::kMet;
  std::vector<PolicyViolation> violations;  // by resource
  // Resources of rules of which there is no current object: nothing is proven by a name that may be
  // misspelt. "*" if there is no object at all.
  std::vector<std::string> none_found;
  uint64_t untold = 0;   // values of the past under a rule of which the form can't be told
  bool history = false;  // the past was looked at too
};

// ScanPolicy is a set of rules. A value.
class ScanPolicy final {
 public:
  // Each is RESOURCE=LEVEL. InvalidArgument, naming what is allowed, for anything else, for a
  // resource that is named twice, and for one that kube-apiserver never encrypts.
  static absl::StatusOr<ScanPolicy> Parse(absl::Span<const std::string> rules);

  const std::vector<PolicyRule>& rules() const { return rules_; }
  // Whether a rule can only be met with keyrings to compare with.
  bool NeedsKeyrings() const;

  // What is current and pending has to be as the rule of its resource demands. Of the past, if it
  // was read, only plaintext counts, which whoever has the file can read as well, and what can't be
  // told leaves it unproven; so does a key that may be of a keyring that is missing. What
  // kube-apiserver never encrypts is exempt.
  PolicyResult Evaluate(const ScanReport& report) const;

 private:
  explicit ScanPolicy(std::vector<PolicyRule> rules) : rules_(std::move(rules)) {}
  const PolicyRule* RuleFor(const ScanGroup& group) const;  // null if none demands anything

  std::vector<PolicyRule> rules_;
};

}  // namespace kekd

#endif  // KEKD_CLUSTER_SCAN_POLICY_H_
