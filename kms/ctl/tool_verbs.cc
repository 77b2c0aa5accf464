#include "base/status_macros.h"
#include "kms/ctl/command_tree.h"
#include "kms/ctl/help_text.h"

namespace kekd {
namespace {

absl::StatusOr<Verb> ReadCompletion(const VerbArguments& given) {
  return CompletionVerb{given.Text("SHELL")};
}

// "help" is read as --help by the parser; this is for its description's sake.
absl::StatusOr<Verb> ReadHelp(const VerbArguments&) {
  return PrintText{TopHelp(KekctlCommandTree())};
}

absl::StatusOr<Verb> ReadVersion(const VerbArguments&) { return PrintText{VersionText()}; }

}  // namespace

VerbSection ToolVerbs() {
  return {.title = "kekctl itself",
          .groups = {},
          .verbs = {
              {
                  .path = "completion",
                  .summary = "print a script with which a shell completes kekctl's words",
                  .description =
                      "Prints a script with which a shell completes kekctl's verbs, options and "
                      "their values. It is installed with kekctl; this is for other places and for "
                      "shells of one user.",
                  .arguments = {{.name = "SHELL",
                                 .help = "bash, zsh or fish",
                                 .choices = {"bash", "zsh", "fish"}}},
                  .examples = {"completion bash > /etc/bash_completion.d/kekctl",
                               "completion zsh > /usr/local/share/zsh/site-functions/_kekctl",
                               "completion fish > ~/.config/fish/completions/kekctl.fish"},
                  .read = ReadCompletion,
                  .takes_keyring = false,
                  .config = ConfigUse::kNone,
                  .has_json = false,
              },
              {
                  .path = "help",
                  .summary = "print the help of a verb",
                  .description = "Prints the help of a verb or of the verbs that begin with a "
                                 "word, as --help after it does.",
                  .arguments = {{.name = "VERB", .help = "its words", .required = false}},
                  .examples = {"help", "help key promote"},
                  .read = ReadHelp,
                  .takes_keyring = false,
                  .config = ConfigUse::kNone,
                  .has_json = false,
              },
              {
                  .path = "version",
                  .summary = "print the version",
                  .description = "Prints the version of kekctl, as --version does.",
                  .examples = {"version"},
                  .read = ReadVersion,
                  .takes_keyring = false,
                  .config = ConfigUse::kNone,
                  .has_json = false,
              },
              {
                  .path = "man",
                  .summary = "print the manual page kekctl(1)",
                  .description =
                      "Prints the manual page kekctl(1) in troff's language. It is installed with "
                      "kekctl; this is for where it is not.",
                  .examples = {"man | man -l -"},
                  .read = ReadNothing<ManVerb>,
                  .takes_keyring = false,
                  .config = ConfigUse::kNone,
                  .has_json = false,
              },
          }};
}

}  // namespace kekd
