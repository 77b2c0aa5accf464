#include "kms/ctl/command_line.h"

#include <CLI/CLI.hpp>
#include <exception>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"
#include "keystore/software_key_backend.h"
#include "kms/config/version.h"

namespace kekd {
namespace {

constexpr char kUsage[] = R"(Usage: kekctl --config FILE [-o table|json] VERB [OPTIONS]

kekctl makes keyrings, changes their keys and says how they are. While kekd
runs it asks kekd, else it works on the files itself.

Keyrings
  keyring init             make a keyring, its key file if there is none, and
                           key version 1, which becomes the primary
  keyring show             what a keyring is and which keys it has
  keyring verify           check every stored copy of a keyring and its keys
  keyring accept-rollback  take an older keyring (a restored backup) for the newest

Keys
  key list                 the key versions of a keyring
  key create               make the next key version; nothing is encrypted with it yet
  key promote VERSION      make it the primary: new data is encrypted with it

Looking
  status                   how kekd and its keyrings are
  check                    act as an API server on kekd's socket, and measure
  config check             is the configuration valid
  encryption-config        print the EncryptionConfiguration for kube-apiserver

Options
  --config FILE            the configuration of kekd (docs/configuration.md)
  -o, --output FORMAT      table (for people, the default) or json (for scripts)
  --version                print the version and exit
  -h, --help               print this, or the help of the verb before it

Exit codes: 0 done; 1 failure, or a check that failed; 2 usage or configuration;
3 refused by the state of things (exists already, not found, changed meanwhile);
4 kekd can't be reached, or keyring or socket are in use; 5 damaged, rolled back,
wrong key, or of a newer kekd; 6 permission denied.

Examples
  kekctl --config /etc/kekd/kekd.yaml keyring init
  kekctl --config /etc/kekd/kekd.yaml key create
  kekctl --config /etc/kekd/kekd.yaml -o json status
)";

constexpr char kKeyringHelp[] = "The keyring; needed if the configuration has several";

// What CLI11 fills: texts, which are read into values afterwards, so that a number is a number of
// ours ("0x10" and "-1" are none) and every error is worded here.
struct Texts {
  std::string config;
  std::string output = "table";
  std::string keyring;
  std::string cluster_id;
  std::string generation;
  std::string backend = std::string(kSoftwareBackend);
  std::string version;
  std::string count = "100";
  std::string resources = "secrets";
  std::string phase;
  std::string provider_name;
};

struct Verbs {
  CLI::App* keyring_init = nullptr;
  CLI::App* keyring_show = nullptr;
  CLI::App* keyring_verify = nullptr;
  CLI::App* keyring_accept_rollback = nullptr;
  CLI::App* key_list = nullptr;
  CLI::App* key_create = nullptr;
  CLI::App* key_promote = nullptr;
  CLI::App* status = nullptr;
  CLI::App* check = nullptr;
  CLI::App* config_check = nullptr;
  CLI::App* encryption_config = nullptr;
};

CLI::App* AddVerb(CLI::App& parent, const char* name, const char* help, const char* example) {
  CLI::App* const verb = parent.add_subcommand(name, help);
  verb->footer(absl::StrCat("Example: kekctl --config /etc/kekd/kekd.yaml ", example));
  return verb;
}

CLI::App* AddGroup(CLI::App& app, const char* name, const char* help) {
  CLI::App* const group = app.add_subcommand(name, help);
  group->require_subcommand(1);
  return group;
}

void AddKeyringVerbs(CLI::App& app, Texts& texts, Verbs& verbs) {
  CLI::App& keyring = *AddGroup(app, "keyring", "Make keyrings and look after them");
  verbs.keyring_init = AddVerb(
      keyring, "init",
      "Make a keyring with key version 1 as its primary, and its key file if there is none. "
      "Refused if there is a keyring",
      "keyring init");
  verbs.keyring_init->add_option("--cluster-id", texts.cluster_id,
                                 "UUID that the keyrings of one cluster share; a new one if not "
                                 "given");
  verbs.keyring_show =
      AddVerb(keyring, "show", "Show what a keyring is and which keys it has", "keyring show");
  verbs.keyring_verify = AddVerb(keyring, "verify",
                                 "Check every stored copy of a keyring, and that its keys are the "
                                 "ones they should be. Writes nothing",
                                 "keyring verify");
  verbs.keyring_accept_rollback =
      AddVerb(keyring, "accept-rollback",
              "Take the keyring on the disk for the newest although a newer one was stored here "
              "before: after a backup was restored, and for nothing else",
              "keyring accept-rollback --generation 7");
  verbs.keyring_accept_rollback
      ->add_option("--generation", texts.generation,
                   "The generation of the keyring on the disk, as the refusal named it")
      ->required();
  for (CLI::App* const verb : {verbs.keyring_init, verbs.keyring_show, verbs.keyring_verify,
                               verbs.keyring_accept_rollback}) {
    verb->add_option("--keyring", texts.keyring, kKeyringHelp);
  }
}

void AddKeyVerbs(CLI::App& app, Texts& texts, Verbs& verbs) {
  CLI::App& key = *AddGroup(app, "key", "Look at keys, make and promote them");
  verbs.key_list = AddVerb(key, "list", "List the key versions of a keyring", "key list");
  verbs.key_create = AddVerb(key, "create",
                             "Make the next key version. Nothing is encrypted with it before 'key "
                             "promote'",
                             "key create");
  verbs.key_create->add_option("--backend", texts.backend, "Where the key is kept")
      ->capture_default_str();
  verbs.key_promote = AddVerb(key, "promote",
                              "Make a key version the primary: new data is encrypted with it, the "
                              "former primary decrypts only",
                              "key promote 2");
  verbs.key_promote->add_option("VERSION", texts.version, "The number of the key version")
      ->required();
  for (CLI::App* const verb : {verbs.key_list, verbs.key_create, verbs.key_promote}) {
    verb->add_option("--keyring", texts.keyring, kKeyringHelp);
  }
}

void AddLookingVerbs(CLI::App& app, Texts& texts, Verbs& verbs) {
  verbs.status = AddVerb(app, "status", "Ask kekd how it and its keyrings are", "-o json status");
  verbs.check = AddVerb(app, "check",
                        "Act as an API server on kekd's socket: health, round trip, limits, "
                        "refusals and latency. Changes nothing",
                        "check --count 1000");
  verbs.check->add_option("--count", texts.count, "Calls of each kind to measure, 0 to 1000000")
      ->capture_default_str();
  CLI::App& config = *AddGroup(app, "config", "Look after the configuration");
  verbs.config_check =
      AddVerb(config, "check", "Check that the configuration is valid", "config check");
  verbs.encryption_config = AddVerb(
      app, "encryption-config",
      "Print the EncryptionConfiguration for kube-apiserver, for both phases of enabling it",
      "encryption-config --phase 1 > /etc/kubernetes/encryption-config.yaml");
  verbs.encryption_config
      ->add_option("--resources", texts.resources, "What to encrypt, with commas between")
      ->capture_default_str();
  verbs.encryption_config->add_option(
      "--phase", texts.phase, "1 (read through kekd) or 2 (write through kekd); both if not given");
  verbs.encryption_config->add_option("--provider-name", texts.provider_name,
                                      "The provider's name in the configuration and in etcd; "
                                      "kekd-<keyring> if not given");
  for (CLI::App* const verb : {verbs.check, verbs.encryption_config}) {
    verb->add_option("--keyring", texts.keyring, kKeyringHelp);
  }
}

absl::Status UsageError(absl::string_view what) { return absl::InvalidArgumentError(what); }

template <typename Number>
absl::StatusOr<Number> ReadNumber(absl::string_view name, absl::string_view text, Number least,
                                  Number most) {
  Number number = 0;
  const bool digits_only = text.find_first_not_of("0123456789") == absl::string_view::npos;
  if (!digits_only || !absl::SimpleAtoi(text, &number) || number < least || number > most) {
    return UsageError(absl::StrCat(name, " must be a number from ", least, " to ", most,
                                   ", and is \"", text, "\""));
  }
  return number;
}

absl::StatusOr<Verb> ReadVerb(const Texts& texts, const Verbs& verbs) {
  if (verbs.keyring_init->parsed()) {
    KeyringInitVerb verb;
    if (!texts.cluster_id.empty()) {
      const absl::StatusOr<Uuid> cluster_id = Uuid::Parse(texts.cluster_id);
      if (!cluster_id.ok()) return WithContext(cluster_id.status(), "--cluster-id");
      if (cluster_id->IsNil()) return UsageError("--cluster-id: the UUID must not be all zero");
      verb.cluster_id = *cluster_id;
    }
    return verb;
  }
  if (verbs.keyring_show->parsed()) return KeyringShowVerb{};
  if (verbs.keyring_verify->parsed()) return KeyringVerifyVerb{};
  if (verbs.keyring_accept_rollback->parsed()) {
    KEKD_ASSIGN_OR_RETURN(const uint64_t generation,
                          ReadNumber<uint64_t>("--generation", texts.generation, 1, UINT64_MAX));
    return KeyringAcceptRollbackVerb{generation};
  }
  if (verbs.key_list->parsed()) return KeyListVerb{};
  if (verbs.key_create->parsed()) return KeyCreateVerb{texts.backend};
  if (verbs.key_promote->parsed()) {
    KEKD_ASSIGN_OR_RETURN(const uint32_t version,
                          ReadNumber<uint32_t>("VERSION", texts.version, 1, UINT32_MAX));
    return KeyPromoteVerb{version};
  }
  if (verbs.status->parsed()) return StatusVerb{};
  if (verbs.check->parsed()) {
    KEKD_ASSIGN_OR_RETURN(const uint32_t count,
                          ReadNumber<uint32_t>("--count", texts.count, 0, 1000000));
    return CheckVerb{count};
  }
  if (verbs.config_check->parsed()) return ConfigCheckVerb{};
  EncryptionConfigVerb verb;
  verb.resources = absl::StrSplit(texts.resources, ',');
  verb.provider_name = texts.provider_name;
  if (!texts.phase.empty()) {
    KEKD_ASSIGN_OR_RETURN(verb.phase, ReadNumber<int>("--phase", texts.phase, 1, 2));
  }
  return verb;
}

absl::StatusOr<CommandLine> ReadCommandLine(const Texts& texts, const Verbs& verbs) {
  CommandLine line;
  if (texts.config.empty()) return UsageError("--config FILE is missing");
  line.config_path = texts.config;
  if (texts.output == "json") {
    line.format = OutputFormat::kJson;
  } else if (texts.output != "table") {
    return UsageError(
        absl::StrCat("--output must be \"table\" or \"json\", and is \"", texts.output, "\""));
  }
  line.keyring = texts.keyring;
  KEKD_ASSIGN_OR_RETURN(line.verb, ReadVerb(texts, verbs));
  return line;
}

CommandLine Print(std::string text) {
  CommandLine line;
  line.verb = PrintText{std::move(text)};
  return line;
}

// CLI11's texts begin with a capital and may have several lines.
absl::Status UsageErrorOf(const CLI::App& app, const CLI::ParseError& e) {
  const std::vector<std::string> unknown = app.remaining(true);
  if (!unknown.empty()) {
    return UsageError(absl::StrCat("unknown verb or option \"", unknown.front(), "\""));
  }
  std::string what = e.what();
  if (what.find("subcommand") != std::string::npos) return UsageError("a verb is missing");
  if (what.size() > 1 && absl::ascii_islower(static_cast<unsigned char>(what[1]))) {
    what[0] = absl::ascii_tolower(static_cast<unsigned char>(what[0]));
  }
  return UsageError(what.substr(0, what.find('\n')));
}

}  // namespace

absl::StatusOr<CommandLine> ParseCommandLine(int argc, const char* const* argv) {
  // CLI11 throws; nothing that it throws leaves this function.
  try {
    CLI::App app("", "kekctl");
    Texts texts;
    Verbs verbs;
    // "kekctl status -o json" is as good as "kekctl -o json status".
    app.fallthrough();
    app.require_subcommand(1);
    app.add_option("--config", texts.config, "The configuration of kekd");
    app.add_option("-o,--output", texts.output, "table or json");
    app.set_version_flag("--version", absl::StrCat("kekctl ", kKekdVersion));
    AddKeyringVerbs(app, texts, verbs);
    AddKeyVerbs(app, texts, verbs);
    AddLookingVerbs(app, texts, verbs);
    try {
      app.parse(argc, argv);
    } catch (const CLI::CallForHelp&) {
      return Print(app.get_subcommands().empty() ? std::string(kUsage) : app.help());
    } catch (const CLI::CallForVersion&) {
      return Print(absl::StrCat("kekctl ", kKekdVersion, "\n"));
    } catch (const CLI::ParseError& e) {
      return UsageErrorOf(app, e);
    }
    return ReadCommandLine(texts, verbs);
  } catch (const std::exception& e) {
    return absl::InternalError(absl::StrCat("command line: ", e.what()));
  }
}

}  // namespace kekd
