#include "kms/ctl/help_text.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "kms/config/exit_code.h"
#include "kms/config/version.h"

namespace kekd {
namespace {

constexpr size_t kWidth = 80;
constexpr size_t kMargin = 2;         // before a term
constexpr size_t kMaxTermWidth = 32;  // a longer one has its text on the next line

using Terms = std::vector<std::pair<std::string, std::string>>;

// "  term   its text, wrapped under itself".
std::string TermList(const Terms& terms) {
  size_t widest = 0;
  for (const auto& [term, text] : terms) {
    if (term.size() <= kMaxTermWidth) widest = std::max(widest, term.size());
  }
  const size_t column = kMargin + widest + 2;
  std::string list;
  for (const auto& [term, text] : terms) {
    const bool fits = term.size() <= kMaxTermWidth;
    absl::StrAppend(&list, std::string(kMargin, ' '), term,
                    fits ? std::string(column - kMargin - term.size(), ' ')
                         : absl::StrCat("\n", std::string(column, ' ')),
                    WrapText(text, column, kWidth), "\n");
  }
  return list;
}

std::string Paragraphs(absl::string_view text) {
  std::vector<std::string> wrapped;
  for (const absl::string_view paragraph : absl::StrSplit(text, "\n\n")) {
    wrapped.push_back(WrapText(paragraph, 0, kWidth));
  }
  return absl::StrCat(absl::StrJoin(wrapped, "\n\n"), "\n");
}

std::string Examples(const std::vector<std::string>& examples) {
  std::string text = "Examples\n";
  for (const std::string& example : examples) absl::StrAppend(&text, "  kekctl ", example, "\n");
  return text;
}

std::string ExitCodes() {
  std::vector<std::string> codes;
  for (const auto& [code, meaning] : ExitCodeMeanings()) {
    codes.push_back(absl::StrCat(code, " ", meaning));
  }
  return absl::StrCat(WrapText(absl::StrCat("Exit codes: ", absl::StrJoin(codes, "; ")), 0, kWidth),
                      "\n");
}

// Clauses of the tree as sentences.
std::string Sentence(absl::string_view clause) {
  std::string text(clause);
  if (text.empty()) return text;
  text[0] = absl::ascii_toupper(static_cast<unsigned char>(text[0]));
  return absl::StrCat(text, ".");
}

std::string ArgumentSyntax(const ArgumentDescription& argument) {
  return argument.required ? argument.name : absl::StrCat("[", argument.name, "]");
}

// "key promote VERSION".
std::string PathWithArguments(const VerbDescription& verb) {
  std::string text = verb.path;
  for (const ArgumentDescription& argument : verb.arguments) {
    absl::StrAppend(&text, " ", ArgumentSyntax(argument));
  }
  return text;
}

}  // namespace

std::string WrapText(absl::string_view text, size_t indent, size_t width) {
  std::string wrapped;
  size_t column = indent;
  for (const absl::string_view word : absl::StrSplit(text, ' ', absl::SkipEmpty())) {
    if (!wrapped.empty()) {
      const bool fits = column + 1 + word.size() <= width;
      absl::StrAppend(&wrapped, fits ? " " : absl::StrCat("\n", std::string(indent, ' ')));
      column = fits ? column + 1 : indent;
    }
    absl::StrAppend(&wrapped, word);
    column += word.size();
  }
  return wrapped;
}

const std::vector<std::pair<int, std::string>>& ExitCodeMeanings() {
  static const auto& meanings = *new std::vector<std::pair<int, std::string>>{
      {kExitOk, "done"},
      {kExitFailure, "failure, or a check that failed"},
      {kExitUsage, "usage or configuration"},
      {kExitRefused,
       "refused by the state of things (exists already, not found, changed meanwhile)"},
      {kExitUnreachable, "kekd can't be reached, or keyring or socket are in use"},
      {kExitIntegrity, "damaged, rolled back, wrong key, or of a newer kekd"},
      {kExitPermission, "permission denied"},
  };
  return meanings;
}

std::string OptionSyntax(const OptionDescription& option) {
  return absl::StrCat(option.short_name, option.short_name.empty() ? "" : ", ", option.name,
                      option.value.empty() ? "" : " ", option.value);
}

std::string OptionHelp(const OptionDescription& option) {
  std::string text = option.help;
  if (!option.default_value.empty()) {
    absl::StrAppend(&text, " (default: ", option.default_value, ")");
  }
  if (option.required) absl::StrAppend(&text, " (needed)");
  if (option.repeatable) absl::StrAppend(&text, " (may be given several times)");
  return text;
}

bool TakesCommonOption(const VerbDescription& verb, const OptionDescription& option) {
  if (option.name == "--version") return false;
  if (option.name == "--config") return verb.config != ConfigUse::kNone;
  if (option.name == "--output") return verb.has_json;
  if (option.name == "--keyring") return verb.takes_keyring;
  return true;
}

std::string Synopsis(const VerbDescription& verb) {
  std::string text = PathWithArguments(verb);
  bool more = false;
  for (const OptionDescription& option : verb.options) {
    if (!option.required) more = true;
    if (option.required) absl::StrAppend(&text, " ", option.name, " ", option.value);
  }
  more = more || verb.config != ConfigUse::kNone;
  return absl::StrCat(text, more ? " [OPTIONS]" : "");
}

std::string VersionText() { return absl::StrCat("kekctl ", kKekdVersion, "\n"); }

std::string TopHelp(const CommandTree& tree) {
  std::string text = absl::StrCat("Usage: kekctl [OPTIONS] VERB [ITS OPTIONS]\n\n",
                                  Paragraphs(tree.description), "\n");
  for (const VerbSection& section : tree.sections) {
    Terms terms;
    for (const VerbDescription& verb : section.verbs) {
      terms.emplace_back(PathWithArguments(verb), verb.summary);
    }
    absl::StrAppend(&text, section.title, "\n", TermList(terms), "\n");
  }
  Terms options;
  for (const OptionDescription& option : tree.common_options) {
    options.emplace_back(OptionSyntax(option), OptionHelp(option));
  }
  absl::StrAppend(&text, "Options, before the verb or after it\n", TermList(options), "\n",
                  ExitCodes(), "\n", Examples(tree.examples));
  return text;
}

std::string GroupHelp(const CommandTree& tree, const GroupDescription& group) {
  Terms terms;
  for (const std::string& word : tree.NextWords(group.path)) {
    const std::string path = ChildPath(group.path, word);
    if (const VerbDescription* const verb = tree.FindVerb(path)) {
      terms.emplace_back(PathWithArguments(*verb), verb->summary);
    } else if (const GroupDescription* const inner = tree.FindGroup(path)) {
      terms.emplace_back(absl::StrCat(path, " …"), inner->summary);
    }
  }
  return absl::StrCat("Usage: kekctl ", group.path, " VERB [OPTIONS]\n\n", Sentence(group.summary),
                      "\n\nVerbs\n", TermList(terms), "\n'kekctl ", group.path,
                      " VERB --help' tells more of each.\n");
}

std::string VerbHelp(const CommandTree& tree, const VerbDescription& verb) {
  std::string text =
      absl::StrCat("Usage: kekctl ", Synopsis(verb), "\n\n", Paragraphs(verb.description), "\n");
  if (!verb.arguments.empty()) {
    Terms terms;
    for (const ArgumentDescription& argument : verb.arguments) {
      terms.emplace_back(ArgumentSyntax(argument), argument.help);
    }
    absl::StrAppend(&text, "Arguments\n", TermList(terms), "\n");
  }
  Terms own;
  for (const OptionDescription& option : verb.options) {
    own.emplace_back(OptionSyntax(option), OptionHelp(option));
  }
  if (!own.empty()) absl::StrAppend(&text, "Options\n", TermList(own), "\n");
  Terms common;
  for (const OptionDescription& option : tree.common_options) {
    if (!TakesCommonOption(verb, option)) continue;
    common.emplace_back(OptionSyntax(option),
                        option.name == "--help" ? "print this" : OptionHelp(option));
  }
  return absl::StrCat(text, "Common options\n", TermList(common), "\n", Examples(verb.examples),
                      "\n'kekctl --help' lists the exit codes.\n");
}

}  // namespace kekd
