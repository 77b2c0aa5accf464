#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "kms/ctl/roff.h"
#include "kms/man/manual.h"

namespace kekd {
namespace {

constexpr absl::string_view kUsage = "Usage: ";
constexpr absl::string_view kExitCodes = "Exit codes: ";
constexpr absl::string_view kExample = "Example: ";

using Lines = std::vector<std::string>;

std::vector<Lines> Blocks(absl::string_view text) {
  std::vector<Lines> blocks;
  for (const absl::string_view block : absl::StrSplit(text, "\n\n", absl::SkipWhitespace())) {
    blocks.push_back(absl::StrSplit(block, '\n', absl::SkipWhitespace()));
  }
  return blocks;
}

// "  --config FILE   the configuration": two blanks or more part the option from its help, whose
// further lines stand deeper.
void AddOptions(const Lines& lines, size_t first, RoffPage& page) {
  std::string term;
  std::string help;
  const auto flush = [&] {
    if (!term.empty()) page.Term(RoffBold(term), RoffText(help));
    term.clear();
    help.clear();
  };
  for (size_t i = first; i < lines.size(); ++i) {
    const absl::string_view line = absl::StripAsciiWhitespace(lines[i]);
    if (line[0] != '-') {
      absl::StrAppend(&help, help.empty() ? "" : " ", line);
      continue;
    }
    flush();
    const size_t gap = std::min(line.find("  "), line.size());
    term = std::string(line.substr(0, gap));
    help = std::string(absl::StripAsciiWhitespace(line.substr(gap)));
  }
  flush();
}

// "Exit codes: 0 ended by a signal; 1 failure."
void AddExitCodes(absl::string_view text, RoffPage& page) {
  text.remove_prefix(kExitCodes.size());
  absl::ConsumeSuffix(&text, ".");
  page.Heading("Exit status");
  for (const absl::string_view item : absl::StrSplit(text, "; ")) {
    const std::vector<std::string> parts = absl::StrSplit(item, absl::MaxSplits(' ', 1));
    page.Term(RoffBold(parts.front()), RoffText(parts.back()));
  }
}

void AddBlock(const Lines& lines, RoffPage& page) {
  const std::string joined = absl::StrJoin(lines, " ");
  if (absl::StartsWith(joined, kExitCodes)) return AddExitCodes(joined, page);
  if (absl::StartsWith(joined, kExample)) {
    page.Heading("Examples");
    return page.Example({joined.substr(kExample.size())});
  }
  if (absl::StartsWith(lines.front(), "  ")) {
    page.Heading("Options");
    return AddOptions(lines, 0, page);
  }
  if (lines.size() > 1 && absl::StartsWith(lines[1], "  ")) {
    page.Heading(absl::StripSuffix(lines.front(), ":"));
    return AddOptions(lines, 1, page);
  }
  page.Paragraph(RoffText(joined));
}

}  // namespace

absl::StatusOr<std::string> ManualFromHelp(absl::string_view help) {
  const std::vector<Lines> blocks = Blocks(help);
  if (blocks.size() < 2 || !absl::StartsWith(blocks[0][0], kUsage)) {
    return absl::InvalidArgumentError("the text has no \"Usage: \" at its beginning");
  }
  RoffPage page("kekd", "8", "keeps the key-encryption keys of a Kubernetes control plane");
  page.Heading("Synopsis");
  for (const std::string& line : blocks[0]) {
    page.Paragraph(RoffBold(absl::StripAsciiWhitespace(absl::StripPrefix(line, kUsage))));
  }
  page.Heading("Description");
  for (size_t i = 1; i < blocks.size(); ++i) AddBlock(blocks[i], page);
  page.Heading("See also");
  page.Paragraph(absl::StrCat(RoffBold("kekctl"), "(1), ", RoffBold("kekd.yaml"), "(5)"));
  return page.text();
}

}  // namespace kekd
