// Manual pages from texts that are there for other readers too, so that there is no second copy.
#ifndef KEKD_KMS_MAN_MANUAL_H_
#define KEKD_KMS_MAN_MANUAL_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace kekd {

// kekd(8) from what 'kekd --help' prints: "Usage: …" first, then blocks with an empty line between.
// InvalidArgument for what is no such text.
absl::StatusOr<std::string> ManualFromHelp(absl::string_view help);

// kekd.yaml(5) from docs/configuration.md. Takes of Markdown what that page uses: headings,
// paragraphs, lists, fenced code, tables of "field, default, meaning", bold, code and links.
// InvalidArgument for a table of another width and for a fence that is not closed.
absl::StatusOr<std::string> ManualFromConfigurationPage(absl::string_view markdown);

}  // namespace kekd

#endif  // KEKD_KMS_MAN_MANUAL_H_
