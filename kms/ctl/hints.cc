#include "kms/ctl/hints.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "kms/ctl/command_tree.h"

namespace kekd {
namespace {

constexpr absl::string_view kBegin = "'kekctl ";

// How much of the command is its verb's words; 0 if it is no verb that takes a keyring.
size_t VerbSize(absl::string_view command) {
  size_t longest = 0;
  for (const VerbSection& section : KekctlCommandTree().sections) {
    for (const VerbDescription& verb : section.verbs) {
      const absl::string_view path = verb.path;
      const bool is_it = absl::StartsWith(command, path) &&
                         (command.size() == path.size() || command[path.size()] == ' ');
      if (is_it && verb.takes_keyring && path.size() > longest) longest = path.size();
    }
  }
  return longest;
}

}  // namespace

std::string WithKeyringInHints(absl::string_view text, absl::string_view keyring) {
  std::string out;
  for (size_t begin = text.find(kBegin); begin != absl::string_view::npos;
       begin = text.find(kBegin)) {
    absl::StrAppend(&out, text.substr(0, begin + kBegin.size()));
    text.remove_prefix(begin + kBegin.size());
    const absl::string_view command = text.substr(0, text.find('\''));
    const size_t verb = VerbSize(command);
    absl::StrAppend(&out, command.substr(0, verb));
    if (verb != 0 && !absl::StrContains(command, "--keyring")) {
      absl::StrAppend(&out, " --keyring ", keyring);
    }
    text.remove_prefix(verb);
  }
  return absl::StrCat(out, text);
}

}  // namespace kekd
