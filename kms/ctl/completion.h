// The command tree as completion scripts.
#ifndef KEKD_KMS_CTL_COMPLETION_H_
#define KEKD_KMS_CTL_COMPLETION_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "kms/ctl/command_tree.h"

namespace kekd {

// Each completes verbs, options, values of closed sets, and files and folders where those are
// wanted. The names of keyrings are not completed: reading them takes a configuration that the
// user at the prompt may not be allowed to read.
std::string BashCompletion(const CommandTree& tree);
std::string ZshCompletion(const CommandTree& tree);
std::string FishCompletion(const CommandTree& tree);

// What may follow the words of one path on a command line. Refers to the tree, which outlives it.
struct CompletionNode {
  std::string path;                                        // of a verb or group; empty at the start
  std::vector<std::pair<std::string, std::string>> words;  // the next, with what they mean
  std::vector<const OptionDescription*> options;           // the verb's own, and the common ones
  const VerbDescription* verb = nullptr;                   // if the path is one
};

// All of them: the start, the groups and the verbs.
std::vector<CompletionNode> CompletionNodes(const CommandTree& tree);
// "--output", "-o".
std::vector<std::string> OptionNames(const OptionDescription& option);
// For bash and zsh: the cases of "VERB OPTION" and "VERB ARGUMENT'S NUMBER" with what the shell
// does to find such a value, for those of which anything is known.
struct ValueActions {
  std::string (*choices)(const std::vector<std::string>& choices);
  std::string file;
  std::string folder;
};
std::string ValueCases(const CommandTree& tree, const ValueActions& actions);
// 'it'\''s', for bash and zsh.
std::string ShellQuoted(absl::string_view text);

}  // namespace kekd

#endif  // KEKD_KMS_CTL_COMPLETION_H_
