#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "kms/ctl/completion.h"
#include "kms/ctl/help_text.h"

namespace kekd {
namespace {

constexpr absl::string_view kHead = R"sh(#compdef kekctl
# Completion of kekctl for zsh, made by 'kekctl completion zsh'.

# Sets what may follow the verb or group $1: the next words, the options, and those that take a value.
_kekctl_node() {
  next=() flags=() valued=()
  case $1 in
)sh";

constexpr absl::string_view kMiddle = R"sh(    *) return 1 ;;
  esac
}

# Completes the value of $2 (an option, or an argument by its number) of the verb $1.
_kekctl_value() {
  case "$1 $2" in
)sh";

constexpr absl::string_view kTail = R"sh(    *) _message 'value' ;;
  esac
}

_kekctl() {
  local -a next flags valued
  local verb= word= ended=
  local -i i=2 arguments=0
  _kekctl_node ''
  while (( i < CURRENT )); do
    word=$words[i]
    if [[ -z $ended && $word == -- ]]; then
      ended=1
    elif [[ -z $ended && $word == -* ]]; then
      if (( ${valued[(Ie)$word]} )); then
        (( ++i ))
        if (( i == CURRENT )); then
          _kekctl_value "$verb" "$word"
          return
        fi
      fi
    elif (( $#next )); then
      verb+=${verb:+ }$word
      _kekctl_node "$verb" || return
    else
      (( ++arguments ))
    fi
    (( ++i ))
  done
  if [[ -z $ended && $PREFIX == --*=* ]]; then
    word=${PREFIX%%=*}
    compset -P '*='
    _kekctl_value "$verb" "$word"
  elif [[ -z $ended && $PREFIX == -* ]]; then
    _describe -o 'option' flags
  elif (( $#next )); then
    _describe 'verb' next
  else
    _kekctl_value "$verb" $(( arguments + 1 ))
  fi
}

# Sourced, or found by compinit as a function's file.
if [[ $funcstack[1] == _kekctl ]]; then
  _kekctl "$@"
else
  compdef _kekctl kekctl
fi
)sh";

// "word:what it means", for _describe.
std::string Described(const std::string& word, const std::string& meaning) {
  return ShellQuoted(absl::StrCat(absl::StrReplaceAll(word, {{":", "\\:"}}), ":", meaning));
}

std::string Node(const CompletionNode& node) {
  std::vector<std::string> next;
  next.reserve(node.words.size());
  for (const auto& [word, meaning] : node.words) next.push_back(Described(word, meaning));
  std::vector<std::string> flags;
  std::vector<std::string> valued;
  for (const OptionDescription* const option : node.options) {
    for (const std::string& name : OptionNames(*option)) {
      flags.push_back(Described(name, OptionHelp(*option)));
      if (!option->value.empty()) valued.push_back(ShellQuoted(name));
    }
  }
  return absl::StrCat("    ", ShellQuoted(node.path), ")\n",                       //
                      "      next=(", absl::StrJoin(next, "\n        "), ")\n",    //
                      "      flags=(", absl::StrJoin(flags, "\n        "), ")\n",  //
                      "      valued=(", absl::StrJoin(valued, " "), ")\n      ;;\n");
}

std::string Choices(const std::vector<std::string>& choices) {
  return absl::StrCat("compadd -- ", absl::StrJoin(choices, " "));
}

}  // namespace

std::string ZshCompletion(const CommandTree& tree) {
  std::string nodes;
  for (const CompletionNode& node : CompletionNodes(tree)) absl::StrAppend(&nodes, Node(node));
  const std::string values =
      ValueCases(tree, {.choices = Choices, .file = "_files", .folder = "_files -/"});
  return absl::StrCat(kHead, nodes, kMiddle, values, kTail);
}

}  // namespace kekd
