#include "kms/ctl/man_page.h"

#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "kms/ctl/help_text.h"
#include "kms/ctl/roff.h"

namespace kekd {
namespace {

void AddParagraphs(const std::string& text, RoffPage& page) {
  for (const absl::string_view paragraph : absl::StrSplit(text, "\n\n")) {
    page.Paragraph(RoffText(paragraph));
  }
}

// "-o, --output FORMAT".
std::string OptionTerm(const OptionDescription& option) {
  std::string term;
  if (!option.short_name.empty()) term = absl::StrCat(RoffBold(option.short_name), ", ");
  absl::StrAppend(&term, RoffBold(option.name));
  if (!option.value.empty()) absl::StrAppend(&term, " ", RoffItalic(option.value));
  return term;
}

// Words and options bold, what they stand for italic.
std::string SynopsisLine(const VerbDescription& verb) {
  std::string line = RoffBold(absl::StrCat("kekctl ", verb.path));
  for (const ArgumentDescription& argument : verb.arguments) {
    const std::string name = RoffItalic(argument.name);
    absl::StrAppend(&line, " ", argument.required ? name : absl::StrCat("[", name, "]"));
  }
  for (const OptionDescription& option : verb.options) {
    std::string syntax = RoffBold(option.name);
    if (!option.value.empty()) absl::StrAppend(&syntax, " ", RoffItalic(option.value));
    absl::StrAppend(&line, " ", option.required ? syntax : absl::StrCat("[", syntax, "]"));
  }
  return line;
}

void AddVerb(const VerbDescription& verb, RoffPage& page) {
  page.Subheading(absl::StrCat("kekctl ", verb.path));
  page.Paragraph(SynopsisLine(verb));
  AddParagraphs(verb.description, page);
  for (const ArgumentDescription& argument : verb.arguments) {
    page.Term(RoffItalic(argument.name), RoffText(argument.help));
  }
  for (const OptionDescription& option : verb.options) {
    page.Term(OptionTerm(option), RoffText(OptionHelp(option)));
  }
  std::vector<std::string> examples;
  for (const std::string& example : verb.examples) {
    examples.push_back(absl::StrCat("kekctl ", example));
  }
  page.Example(examples);
}

}  // namespace

std::string KekctlManPage(const CommandTree& tree) {
  RoffPage page("kekctl", "1", tree.summary);
  page.Heading("Synopsis");
  page.Paragraph(absl::StrCat(RoffBold("kekctl"), " [", RoffItalic("OPTIONS"), "] ",
                              RoffItalic("VERB"), " [", RoffItalic("ITS OPTIONS"), "]"));
  page.Heading("Description");
  AddParagraphs(tree.description, page);
  page.Heading("Options");
  page.Paragraph(RoffText("Before the verb or after it:"));
  for (const OptionDescription& option : tree.common_options) {
    page.Term(OptionTerm(option), RoffText(OptionHelp(option)));
  }
  for (const VerbSection& section : tree.sections) {
    page.Heading(section.title);
    for (const VerbDescription& verb : section.verbs) AddVerb(verb, page);
  }
  page.Heading("Exit status");
  for (const auto& [code, meaning] : ExitCodeMeanings()) {
    page.Term(RoffBold(absl::StrCat(code)), RoffText(meaning));
  }
  page.Heading("Environment");
  page.Term(RoffBold("NO_COLOR"),
            RoffText("if it is set and not empty, tables have no colours, which else they have on "
                     "a terminal"));
  page.Heading("Files");
  page.Term(RoffItalic(kDefaultConfigPath), RoffText("the configuration, for kekd and kekctl"));
  page.Heading("See also");
  page.Paragraph(absl::StrCat(RoffBold("kekd"), "(8), ", RoffBold("kekd.yaml"), "(5)"));
  return page.text();
}

}  // namespace kekd
