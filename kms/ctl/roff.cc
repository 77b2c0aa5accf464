#include "kms/ctl/roff.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kms/config/version.h"

namespace kekd {
namespace {

// A page has to have one; it is no build's, so that every build makes the same page.
constexpr absl::string_view kPageDate = "2026-11-21";

// The code point of the character at the beginning of the text, which is UTF-8; removes it.
uint32_t TakeCharacter(absl::string_view& text) {
  const auto first = static_cast<unsigned char>(text[0]);
  const size_t size = first < 0x80 ? 1 : first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  uint32_t point = size == 1 ? first : first & (0xffU >> (size + 1));
  for (size_t i = 1; i < size && i < text.size(); ++i) {
    point = point << 6 | (static_cast<unsigned char>(text[i]) & 0x3fU);
  }
  text.remove_prefix(std::min(size, text.size()));
  return point;
}

// troff shows some of ASCII's as typographic characters unless they are asked for by name.
std::string Escaped(absl::string_view plain) {
  std::string roff;
  while (!plain.empty()) {
    const uint32_t point = TakeCharacter(plain);
    switch (point) {
      case '\\':
        roff += "\\e";
        break;
      case '-':
        roff += "\\-";
        break;
      case '\'':
        roff += "\\(aq";
        break;
      case '"':
        roff += "\\(dq";
        break;
      case '`':
        roff += "\\(ga";
        break;
      case '^':
        roff += "\\(ha";
        break;
      case '~':
        roff += "\\(ti";
        break;
      default:
        if (point < 0x80) {
          roff += static_cast<char>(point);
        } else {
          absl::StrAppendFormat(&roff, "\\[u%04X]", point);
        }
    }
  }
  return roff;
}

// A point at a line's beginning would make a request of it.
std::string Line(absl::string_view roff) {
  return absl::StrCat(!roff.empty() && roff[0] == '.' ? "\\&" : "", roff, "\n");
}

}  // namespace

std::string RoffText(absl::string_view plain) { return Escaped(plain); }

std::string RoffBold(absl::string_view plain) {
  return absl::StrCat("\\fB", Escaped(plain), "\\fR");
}

std::string RoffItalic(absl::string_view plain) {
  return absl::StrCat("\\fI", Escaped(plain), "\\fR");
}

RoffPage::RoffPage(absl::string_view name, absl::string_view section, absl::string_view summary)
    : text_(absl::StrCat(".TH ", Escaped(absl::AsciiStrToUpper(name)), " ", section, " \"",
                         kPageDate, "\" \"kekd ", kKekdVersion, "\" \"kekd\"\n", ".SH NAME\n",
                         Escaped(name), " \\- ", Escaped(summary), "\n")) {}

void RoffPage::Heading(absl::string_view title) {
  absl::StrAppend(&text_, ".SH ", Escaped(absl::AsciiStrToUpper(title)), "\n");
  after_heading_ = true;
}

void RoffPage::Subheading(absl::string_view title) {
  absl::StrAppend(&text_, ".SS ", Escaped(title), "\n");
  after_heading_ = true;
}

void RoffPage::Paragraph(absl::string_view roff) {
  absl::StrAppend(&text_, after_heading_ ? "" : ".PP\n", Line(roff));
  after_heading_ = false;
}

void RoffPage::Term(absl::string_view term_roff, absl::string_view roff) {
  absl::StrAppend(&text_, ".TP\n", Line(term_roff), Line(roff));
  after_heading_ = false;
}

void RoffPage::Item(absl::string_view roff) {
  absl::StrAppend(&text_, ".IP \\(bu 2\n", Line(roff));
  after_heading_ = false;
}

void RoffPage::Example(const std::vector<std::string>& lines) {
  absl::StrAppend(&text_, after_heading_ ? "" : ".PP\n", ".RS 4\n.EX\n");
  for (const std::string& line : lines) absl::StrAppend(&text_, Line(Escaped(line)));
  absl::StrAppend(&text_, ".EE\n.RE\n");
  after_heading_ = false;
}

}  // namespace kekd
