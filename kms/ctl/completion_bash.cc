#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kms/ctl/completion.h"

namespace kekd {
namespace {

constexpr absl::string_view kHead =
    R"sh(# Completion of kekctl for bash, made by 'kekctl completion bash'.

# Sets what may follow the verb or group $1: the next words, the options, and those that take a value.
_kekctl_node() {
  words='' options='' valued=''
  case $1 in
)sh";

constexpr absl::string_view kMiddle = R"sh(  esac
}

# Sets what $2 (an option, or an argument by its number) of the verb $1 may be: values, or a kind.
_kekctl_value() {
  values='' kind=''
  case "$1 $2" in
)sh";

constexpr absl::string_view kTail = R"sh(  esac
}

_kekctl_complete_value() {
  local values kind
  _kekctl_value "$1" "$2"
  case $kind in
    file)
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -f -- "$3")
      ;;
    folder)
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -d -- "$3")
      ;;
    *) mapfile -t COMPREPLY < <(compgen -W "$values" -- "$3") ;;
  esac
}

_kekctl() {
  local words options valued word i
  local verb='' arguments=0 ended='' option=''
  local current=${COMP_WORDS[COMP_CWORD]}
  COMPREPLY=()
  _kekctl_node ''
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    if [[ -z $ended && $word == -- ]]; then
      ended=1
    elif [[ -z $ended && $word == -* ]]; then
      if [[ " $valued " == *" $word "* ]]; then
        # On to its value; bash has made a word of a "=" between them.
        option=$word
        ((++i))
        if ((i < COMP_CWORD)) && [[ ${COMP_WORDS[i]} == '=' ]]; then ((++i)); fi
      fi
    elif [[ -n $words ]]; then
      if [[ " $words " != *" $word "* ]]; then return 0; fi
      verb+=${verb:+ }$word
      _kekctl_node "$verb"
    else
      ((++arguments))
    fi
  done
  if ((i > COMP_CWORD)); then
    if [[ $current == '=' ]]; then current=''; fi
    _kekctl_complete_value "$verb" "$option" "$current"
  elif [[ -z $ended && $current == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
  elif [[ -n $words ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
  else
    _kekctl_complete_value "$verb" "$((arguments + 1))" "$current"
  fi
}

complete -F _kekctl kekctl
)sh";

std::string Node(const CompletionNode& node) {
  std::vector<std::string> words;
  words.reserve(node.words.size());
  for (const auto& [word, meaning] : node.words) words.push_back(word);
  std::vector<std::string> options;
  std::vector<std::string> valued;
  for (const OptionDescription* const option : node.options) {
    for (const std::string& name : OptionNames(*option)) {
      options.push_back(name);
      if (!option->value.empty()) valued.push_back(name);
    }
  }
  return absl::StrCat("    ", ShellQuoted(node.path), ")\n",                             //
                      "      words=", ShellQuoted(absl::StrJoin(words, " ")), "\n",      //
                      "      options=", ShellQuoted(absl::StrJoin(options, " ")), "\n",  //
                      "      valued=", ShellQuoted(absl::StrJoin(valued, " ")), "\n",    //
                      "      ;;\n");
}

std::string Choices(const std::vector<std::string>& choices) {
  return absl::StrCat("values=", ShellQuoted(absl::StrJoin(choices, " ")));
}

}  // namespace

std::string BashCompletion(const CommandTree& tree) {
  std::string nodes;
  for (const CompletionNode& node : CompletionNodes(tree)) absl::StrAppend(&nodes, Node(node));
  const std::string values =
      ValueCases(tree, {.choices = Choices, .file = "kind='file'", .folder = "kind='folder'"});
  return absl::StrCat(kHead, nodes, kMiddle, values, kTail);
}

}  // namespace kekd
