#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"
#include "kms/ctl/command_tree.h"

namespace kekd {
namespace {

absl::StatusOr<Verb> ReadCheck(const VerbArguments& given) {
  KEKD_ASSIGN_OR_RETURN(const uint32_t count, given.ReadNumber<uint32_t>("--count", 0, 1000000));
  return CheckVerb{count};
}

absl::StatusOr<Verb> ReadEncryptionConfig(const VerbArguments& given) {
  EncryptionConfigVerb verb;
  if (given.Has("--map") && given.Has("--resources")) {
    return absl::InvalidArgumentError(
        "--map names the resources by itself; leave --resources out, or --map");
  }
  verb.resources = {"secrets"};
  if (given.Has("--resources")) verb.resources = absl::StrSplit(given.Text("--resources"), ',');
  verb.per_resource = given.Has("--per-resource");
  for (const std::string& text : given.All("--map")) {
    const std::vector<std::string> parts = absl::StrSplit(text, '=');
    if (parts.size() != 2 || parts[0].empty() || parts[1].empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--map must be RESOURCE=KEYRING, such as secrets=prod, and is \"",
                       absl::Utf8SafeCHexEscape(text), "\""));
    }
    verb.map.push_back({parts[0], parts[1]});
  }
  verb.provider_name = given.Text("--provider-name");
  if (given.Has("--phase")) {
    KEKD_ASSIGN_OR_RETURN(verb.phase, given.ReadNumber<int>("--phase", 1, 2));
  }
  return verb;
}

}  // namespace

VerbSection LookingVerbs() {
  return {
      .title = "Looking",
      .groups = {{.path = "config", .summary = "look after the configuration"}},
      .verbs = {
          {
              .path = "status",
              .summary = "how kekd and its keyrings are",
              .description = "Asks a running kekd how it and its keyrings are.\n\n"
                             "Exits with 1 if a keyring must not encrypt. One that is degraded "
                             "serves, and is a note on standard error.",
              .examples = {"status", "-o json status"},
              .read = ReadNothing<StatusVerb>,
              .takes_keyring = false,
          },
          {
              .path = "check",
              .summary = "act as an API server on kekd's socket, and measure",
              .description =
                  "Acts as an API server on the keyring's socket: Status, a round trip, the "
                  "limits, "
                  "what must be refused, and then the latency of calls, one after the other. "
                  "Changes nothing, but the refusals are counted as failed calls and leave a "
                  "warning in kekd's log.",
              .options = {{.name = "--count",
                           .value = "N",
                           .help = "calls of each kind to measure, 0 to 1000000",
                           .default_value = "100"}},
              .examples = {"check", "check --count 1000"},
              .read = ReadCheck,
          },
          {
              .path = "config check",
              .summary = "is the configuration valid, and what is missing or unsafe",
              .description =
                  "Reads the configuration as kekd would, and looks from outside at what it names: "
                  "folders, key files and the folders of sockets that are missing or that others "
                  "could change are warnings on standard error, and no failure. Opens no key file "
                  "and no keyring.",
              .examples = {"config check", "--config /tmp/new.yaml config check"},
              .read = ReadNothing<ConfigCheckVerb>,
              .takes_keyring = false,
          },
          {
              .path = "config schema",
              .summary = "print the JSON schema of the configuration",
              .description =
                  "Prints the JSON schema (draft 7) of the configuration, for editors and "
                  "for whatever writes configurations.",
              .examples = {"config schema > kekd.schema.json"},
              .read = ReadNothing<ConfigSchemaVerb>,
              .takes_keyring = false,
              .config = ConfigUse::kNone,
              .has_json = false,
          },
          {
              .path = "encryption-config",
              .summary = "print the EncryptionConfiguration for kube-apiserver",
              .description =
                  "Prints the EncryptionConfiguration for kube-apiserver, for both phases of "
                  "turning encryption on, or for one of them as a file to use.\n\n"
                  "kube-apiserver makes one seed of keys for each provider entry. With "
                  "--per-resource every resource has an entry, and so a seed, of its own on the "
                  "keyring's socket; with --map also a key-encryption key of its own, on the "
                  "socket "
                  "of the keyring that is named for it. Wildcards come last, as kube-apiserver "
                  "wants them.",
              .options = {{.name = "--resources",
                           .value = "LIST",
                           .help = "what to encrypt, with commas between; secrets if not given"},
                          {.name = "--per-resource",
                           .help = "an entry, named kekd-KEYRING-RESOURCE, for each resource"},
                          {.name = "--map",
                           .value = "RESOURCE=KEYRING",
                           .help = "an entry for this resource on this keyring's socket; once for "
                                   "each resource",
                           .repeatable = true},
                          {.name = "--phase",
                           .value = "N",
                           .help = "1 (read through kekd) or 2 (write through kekd); both if not "
                                   "given",
                           .choices = {"1", "2"}},
                          {.name = "--provider-name",
                           .value = "NAME",
                           .help = "the provider's name in the configuration and in etcd; "
                                   "kekd-KEYRING if not given; several begin with it"}},
              .examples = {"encryption-config",
                           "encryption-config --phase 1 > /etc/kubernetes/encryption/config.yaml",
                           "encryption-config --per-resource --resources secrets,configmaps",
                           "encryption-config --map secrets=prod --map configmaps=other"},
              .read = ReadEncryptionConfig,
          },
      }};
}

}  // namespace kekd
