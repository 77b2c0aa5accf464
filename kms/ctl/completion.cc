#include "kms/ctl/completion.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
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

std::string ActionOf(const std::vector<std::string>& choices, ValueKind kind,
                     const ValueActions& actions) {
  if (!choices.empty()) return actions.choices(choices);
  if (kind == ValueKind::kFile) return actions.file;
  return kind == ValueKind::kFolder ? actions.folder : "";
}

std::string CaseOf(const std::string& path, const std::vector<std::string>& names,
                   const std::string& action) {
  if (action.empty()) return "";
  std::vector<std::string> patterns;
  patterns.reserve(names.size());
  for (const std::string& name : names) {
    patterns.push_back(ShellQuoted(absl::StrCat(path, " ", name)));
  }
  return absl::StrCat("    ", absl::StrJoin(patterns, " | "), ") ", action, " ;;\n");
}

}  // namespace

std::string ValueCases(const CommandTree& tree, const ValueActions& actions) {
  std::string cases;
  for (const CompletionNode& node : CompletionNodes(tree)) {
    for (const OptionDescription* const option : node.options) {
      absl::StrAppend(&cases, CaseOf(node.path, OptionNames(*option),
                                     ActionOf(option->choices, option->kind, actions)));
    }
    if (node.verb == nullptr) continue;
    size_t number = 0;
    for (const ArgumentDescription& argument : node.verb->arguments) {
      absl::StrAppend(&cases, CaseOf(node.path, {absl::StrCat(++number)},
                                     ActionOf(argument.choices, argument.kind, actions)));
    }
  }
  return cases;
}

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
