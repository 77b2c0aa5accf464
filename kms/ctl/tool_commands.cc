#include "kms/ctl/command_tree.h"
#include "kms/ctl/commands.h"
#include "kms/ctl/completion.h"
#include "kms/ctl/man_page.h"

namespace kekd {

absl::StatusOr<CommandResult> Completion(const CompletionVerb& verb) {
  const CommandTree& tree = KekctlCommandTree();
  CommandResult result;
  if (verb.shell == "bash") {
    result.output = BashCompletion(tree);
  } else if (verb.shell == "zsh") {
    result.output = ZshCompletion(tree);
  } else {
    result.output = FishCompletion(tree);
  }
  return result;
}

absl::StatusOr<CommandResult> ManPage() {
  CommandResult result;
  result.output = KekctlManPage(KekctlCommandTree());
  return result;
}

}  // namespace kekd
