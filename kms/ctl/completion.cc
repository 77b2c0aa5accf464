#include "kms/ctl/completion.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "kms/ctl/help_text.h"

namespace kekd {
namespace {

CompletionNode NodeOf(const CommandTree& tree, const std::string& path) {
  CompletionNode node = {.path = path, .verb = tree.FindVerb(path)};
  for (const std::string& word : tree.NextWords(path)) {
    const std::string inner = ChildPath(path, word);
    const VerbDescription* const verb = tree.FindVerb(inner);
    const GroupDescription* const group = tree.FindGroup(inner);
    node.words.emplace_back(word, verb != nullptr    ? verb->summary
                                  : group != nullptr ? group->summary
                                                     : "");
  }
  if (node.verb != nullptr) {
    for (const OptionDescription& option : node.verb->options) node.options.push_back(&option);
  }
  for (const OptionDescription& option : tree.common_options) {
    if (node.verb == nullptr || TakesCommonOption(*node.verb, option)) {
      node.options.push_back(&option);
    }
  }
  return node;
}

}  // namespace

std::vector<CompletionNode> CompletionNodes(const CommandTree& tree) {
  std::vector<CompletionNode> nodes = {NodeOf(tree, "")};
  for (const VerbSection& section : tree.sections) {
    for (const GroupDescription& group : section.groups) nodes.push_back(NodeOf(tree, group.path));
    for (const VerbDescription& verb : section.verbs) nodes.push_back(NodeOf(tree, verb.path));
  }
  return nodes;
}

std::vector<std::string> OptionNames(const OptionDescription& option) {
  if (option.short_name.empty()) return {option.name};
  return {option.name, option.short_name};
}

std::string ShellQuoted(absl::string_view text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", "'\\''"}}), "'");
}

}  // namespace kekd
