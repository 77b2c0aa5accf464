#include "kms/ctl/encryption_config.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"
#include "kms/ctl/commands.h"
#include "kms/ctl/json_output.h"

namespace kekd {
namespace {

constexpr size_t kMaxProviderNameBytes = 253;
constexpr char kAny[] = "*";

constexpr char kPhase1[] =
    R"(# phase 1: every API server learns to read through kekd, none writes through it yet.
# Give it to each API server (--encryption-provider-config) and restart that; go on to phase 2
# when all of them run with it.
)";

constexpr char kPhase2Begin[] =
    R"(# phase 2: API servers encrypt what they write; what is stored already stays as it is.
# When all of them run with it, write everything once more, for example:
)";

constexpr char kPhase2End[] =
    R"(# Keep identity: it reads what is not encrypted yet. Remove it only after everything has been
# written again: then nothing that is not encrypted is accepted from etcd any more.
)";

// A resource as kube-apiserver reads it: all up to the first dot, and the group behind it.
struct GroupResource {
  std::string resource;
  std::string group;  // empty: the core group

  static GroupResource Parse(absl::string_view text) {
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(text, absl::MaxSplits('.', 1));
    return {std::string(parts.first), std::string(parts.second)};
  }

  bool IsEverything() const { return resource == kAny && group == kAny; }
  // How it is written: only the wildcard of the core group needs its dot.
  std::string Text() const {
    return group.empty() && resource != kAny ? resource : absl::StrCat(resource, ".", group);
  }
  // 0: one resource, 1: a group, 2: everything.
  int Width() const { return resource != kAny ? 0 : group != kAny ? 1 : 2; }
  // Whether a rule for this one leaves nothing of `other` to a later one.
  bool Covers(const GroupResource& other) const {
    return IsEverything() || (resource == kAny && group == other.group);
  }
  friend bool operator==(const GroupResource& a, const GroupResource& b) {
    return a.resource == b.resource && a.group == b.group;
  }
};

bool IsPlainInYaml(absl::string_view text) {
  if (text.empty() || !absl::ascii_islower(static_cast<unsigned char>(text[0]))) return false;
  for (const absl::string_view word :
       {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}) {
    if (text == word) return false;  // of a YAML 1.1 reader's booleans
  }
  return text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789.-") ==
         absl::string_view::npos;
}

// Validated texts need no escapes between quotes.
std::string YamlText(absl::string_view text) {
  return IsPlainInYaml(text) ? std::string(text) : absl::StrCat("\"", text, "\"");
}

// The command that writes everything again, which can't name what is behind a wildcard.
std::string RewriteComment(const EncryptionConfigOptions& options) {
  std::vector<std::string> named;
  bool wildcards = false;
  for (const EncryptionRule& rule : options.rules) {
    for (const std::string& resource : rule.resources) {
      if (absl::StrContains(resource, kAny)) {
        wildcards = true;
      } else {
        named.push_back(resource);
      }
    }
  }
  std::string comment;
  if (!named.empty()) {
    comment = absl::StrCat("#   kubectl get ", absl::StrJoin(named, ","),
                           " --all-namespaces -o json | kubectl replace -f -\n");
  }
  if (wildcards) {
    absl::StrAppend(&comment, "# and so on for every resource that a wildcard stands for.\n");
  }
  return comment;
}

std::string Document(const EncryptionConfigOptions& options, int phase) {
  std::string text = phase == 1 ? std::string(kPhase1)
                                : absl::StrCat(kPhase2Begin, RewriteComment(options), kPhase2End);
  absl::StrAppend(&text,
                  "apiVersion: apiserver.config.k8s.io/v1\n"
                  "kind: EncryptionConfiguration\n"
                  "resources:\n");
  for (const EncryptionRule& rule : options.rules) {
    absl::StrAppend(&text, "- resources:\n");
    for (const std::string& resource : rule.resources) {
      absl::StrAppend(&text, "  - ", YamlText(resource), "\n");
    }
    const std::string kms = absl::StrCat("  - kms:\n",                                        //
                                         "      apiVersion: v2\n",                            //
                                         "      name: ", YamlText(rule.provider_name), "\n",  //
                                         "      endpoint: ", rule.endpoint, "\n",             //
                                         "      timeout: 3s\n");
    const std::string identity = "  - identity: {}\n";
    absl::StrAppend(&text, "  providers:\n", phase == 1 ? identity : kms,
                    phase == 1 ? kms : identity);
  }
  return text;
}

// Of a resource or of one part of a group's name.
bool IsLabel(absl::string_view text) {
  return !text.empty() && text.front() != '-' && text.back() != '-' &&
         text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == absl::string_view::npos;
}

bool IsGroup(absl::string_view text) {
  const std::vector<absl::string_view> labels = absl::StrSplit(text, '.');
  return text.empty() || text == kAny || std::all_of(labels.begin(), labels.end(), IsLabel);
}

// Why kube-apiserver would refuse it, or null.
const char* RefusalOf(absl::string_view text, const GroupResource& parsed) {
  if (text == kAny) {
    return "write \"*.\" for everything in the core group, or \"*.*\" for everything";
  }
  if ((parsed.resource != kAny && !IsLabel(parsed.resource)) || !IsGroup(parsed.group)) {
    return "write it as kube-apiserver does: secrets, configmaps, deployments.apps, *.example.com";
  }
  if (parsed.group == kAny && parsed.resource != kAny) {
    return "kube-apiserver can't encrypt one resource across all groups; name its group";
  }
  if (parsed.group == "events.k8s.io") return "its objects are stored as \"events\"; write that";
  if (parsed.group == "extensions") return "Kubernetes has removed that group";
  if (parsed.group.empty() &&
      (parsed.resource == "apiserveripinfo" || parsed.resource == "serviceipallocations" ||
       parsed.resource == "servicenodeportallocations")) {
    return "kube-apiserver never encrypts it";
  }
  return nullptr;
}

absl::Status ValidateResource(absl::string_view resource) {
  const char* const refusal = RefusalOf(resource, GroupResource::Parse(resource));
  if (refusal == nullptr) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("\"", absl::Utf8SafeCHexEscape(resource), "\" can't be encrypted: ", refusal));
}

absl::Status ValidateProviderName(absl::string_view name) {
  const bool good = !name.empty() && name.size() <= kMaxProviderNameBytes &&
                    std::all_of(name.begin(), name.end(), [](char c) {
                      return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' ||
                             c == '_' || c == '-';
                    });
  if (good) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "provider name \"", absl::Utf8SafeCHexEscape(name), "\" must be 1 to ", kMaxProviderNameBytes,
      " letters, digits, '.', '_' and '-': it is part of every value in "
      "etcd, before a ':'"));
}

// Whether `later` may follow `earlier`, both valid; `same_rule` if they are of one list.
absl::Status ValidatePair(const GroupResource& earlier, const GroupResource& later,
                          bool same_rule) {
  if (earlier == later) {
    return absl::InvalidArgumentError(
        absl::StrCat("resource \"", later.Text(), "\" is given a second time"));
  }
  if (same_rule && (earlier.Covers(later) || later.Covers(earlier))) {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", earlier.Text(), "\" and \"", later.Text(),
        "\" overlap, which kube-apiserver refuses in one list; leave the narrower one out, or use "
        "--per-resource"));
  }
  if (earlier.Covers(later)) {
    return absl::InvalidArgumentError(absl::StrCat("the rule for \"", later.Text(),
                                                   "\" must come before the one for \"",
                                                   earlier.Text(), "\", which masks it"));
  }
  return absl::OkStatus();
}

// The part of a provider's name that says which resource it is for: "secrets", "deployments.apps",
// "all" (of the core group), "all.apps", "all.all".
std::string NameOf(const GroupResource& resource) {
  const auto word = [](const std::string& text) { return text == kAny ? "all" : text; };
  return resource.group.empty() ? std::string(word(resource.resource))
                                : absl::StrCat(word(resource.resource), ".", word(resource.group));
}

EncryptionRule RuleFor(const KeyringConfig& keyring, absl::string_view resource,
                       const EncryptionConfigVerb& verb) {
  const GroupResource parsed = GroupResource::Parse(resource);
  const std::string base =
      verb.provider_name.empty() ? absl::StrCat("kekd-", keyring.name) : verb.provider_name;
  return {.resources = {std::string(resource)},
          .provider_name = absl::StrCat(base, "-", NameOf(parsed)),
          .endpoint = keyring.socket.Endpoint()};
}

}  // namespace

absl::StatusOr<EncryptionConfigOptions> MakeEncryptionConfig(const Config& config,
                                                             absl::string_view keyring,
                                                             const EncryptionConfigVerb& verb) {
  EncryptionConfigOptions options;
  options.phase = verb.phase;
  if (!verb.map.empty()) {
    if (verb.per_resource || !keyring.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--map names resources and keyrings by itself, one entry each; leave ",
                       verb.per_resource ? "--per-resource" : "--keyring", " out"));
    }
    for (const ResourceOfKeyring& pair : verb.map) {
      KEKD_ASSIGN_OR_RETURN(const KeyringConfig* const found, config.FindKeyring(pair.keyring));
      options.rules.push_back(RuleFor(*found, pair.resource, verb));
    }
  } else {
    KEKD_ASSIGN_OR_RETURN(const KeyringConfig* const found, config.FindKeyring(keyring));
    if (verb.per_resource) {
      for (const std::string& resource : verb.resources) {
        options.rules.push_back(RuleFor(*found, resource, verb));
      }
    } else {
      options.rules.push_back({.resources = verb.resources,
                               .provider_name = verb.provider_name.empty()
                                                    ? absl::StrCat("kekd-", found->name)
                                                    : verb.provider_name,
                               .endpoint = found->socket.Endpoint()});
    }
  }
  std::stable_sort(options.rules.begin(), options.rules.end(),
                   [](const EncryptionRule& a, const EncryptionRule& b) {
                     return GroupResource::Parse(a.resources.front()).Width() <
                            GroupResource::Parse(b.resources.front()).Width();
                   });
  return options;
}

absl::Status ValidateEncryptionConfig(const EncryptionConfigOptions& options) {
  std::set<std::string> names;
  std::map<std::string, size_t> rules_of_endpoint;
  struct Seen {
    GroupResource resource;
    const EncryptionRule* rule;
  };
  std::vector<Seen> seen;
  for (const EncryptionRule& rule : options.rules) {
    KEKD_RETURN_IF_ERROR(ValidateProviderName(rule.provider_name));
    if (!names.insert(rule.provider_name).second) {
      return absl::InvalidArgumentError(absl::StrCat("two entries are named \"", rule.provider_name,
                                                     "\"; kube-apiserver wants each name once"));
    }
    if (++rules_of_endpoint[rule.endpoint] > kMaxRulesPerEndpoint) {
      return absl::InvalidArgumentError(absl::StrCat(
          "more than ", kMaxRulesPerEndpoint, " entries on one socket: kube-apiserver opens a ",
          "connection each, and kekd takes no more; let some resources share one"));
    }
    for (const std::string& resource : rule.resources) {
      KEKD_RETURN_IF_ERROR(ValidateResource(resource));
      Seen here{GroupResource::Parse(resource), &rule};
      for (const Seen& earlier : seen) {
        KEKD_RETURN_IF_ERROR(
            ValidatePair(earlier.resource, here.resource, earlier.rule == here.rule));
      }
      seen.push_back(std::move(here));
    }
  }
  return absl::OkStatus();
}

std::string EncryptionConfigYaml(const EncryptionConfigOptions& options) {
  if (options.phase.has_value()) return Document(options, *options.phase);
  return absl::StrCat(Document(options, 1), "---\n", Document(options, 2));
}

absl::StatusOr<CommandResult> PrintEncryptionConfig(const CommandContext& context,
                                                    const EncryptionConfigVerb& verb) {
  KEKD_ASSIGN_OR_RETURN(const EncryptionConfigOptions options,
                        MakeEncryptionConfig(*context.config, context.keyring, verb));
  KEKD_RETURN_IF_ERROR(ValidateEncryptionConfig(options));
  CommandResult result;
  if (!options.phase.has_value()) {
    result.note =
        "these are two files: of one with both, kube-apiserver reads phase 1 only, which encrypts "
        "nothing; write them with --phase 1 and --phase 2";
  }
  result.output = context.format == OutputFormat::kJson ? EncryptionConfigJson(options)
                                                        : EncryptionConfigYaml(options);
  return result;
}

}  // namespace kekd
