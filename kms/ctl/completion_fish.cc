#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "kms/ctl/completion.h"
#include "kms/ctl/help_text.h"

namespace kekd {
namespace {

constexpr absl::string_view kHead =
    R"sh(# Completion of kekctl for fish, made by 'kekctl completion fish'.

# The words before the cursor that are no options: a verb's, and its arguments.
function __kekctl_words
    set -l line (commandline -opc)
    set -e line[1]
    set -l is_value 0
    for word in $line
        if test $is_value = 1
            set is_value 0
        else if contains -- $word @VALUED@
            set is_value 1
        else if not string match -q -- '-*' $word
            echo $word
        end
    end
end

# Whether the verb's words are just these ($argv[1]), and so many arguments ($argv[2]) follow.
function __kekctl_at
    set -l verb (string split -n ' ' -- $argv[1])
    set -l words (__kekctl_words)
    test (count $words) = (math (count $verb) + $argv[2])
    and __kekctl_within $argv[1]
end

# Whether the words begin with those of one of these verbs.
function __kekctl_within
    set -l words (__kekctl_words)
    for path in $argv
        set -l verb (string split -n ' ' -- $path)
        set -l size (count $verb)
        if test $size = 0
            return 0
        end
        if test (count $words) -ge $size; and test "$words[1..$size]" = "$verb"
            return 0
        end
    end
    return 1
end

complete -c kekctl -f
)sh";

std::string Quoted(absl::string_view text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"\\", "\\\\"}, {"'", "\\'"}}), "'");
}

// What the value of an option or argument is taken from.
std::string ValueFlags(const std::vector<std::string>& choices, ValueKind kind) {
  if (!choices.empty()) return absl::StrCat(" -a ", Quoted(absl::StrJoin(choices, " ")));
  if (kind == ValueKind::kFile) return " -F";
  if (kind == ValueKind::kFolder) return " -a '(__fish_complete_directories)'";
  return "";
}

std::string Option(const OptionDescription& option, const std::string& condition) {
  std::string line = "complete -c kekctl";
  if (!condition.empty()) absl::StrAppend(&line, " -n ", Quoted(condition));
  if (!option.short_name.empty()) absl::StrAppend(&line, " -s ", option.short_name.substr(1));
  absl::StrAppend(&line, " -l ", option.name.substr(2));
  if (!option.value.empty()) {
    const bool files = option.kind == ValueKind::kFile;
    absl::StrAppend(&line, files ? " -r" : " -x", ValueFlags(option.choices, option.kind));
  }
  return absl::StrCat(line, " -d ", Quoted(OptionHelp(option)), "\n");
}

// The common options, each but for the verbs that don't take it.
std::string CommonOptions(const CommandTree& tree) {
  std::string text;
  for (const OptionDescription& option : tree.common_options) {
    std::string refusing;
    for (const VerbSection& section : tree.sections) {
      for (const VerbDescription& verb : section.verbs) {
        if (!TakesCommonOption(verb, option)) absl::StrAppend(&refusing, " ", Quoted(verb.path));
      }
    }
    absl::StrAppend(
        &text,
        Option(option, refusing.empty() ? "" : absl::StrCat("not __kekctl_within", refusing)));
  }
  return text;
}

std::string ValuedNames(const CommandTree& tree) {
  std::set<std::string> names;
  for (const CompletionNode& node : CompletionNodes(tree)) {
    for (const OptionDescription* const option : node.options) {
      if (option->value.empty()) continue;
      for (const std::string& name : OptionNames(*option)) names.insert(name);
    }
  }
  return absl::StrJoin(names, " ");
}

}  // namespace

std::string FishCompletion(const CommandTree& tree) {
  std::string text = absl::StrReplaceAll(kHead, {{"@VALUED@", ValuedNames(tree)}});
  absl::StrAppend(&text, CommonOptions(tree));
  for (const CompletionNode& node : CompletionNodes(tree)) {
    for (const auto& [word, meaning] : node.words) {
      absl::StrAppend(&text, "complete -c kekctl -n ",
                      Quoted(absl::StrCat("__kekctl_at ", Quoted(node.path), " 0")), " -a ", word,
                      " -d ", Quoted(meaning), "\n");
    }
    if (node.verb == nullptr) continue;
    for (const OptionDescription& option : node.verb->options) {
      absl::StrAppend(&text, Option(option, absl::StrCat("__kekctl_within ", Quoted(node.path))));
    }
    size_t number = 0;
    for (const ArgumentDescription& argument : node.verb->arguments) {
      const std::string flags = ValueFlags(argument.choices, argument.kind);
      const std::string condition = absl::StrCat("__kekctl_at ", Quoted(node.path), " ", number++);
      if (flags.empty()) continue;
      absl::StrAppend(&text, "complete -c kekctl -n ", Quoted(condition), flags, " -d ",
                      Quoted(argument.help), "\n");
    }
  }
  return text;
}

}  // namespace kekd
