#include "kms/ctl/unlock_options.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

namespace kekd {
namespace {

using Kind = UnlockConfig::Kind;

struct Option {
  const char* name;
  const char* value;  // empty: a flag
  const char* what;
  Kind kind;
};
constexpr Option kOptions[] = {
    {"--key-file", "FILE", "a key file", Kind::kKeyFile},
    {"--credential", "NAME", "a systemd credential with the content of a key file",
     Kind::kCredential},
    {"--passphrase-file", "FILE", "a file with a passphrase", Kind::kPassphraseFile},
    {"--passphrase-credential", "NAME", "a systemd credential with a passphrase",
     Kind::kPassphraseCredential},
    {"--passphrase-prompt", "", "a passphrase, typed at the terminal,", Kind::kPassphrasePrompt},
};

}  // namespace

std::vector<OptionDescription> UnlockOptions(absl::string_view purpose) {
  std::vector<OptionDescription> options;
  for (const Option& option : kOptions) {
    const bool is_file = option.value == absl::string_view("FILE");
    options.push_back({.name = option.name,
                       .value = option.value,
                       .help = absl::StrCat(option.what, " that ", purpose),
                       .kind = is_file ? ValueKind::kFile : ValueKind::kText,
                       .repeatable = option.value[0] != '\0'});
  }
  return options;
}

std::vector<UnlockConfig> ReadUnlockOptions(const VerbArguments& given) {
  std::vector<UnlockConfig> unlocks;
  for (const Option& option : kOptions) {
    if (!given.Has(option.name)) continue;
    if (option.kind == Kind::kPassphrasePrompt) {
      unlocks.push_back({.kind = option.kind});
      continue;
    }
    for (const std::string& value : given.All(option.name)) {
      unlocks.push_back({.kind = option.kind, .value = value});
    }
  }
  return unlocks;
}

}  // namespace kekd
