#include "kms/ctl/unlock_options.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/file_system.h"

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
    {"--pkcs11", "", "the token of the configuration's \"pkcs11\"", Kind::kPkcs11},
};

bool IsOneOf(const Option& option, UnlockWays ways) {
  return ways == UnlockWays::kAll ||
         (option.kind != Kind::kKeyFile && option.kind != Kind::kCredential &&
          option.kind != Kind::kPkcs11);
}

bool IsFlag(const Option& option) { return *option.value == '\0'; }
bool IsFile(const Option& option) { return option.value == absl::string_view("FILE"); }

}  // namespace

std::vector<OptionDescription> UnlockOptions(absl::string_view purpose, UnlockWays ways) {
  std::vector<OptionDescription> options;
  for (const Option& option : kOptions) {
    if (!IsOneOf(option, ways)) continue;
    options.push_back({.name = option.name,
                       .value = option.value,
                       .help = absl::StrCat(option.what, " that ", purpose),
                       .kind = IsFile(option) ? ValueKind::kFile : ValueKind::kText,
                       .repeatable = ways == UnlockWays::kAll && !IsFlag(option)});
  }
  return options;
}

std::vector<std::string> UnlockOptionNames(UnlockWays ways) {
  std::vector<std::string> names;
  for (const Option& option : kOptions) {
    if (IsOneOf(option, ways)) names.push_back(option.name);
  }
  return names;
}

std::vector<UnlockConfig> ReadUnlockOptions(const VerbArguments& given, UnlockWays ways) {
  std::vector<UnlockConfig> unlocks;
  for (const Option& option : kOptions) {
    if (!IsOneOf(option, ways) || !given.Has(option.name)) continue;
    if (IsFlag(option)) {
      unlocks.push_back({.kind = option.kind});
      continue;
    }
    for (const std::string& value : given.All(option.name)) {
      unlocks.push_back(
          {.kind = option.kind, .value = IsFile(option) ? AbsolutePath(value) : value});
    }
  }
  return unlocks;
}

}  // namespace kekd
