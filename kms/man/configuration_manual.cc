#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"
#include "kms/ctl/roff.h"
#include "kms/man/manual.h"

namespace kekd {
namespace {

constexpr absl::string_view kFence = "```";
constexpr absl::string_view kItem = "- ";

// "[text](address)" at the beginning: its text, and the rest after it. False if there is none.
bool TakeLink(absl::string_view& rest, absl::string_view& text) {
  const size_t middle = rest.find("](");
  const size_t end = middle == absl::string_view::npos ? middle : rest.find(')', middle);
  if (rest[0] != '[' || end == absl::string_view::npos) return false;
  text = rest.substr(1, middle - 1);
  rest.remove_prefix(end + 1);
  return true;
}

// What stands between two marks at the beginning, and the rest after it. False if there are none.
bool TakeMarked(absl::string_view mark, absl::string_view& rest, absl::string_view& text) {
  if (!absl::StartsWith(rest, mark)) return false;
  const size_t end = rest.find(mark, mark.size());
  if (end == absl::string_view::npos) return false;
  text = rest.substr(mark.size(), end - mark.size());
  rest.remove_prefix(end + mark.size());
  return true;
}

std::string Inline(absl::string_view rest) {
  std::string roff;
  while (!rest.empty()) {
    absl::string_view inner;
    if (TakeMarked("`", rest, inner)) {
      absl::StrAppend(&roff, RoffBold(inner));
    } else if (TakeMarked("**", rest, inner)) {
      absl::StrAppend(&roff, RoffBold(inner));
    } else if (rest[0] == '[' && TakeLink(rest, inner)) {
      absl::StrAppend(&roff, RoffText(inner));
    } else {
      const size_t next = std::min(rest.find_first_of("`*[", 1), rest.size());
      absl::StrAppend(&roff, RoffText(rest.substr(0, next)));
      rest.remove_prefix(next);
    }
  }
  return roff;
}

std::vector<std::string> Cells(absl::string_view row) {
  absl::ConsumePrefix(&row, "|");
  absl::ConsumeSuffix(&row, "|");
  std::vector<std::string> cells;
  for (const absl::string_view cell : absl::StrSplit(row, '|')) {
    cells.emplace_back(absl::StripAsciiWhitespace(cell));
  }
  return cells;
}

// Goes over the page line by line; what belongs together is gathered and then written.
class Converter final {
 public:
  Converter() : page_("kekd.yaml", "5", "the configuration of kekd and kekctl") {}

  absl::StatusOr<std::string> Convert(absl::string_view markdown) {
    for (const absl::string_view line : absl::StrSplit(markdown, '\n')) {
      KEKD_RETURN_IF_ERROR(Take(line));
    }
    if (in_code_) return absl::InvalidArgumentError("a fence is not closed");
    Flush();
    page_.Heading("See also");
    page_.Paragraph(absl::StrCat(RoffBold("kekd"), "(8), ", RoffBold("kekctl"), "(1)"));
    return page_.text();
  }

 private:
  absl::Status Take(absl::string_view line) {
    if (absl::StartsWith(line, kFence)) {
      if (in_code_) page_.Example(code_);
      if (!in_code_) Flush();
      code_.clear();
      in_code_ = !in_code_;
      return absl::OkStatus();
    }
    if (in_code_) {
      code_.emplace_back(line);
      return absl::OkStatus();
    }
    if (line.empty() || line[0] == '#') Flush();
    if (line.empty()) {
      table_row_ = 0;
      return absl::OkStatus();
    }
    if (line[0] == '#') {
      TakeHeading(line);
      return absl::OkStatus();
    }
    if (line[0] == '|') return TakeRow(line);
    if (absl::ConsumePrefix(&line, kItem)) {
      Flush();
      is_item_ = true;
    }
    absl::StrAppend(&paragraph_, paragraph_.empty() ? "" : " ", absl::StripAsciiWhitespace(line));
    return absl::OkStatus();
  }

  // The first is the page's own title.
  void TakeHeading(absl::string_view line) {
    const size_t level = line.find_first_not_of('#');
    page_.Heading(level == 1 ? "Description" : absl::StripAsciiWhitespace(line.substr(level)));
  }

  absl::Status TakeRow(absl::string_view line) {
    // The header and the line under it.
    if (table_row_++ < 2) return absl::OkStatus();
    const std::vector<std::string> cells = Cells(line);
    if (cells.size() != 3) {
      return absl::InvalidArgumentError(
          absl::StrCat("a table's row has ", cells.size(), " cells instead of 3: ", line));
    }
    const std::string when =
        cells[1] == "required" ? "Required." : absl::StrCat("Default: ", cells[1], ".");
    page_.Term(Inline(cells[0]), Inline(absl::StrCat(cells[2], ". ", when)));
    return absl::OkStatus();
  }

  void Flush() {
    if (!paragraph_.empty()) {
      if (is_item_) {
        page_.Item(Inline(paragraph_));
      } else {
        page_.Paragraph(Inline(paragraph_));
      }
    }
    paragraph_.clear();
    is_item_ = false;
  }

  RoffPage page_;
  std::string paragraph_;
  bool is_item_ = false;
  bool in_code_ = false;
  std::vector<std::string> code_;
  int table_row_ = 0;  // of the table at hand
};

}  // namespace

absl::StatusOr<std::string> ManualFromConfigurationPage(absl::string_view markdown) {
  return Converter().Convert(markdown);
}

}  // namespace kekd
