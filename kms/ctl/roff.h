// Manual pages in troff's language, with the macros of man(7).
#ifndef KEKD_KMS_CTL_ROFF_H_
#define KEKD_KMS_CTL_ROFF_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace kekd {

// Plain text in UTF-8, and the same in bold or italic, as troff's: nothing in it is taken for a
// request or an escape, and dashes and quotes stay what a terminal can take back.
std::string RoffText(absl::string_view plain);
std::string RoffBold(absl::string_view plain);
std::string RoffItalic(absl::string_view plain);

// RoffPage writes one page from its beginning to its end. Texts that are called `roff` come from
// the functions above; the others are plain. Not thread-safe.
class RoffPage final {
 public:
  // "kekctl", "1" and what kekctl is, a clause.
  RoffPage(absl::string_view name, absl::string_view section, absl::string_view summary);

  void Heading(absl::string_view title);     // in capitals, as manuals have it
  void Subheading(absl::string_view title);  // as it is
  void Paragraph(absl::string_view roff);
  void Term(absl::string_view term_roff, absl::string_view roff);
  void Item(absl::string_view roff);  // with a bullet
  void Example(const std::vector<std::string>& lines);

  const std::string& text() const { return text_; }

 private:
  std::string text_;
  bool after_heading_ = true;  // where a paragraph begins by itself
};

}  // namespace kekd

#endif  // KEKD_KMS_CTL_ROFF_H_
