#include "kms/ctl/encryption_config.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "kms/ctl/commands.h"
#include "kms/ctl/json_output.h"

namespace kekd {
namespace {

constexpr size_t kMaxProviderNameBytes = 253;

constexpr char kPhase1[] =
    R"(# phase 1: every API server learns to read through kekd, none writes through it yet.
# Give it to each API server (--encryption-provider-config) and restart that; go on to phase 2
# when all of them run with it.
)";

constexpr char kPhase2[] =
    R"(# phase 2: API servers encrypt what they write; what is stored already stays as it is.
# When all of them run with it, write everything once more, for example:
#   kubectl get secrets --all-namespaces -o json | kubectl replace -f -
# Keep identity: it reads what is not encrypted yet. Remove it only after everything has been
# written again: then nothing that is not encrypted is accepted from etcd any more.
)";

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

std::string Document(const EncryptionConfigOptions& options, int phase) {
  std::string resources;
  for (const std::string& resource : options.resources) {
    absl::StrAppend(&resources, "  - ", YamlText(resource), "\n");
  }
  const std::string kms = absl::StrCat("  - kms:\n",                                           //
                                       "      apiVersion: v2\n",                               //
                                       "      name: ", YamlText(options.provider_name), "\n",  //
                                       "      endpoint: ", options.endpoint, "\n",             //
                                       "      timeout: 3s\n");
  const std::string identity = "  - identity: {}\n";
  return absl::StrCat(phase == 1 ? kPhase1 : kPhase2,
                      "apiVersion: apiserver.config.k8s.io/v1\n"
                      "kind: EncryptionConfiguration\n"
                      "resources:\n"
                      "- resources:\n",
                      resources,
                      "  providers:\n",  //
                      phase == 1 ? identity : kms, phase == 1 ? kms : identity);
}

absl::Status ValidateResource(absl::string_view resource) {
  const bool good =
      !resource.empty() && resource.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789.-*") ==
                               absl::string_view::npos;
  if (good) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "\"", absl::Utf8SafeCHexEscape(resource),
      "\" is no resource; write it as kube-apiserver does: secrets, configmaps, deployments.apps, "
      "*.example.com"));
}

}  // namespace

absl::Status ValidateEncryptionConfig(const EncryptionConfigOptions& options) {
  const std::string& name = options.provider_name;
  const bool good_name = !name.empty() && name.size() <= kMaxProviderNameBytes &&
                         std::all_of(name.begin(), name.end(), [](char c) {
                           return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' ||
                                  c == '_' || c == '-';
                         });
  if (!good_name) {
    return absl::InvalidArgumentError(
        absl::StrCat("provider name \"", absl::Utf8SafeCHexEscape(name), "\" must be 1 to ",
                     kMaxProviderNameBytes,
                     " letters, digits, '.', '_' and '-': it is part of every value in "
                     "etcd, before a ':'"));
  }
  for (size_t i = 0; i < options.resources.size(); ++i) {
    KEKD_RETURN_IF_ERROR(ValidateResource(options.resources[i]));
    const auto begin = options.resources.begin();
    const auto here = begin + static_cast<std::ptrdiff_t>(i);
    if (std::find(begin, here, *here) != here) {
      return absl::InvalidArgumentError(
          absl::StrCat("resource \"", *here, "\" is given a second time"));
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
  KEKD_ASSIGN_OR_RETURN(const KeyringConfig* const keyring,
                        context.config->FindKeyring(context.keyring));
  const EncryptionConfigOptions options = {
      .provider_name =
          verb.provider_name.empty() ? absl::StrCat("kekd-", keyring->name) : verb.provider_name,
      .endpoint = keyring->socket.Endpoint(),
      .resources = verb.resources,
      .phase = verb.phase};
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
