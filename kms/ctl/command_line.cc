#include "kms/ctl/command_line.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "base/nearest_name.h"
#include "base/status_macros.h"
#include "kms/ctl/command_tree.h"
#include "kms/ctl/help_text.h"
#include "kms/ctl/table.h"

namespace kekd {
namespace {

absl::Status UsageError(absl::string_view what) { return absl::InvalidArgumentError(what); }

CommandLine Print(std::string text) {
  CommandLine line;
  line.verb = PrintText{std::move(text)};
  return line;
}

std::string Quoted(absl::string_view text) { return absl::StrCat("\"", Printable(text), "\""); }

// "a", "a or b", "a, b or c".
std::string AnyOf(const std::vector<std::string>& words) {
  if (words.size() < 2) return absl::StrJoin(words, "");
  return absl::StrCat(absl::StrJoin(words.begin(), words.end() - 1, ", "), " or ", words.back());
}

// "; did you mean "keyring"?", or what there is if nothing is near.
std::string Suggestion(absl::string_view unknown, const std::vector<std::string>& known) {
  const std::vector<absl::string_view> names(known.begin(), known.end());
  const absl::string_view nearest = NearestName(unknown, names);
  if (!nearest.empty()) return absl::StrCat("; did you mean \"", nearest, "\"?");
  return absl::StrCat("; there is ", AnyOf(known));
}

// Reads the words one after the other, and the texts that belong to them; those are read into
// values by the verb's reader at the end.
class Parser final {
 public:
  explicit Parser(const CommandTree& tree) : tree_(tree) {}

  absl::StatusOr<CommandLine> Parse(const std::vector<std::string>& words) {
    bool options_end = false;
    for (size_t i = 0; i < words.size(); ++i) {
      const std::string& word = words[i];
      if (!options_end && word == "--") {
        options_end = true;
      } else if (!options_end && word.size() > 1 && word[0] == '-') {
        KEKD_RETURN_IF_ERROR(TakeOption(words, i));
      } else if (path_.empty() && word == "help") {
        asks_for_help_ = true;
      } else {
        KEKD_RETURN_IF_ERROR(verb_ == nullptr ? TakeVerb(word) : TakeArgument(word));
      }
    }
    if (asks_for_help_ || common_.contains("--help")) return Print(Help());
    if (common_.contains("--version")) return Print(VersionText());
    if (verb_ == nullptr) return MissingVerb();
    return Read();
  }

 private:
  using Values = VerbArguments::Values;

  static bool IsNamed(const OptionDescription& option, absl::string_view name) {
    return name == option.name || (!name.empty() && name == option.short_name);
  }

  // The option and the values of its kind: the verb's own, if there is a verb yet, or a common one.
  std::pair<const OptionDescription*, Values*> FindOption(absl::string_view name) {
    if (verb_ != nullptr) {
      for (const OptionDescription& option : verb_->options) {
        if (IsNamed(option, name)) return {&option, &own_};
      }
    }
    for (const OptionDescription& option : tree_.common_options) {
      if (IsNamed(option, name)) return {&option, &common_};
    }
    return {nullptr, nullptr};
  }

  // "--count 5", "--count=5", "-o json", "-ojson", or a flag. Goes on to the value if that is the
  // next word.
  absl::Status TakeOption(const std::vector<std::string>& words, size_t& i) {
    const std::string& word = words[i];
    const bool is_long = word[1] == '-';
    const size_t name_end = is_long ? std::min(word.find('='), word.size()) : 2;
    const std::string name = word.substr(0, name_end);
    const auto [option, values] = FindOption(name);
    if (option == nullptr) {
      return UsageError(
          absl::StrCat("unknown option ", Quoted(name), Suggestion(name, KnownOptions())));
    }
    std::vector<std::string>& given = (*values)[option->name];
    const bool has_value = name_end < word.size();
    if (option->value.empty()) {
      if (has_value) return UsageError(absl::StrCat(option->name, " takes no value"));
      if (given.empty()) given.emplace_back();
      return absl::OkStatus();
    }
    if (!given.empty() && !option->repeatable) {
      return UsageError(absl::StrCat(option->name, " is given twice"));
    }
    if (!has_value && i + 1 == words.size()) return NeedsValue(*option);
    std::string value = has_value ? word.substr(name_end + (is_long ? 1 : 0)) : words[++i];
    if (value.empty()) return NeedsValue(*option);
    KEKD_RETURN_IF_ERROR(ExpectChoice(option->name, value, option->choices));
    given.push_back(std::move(value));
    return absl::OkStatus();
  }

  static absl::Status NeedsValue(const OptionDescription& option) {
    return UsageError(
        absl::StrCat(option.name, " needs a value: ", option.name, " ", option.value));
  }

  absl::Status TakeVerb(const std::string& word) {
    const std::string path = ChildPath(path_, word);
    verb_ = tree_.FindVerb(path);
    if (verb_ == nullptr && tree_.FindGroup(path) == nullptr) {
      return UnknownVerb(word);
    }
    path_ = path;
    return absl::OkStatus();
  }

  // Of the words that may stand here one is meant, or the last word of a longer path: "backup", or
  // "rotate-wrap", in which one of its parts is.
  absl::Status UnknownVerb(const std::string& word) const {
    const std::vector<std::string> next = tree_.NextWords(path_);
    const std::string elsewhere = FindElsewhere(word);
    const bool is_near =
        !NearestName(word, std::vector<absl::string_view>(next.begin(), next.end())).empty();
    return UsageError(absl::StrCat("unknown verb ", Quoted(ChildPath(path_, word)),
                                   is_near || elsewhere.empty()
                                       ? Suggestion(word, next)
                                       : absl::StrCat("; did you mean \"", elsewhere, "\"?")));
  }

  // Empty if there is none.
  std::string FindElsewhere(const std::string& word) const {
    std::vector<std::string> wanted = absl::StrSplit(word, '-');
    wanted.insert(wanted.begin(), word);
    for (const std::string& part : wanted) {
      for (const VerbSection& section : tree_.sections) {
        for (const GroupDescription& group : section.groups) {
          if (LastWord(group.path) == part) return group.path;
        }
        for (const VerbDescription& verb : section.verbs) {
          if (LastWord(verb.path) == part) return verb.path;
        }
      }
    }
    return "";
  }

  absl::Status TakeArgument(const std::string& word) {
    if (arguments_ == verb_->arguments.size()) {
      return UsageError(absl::StrCat("\"", path_, "\" takes no ",
                                     arguments_ == 0 ? "argument" : "further argument", ", and ",
                                     Quoted(word), " is one"));
    }
    const ArgumentDescription& argument = verb_->arguments[arguments_++];
    KEKD_RETURN_IF_ERROR(ExpectChoice(argument.name, word, argument.choices));
    own_[argument.name].push_back(word);
    return absl::OkStatus();
  }

  std::string Help() const {
    if (verb_ != nullptr) return VerbHelp(tree_, *verb_);
    const GroupDescription* const group = tree_.FindGroup(path_);
    return group != nullptr ? GroupHelp(tree_, *group) : TopHelp(tree_);
  }

  std::vector<std::string> KnownOptions() const {
    std::vector<std::string> names;
    if (verb_ != nullptr) {
      for (const OptionDescription& option : verb_->options) names.push_back(option.name);
    }
    for (const OptionDescription& option : tree_.common_options) {
      if (verb_ == nullptr || TakesCommonOption(*verb_, option)) names.push_back(option.name);
    }
    return names;
  }

  absl::Status MissingVerb() const {
    if (path_.empty()) return UsageError("a verb is missing");
    return UsageError(
        absl::StrCat("a verb is missing after \"", path_, "\": ", AnyOf(tree_.NextWords(path_))));
  }

  static absl::Status ExpectChoice(const std::string& name, const std::string& value,
                                   const std::vector<std::string>& choices) {
    if (choices.empty() || std::find(choices.begin(), choices.end(), value) != choices.end()) {
      return absl::OkStatus();
    }
    return UsageError(absl::StrCat(name, " must be ", AnyOf(choices), ", and is ", Quoted(value)));
  }

  // Gives every name its entry, with the default if there is one.
  static absl::Status Complete(const OptionDescription& option, Values& values) {
    std::vector<std::string>& given = values[option.name];
    if (!given.empty()) return absl::OkStatus();
    if (option.required) {
      return UsageError(absl::StrCat(option.name, " ", option.value, " is missing"));
    }
    if (!option.default_value.empty()) given.push_back(option.default_value);
    return absl::OkStatus();
  }

  absl::StatusOr<CommandLine> Read() {
    CommandLine line;
    line.config_is_default = !common_.contains("--config");
    line.config_use = verb_->config;
    for (const OptionDescription& option : tree_.common_options) {
      // --config is never wrong: an alias may have it for every verb.
      if (option.name != "--config" && common_.contains(option.name) &&
          !TakesCommonOption(*verb_, option)) {
        return UsageError(absl::StrCat("\"", path_, "\" takes no ", option.name));
      }
      KEKD_RETURN_IF_ERROR(Complete(option, common_));
    }
    const VerbArguments common(std::move(common_));
    line.config_path = common.Text("--config");
    line.keyring = common.Text("--keyring");
    if (common.Text("--output") == "json") line.format = OutputFormat::kJson;

    for (const OptionDescription& option : verb_->options) {
      KEKD_RETURN_IF_ERROR(Complete(option, own_));
    }
    for (const ArgumentDescription& argument : verb_->arguments) {
      if (own_[argument.name].empty() && argument.required) {
        return UsageError(absl::StrCat(argument.name, " is missing: kekctl ", Synopsis(*verb_)));
      }
    }
    KEKD_ASSIGN_OR_RETURN(line.verb, verb_->read(VerbArguments(std::move(own_))));
    return line;
  }

  const CommandTree& tree_;
  std::string path_;                       // the verb's words so far
  const VerbDescription* verb_ = nullptr;  // once they are all there
  bool asks_for_help_ = false;
  Values common_;
  Values own_;            // of the verb
  size_t arguments_ = 0;  // how many of the verb's were given
};

}  // namespace

absl::StatusOr<CommandLine> ParseCommandLine(int argc, const char* const* argv) {
  std::vector<std::string> words(argv, argv + argc);
  if (!words.empty()) words.erase(words.begin());  // the program's name
  return Parser(KekctlCommandTree()).Parse(words);
}

}  // namespace kekd
