// The command tree as text for a terminal.
#ifndef KEKD_KMS_CTL_HELP_TEXT_H_
#define KEKD_KMS_CTL_HELP_TEXT_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "kms/ctl/command_tree.h"

namespace kekd {

// All of these have lines of 80 columns at most, where the words allow it, and end with a line's
// end.

// 'kekctl --help'.
// "kekctl 1.2.3", with its line end.
std::string VersionText();
std::string TopHelp(const CommandTree& tree);
// 'kekctl keyring --help'.
std::string GroupHelp(const CommandTree& tree, const GroupDescription& group);
// 'kekctl keyring init --help'.
std::string VerbHelp(const CommandTree& tree, const VerbDescription& verb);

// "keyring accept-rollback --generation N [OPTIONS]": what must be given, and whether there is
// more.
std::string Synopsis(const VerbDescription& verb);
// "-o, --output FORMAT".
std::string OptionSyntax(const OptionDescription& option);
// Its help with its default and whether it is needed.
std::string OptionHelp(const OptionDescription& option);
// Whether the verb takes this one of the tree's common options.
bool TakesCommonOption(const VerbDescription& verb, const OptionDescription& option);
// The exit codes with what they mean.
const std::vector<std::pair<int, std::string>>& ExitCodeMeanings();

// The text in lines of `width` columns, all but the first with `indent` blanks before them. Without
// a line's end after the last.
std::string WrapText(absl::string_view text, size_t indent, size_t width);

}  // namespace kekd

#endif  // KEKD_KMS_CTL_HELP_TEXT_H_
