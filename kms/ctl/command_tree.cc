#include "kms/ctl/command_tree.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace kekd {
namespace {

std::vector<OptionDescription> CommonOptions() {
  return {
      {.name = "--config",
       .value = "FILE",
       .help = "the configuration of kekd",
       .default_value = std::string(kDefaultConfigPath),
       .kind = ValueKind::kFile},
      {.name = "--output",
       .short_name = "-o",
       .value = "FORMAT",
       .help = "table for people, json for scripts",
       .default_value = "table",
       .choices = {"table", "json"}},
      {.name = "--keyring",
       .value = "NAME",
       .help = "the keyring; needed if the configuration has several"},
      {.name = "--version", .help = "print the version and exit"},
      {.name = "--help",
       .short_name = "-h",
       .help = "print this, or the help of the verb before it"},
  };
}

}  // namespace

std::string ParentPath(absl::string_view path) {
  const size_t blank = path.rfind(' ');
  return blank == absl::string_view::npos ? "" : std::string(path.substr(0, blank));
}

std::string LastWord(absl::string_view path) {
  const size_t blank = path.rfind(' ');
  return std::string(blank == absl::string_view::npos ? path : path.substr(blank + 1));
}

std::string ChildPath(absl::string_view parent, absl::string_view word) {
  return absl::StrCat(parent, parent.empty() ? "" : " ", word);
}

const VerbDescription* CommandTree::FindVerb(absl::string_view path) const {
  for (const VerbSection& section : sections) {
    for (const VerbDescription& verb : section.verbs) {
      if (verb.path == path) return &verb;
    }
  }
  return nullptr;
}

const GroupDescription* CommandTree::FindGroup(absl::string_view path) const {
  for (const VerbSection& section : sections) {
    for (const GroupDescription& group : section.groups) {
      if (group.path == path) return &group;
    }
  }
  return nullptr;
}

std::vector<std::string> CommandTree::NextWords(absl::string_view path) const {
  std::vector<std::string> words;
  const std::string prefix = path.empty() ? "" : absl::StrCat(path, " ");
  for (const VerbSection& section : sections) {
    for (const VerbDescription& verb : section.verbs) {
      if (!absl::StartsWith(verb.path, prefix)) continue;
      std::string word = verb.path.substr(prefix.size());
      word = word.substr(0, word.find(' '));
      if (std::find(words.begin(), words.end(), word) == words.end()) words.push_back(word);
    }
  }
  return words;
}

const CommandTree& KekctlCommandTree() {
  static const CommandTree& tree = *new CommandTree{
      .summary = "look after kekd's keyrings and keys",
      .description =
          "kekctl makes keyrings, changes their keys and says how they are. While kekd "
          "runs it asks kekd, else it works on the files itself.",
      .examples = {"keyring init", "key create", "-o json status"},
      .common_options = CommonOptions(),
      .sections = {KeyringVerbs(), BackupVerbs(), WrapVerbs(), KeyVerbs(), RotationVerbs(),
                   HsmVerbs(), LookingVerbs(), MigrationVerbs(), ScanVerbs(), ToolVerbs()},
  };
  return tree;
}

}  // namespace kekd
