#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"
#include "kms/ctl/command_tree.h"
#include "kms/ctl/unlock_options.h"

namespace kekd {
namespace {

absl::StatusOr<Verb> ReadList(const VerbArguments& given) {
  return WrapListVerb{.check = given.Has("--check")};
}

absl::StatusOr<Verb> ReadAdd(const VerbArguments& given) {
  const std::vector<UnlockConfig> unlocks = ReadUnlockOptions(given);
  if (unlocks.size() != 1) {
    return absl::InvalidArgumentError(
        "give one of --key-file, --credential, --passphrase-file, --passphrase-credential, "
        "--passphrase-prompt and --pkcs11: what is to open the keyring");
  }
  WrapAddVerb verb;
  verb.unlock = unlocks.front();
  if (verb.unlock.kind == UnlockConfig::Kind::kPkcs11 && given.Has("--label")) {
    return absl::InvalidArgumentError(
        "--label is not for --pkcs11: that wrap has the name of its key on the token");
  }
  verb.label = given.Has("--label") ? given.Text("--label") : "";
  if (given.Text("--kdf") == "pbkdf2") verb.kdf = KdfFunction::kPbkdf2HmacSha512;
  return verb;
}

absl::StatusOr<Verb> ReadRemove(const VerbArguments& given) {
  WrapRemoveVerb verb;
  for (const absl::string_view text : absl::StrSplit(given.Text("NUMBERS"), ',')) {
    uint32_t number = 0;
    if (!absl::SimpleAtoi(text, &number) || number == 0 || absl::StrCat(number) != text) {
      return absl::InvalidArgumentError(
          absl::StrCat("NUMBERS must be the numbers of wraps with commas between, and \"", text,
                       "\" is none; 'kekctl keyring wrap list' shows them"));
    }
    for (const uint32_t other : verb.numbers) {
      if (other == number) {
        return absl::InvalidArgumentError(absl::StrCat("wrap ", number, " is named twice"));
      }
    }
    verb.numbers.push_back(number);
  }
  verb.also = ReadUnlockOptions(given);
  return verb;
}

std::vector<OptionDescription> AddOptions() {
  std::vector<OptionDescription> options = UnlockOptions("is to open the keyring");
  options.push_back({.name = "--label",
                     .value = "TEXT",
                     .help = "what people call it; the file or credential if not given"});
  options.push_back({.name = "--kdf",
                     .value = "FUNCTION",
                     .help = "how a passphrase is made a key; pbkdf2 where only approved functions "
                             "may be used",
                     .default_value = "scrypt",
                     .choices = {"scrypt", "pbkdf2"}});
  return options;
}

}  // namespace

VerbSection WrapVerbs() {
  return {
      .title = "What opens a keyring",
      .groups = {{.path = "keyring wrap",
                  .summary = "look at what opens a keyring, and change it"}},
      .verbs = {
          {
              .path = "keyring wrap list",
              .summary = "what opens a keyring: key files, passphrases, credentials, tokens",
              .description =
                  "Lists the wraps of the ring key. Any one of them opens the keyring, so a cold "
                  "start survives the loss of all but one.",
              .options = {{.name = "--check",
                           .help = "try which of them the configuration's unlock list opens"}},
              .examples = {"keyring wrap list", "keyring wrap list --check"},
              .read = ReadList,
          },
          {
              .path = "keyring wrap add",
              .summary = "let another key file, passphrase, credential or a token open a keyring",
              .description =
                  "Adds a wrap of the ring key, after having opened the keyring with what the "
                  "configuration names and tried that the new one opens it too. Name it under "
                  "\"unlock\" in the configuration where kekd is to use it. A secret is never "
                  "taken from the command line or the environment.\n\n"
                  "With --pkcs11 a key is made for it on the token that the configuration's "
                  "\"pkcs11\" names, and is destroyed again when the wrap is removed.",
              .options = AddOptions(),
              .examples = {"keyring wrap add --passphrase-prompt --label safe",
                           "keyring wrap add --key-file /etc/kekd/second.key",
                           "keyring wrap add --credential kekd-prod", "keyring wrap add --pkcs11"},
              .read = ReadAdd,
          },
          {
              .path = "keyring wrap remove",
              .summary = "make a new ring key that what is removed does not open",
              .description =
                  "Removes wraps, and makes a new ring key in the same step: so that what opened "
                  "them opens nothing that comes after. All that stay are made anew, so each of "
                  "their secrets is needed: those that the configuration names, and those given "
                  "here. The key on a token that a removed wrap was under is destroyed after "
                  "it.\n\n"
                  "Whoever has the removed secret and an old copy of the keyring still has the "
                  "keys "
                  "in it: if it may be known to others, make and promote a new key version too.",
              .arguments = {{.name = "NUMBERS",
                             .help = "the wraps to remove, with commas between"}},
              .options = UnlockOptions("opens a wrap that stays"),
              .examples = {"keyring wrap remove 2", "keyring wrap remove 1,3 --passphrase-prompt"},
              .read = ReadRemove,
          },
      }};
}

}  // namespace kekd
