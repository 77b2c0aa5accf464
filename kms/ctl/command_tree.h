// What kekctl can do, as data: the one source of its parser, help, completion and manual.
//
// To add a verb: its struct in verbs.h, its function in commands.h, one line in kekctl.cc that
// calls it, and its description with its reader in the *_verbs.cc of its section.
#ifndef KEKD_KMS_CTL_COMMAND_TREE_H_
#define KEKD_KMS_CTL_COMMAND_TREE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kms/ctl/verb_arguments.h"
#include "kms/ctl/verbs.h"

namespace kekd {

// Used where --config is not given.
inline constexpr absl::string_view kDefaultConfigPath = "/etc/kekd/kekd.yaml";

// What a value stands for, where no list says what it may be.
enum class ValueKind { kText, kFile, kFolder };

// What a verb does with the configuration.
enum class ConfigUse {
  kNone,
  kIfThere,   // loads the one that is named, or the one at the usual place if there is one
  kRequired,  // loads it before anything is done
};

// Texts for people: help begins in lower case and has no full stop at its end. Summaries are
// clauses that do the same ("list the key versions of a keyring"); descriptions are sentences, and
// "\n\n" divides their paragraphs.

struct OptionDescription {
  std::string name;             // "--count"
  std::string short_name = "";  // "-o"
  std::string value = "";       // its value's name, "N"; empty: a flag, which has no value
  std::string help;
  std::string default_value = "";
  std::vector<std::string> choices = {};  // all that the value may be; empty: anything
  ValueKind kind = ValueKind::kText;
  bool required = false;
  bool repeatable = false;
};

// A value without a name before it. One that is not required is followed by no required one.
struct ArgumentDescription {
  std::string name;  // "VERSION"
  std::string help;
  std::vector<std::string> choices = {};
  ValueKind kind = ValueKind::kText;
  bool required = true;
};

struct VerbDescription {
  std::string path;  // its words: "keyring wrap add"
  std::string summary;
  std::string description;
  std::vector<ArgumentDescription> arguments = {};
  std::vector<OptionDescription> options = {};
  std::vector<std::string> examples = {};  // at least one, each without its "kekctl "
  // InvalidArgument, naming the option, for values that are none.
  absl::StatusOr<Verb> (*read)(const VerbArguments& given) = nullptr;
  bool takes_keyring = true;  // --keyring
  ConfigUse config = ConfigUse::kRequired;
  bool has_json = true;  // -o json
};

// The words that several verbs have in common before their last: "keyring wrap".
struct GroupDescription {
  std::string path;
  std::string summary;
};

// A part of the list of verbs, with its title.
struct VerbSection {
  std::string title;
  std::vector<GroupDescription> groups;
  std::vector<VerbDescription> verbs;
};

struct CommandTree {
  std::string summary;  // of the program, a clause
  std::string description;
  std::vector<std::string> examples;
  std::vector<OptionDescription> common_options;  // taken before, between and after a verb's words
  std::vector<VerbSection> sections;

  // Null if there is none of these words.
  const VerbDescription* FindVerb(absl::string_view path) const;
  const GroupDescription* FindGroup(absl::string_view path) const;
  // The words that may follow the path, which is that of a group, or empty. In order.
  std::vector<std::string> NextWords(absl::string_view path) const;
};

// kekctl's. Thread-safe.
const CommandTree& KekctlCommandTree();

// The sections, each in a file of its own.
VerbSection KeyringVerbs();
VerbSection BackupVerbs();
VerbSection WrapVerbs();
VerbSection KeyVerbs();
VerbSection RotationVerbs();
VerbSection HsmVerbs();
VerbSection LookingVerbs();
VerbSection MigrationVerbs();
VerbSection ScanVerbs();
VerbSection ToolVerbs();

// A reader for verbs that take nothing.
template <typename T>
absl::StatusOr<Verb> ReadNothing(const VerbArguments&) {
  return T();
}

// "keyring wrap add": the words before the last, and the last.
std::string ParentPath(absl::string_view path);
std::string LastWord(absl::string_view path);
// "keyring wrap" and "add": with a blank between, unless the first is empty.
std::string ChildPath(absl::string_view parent, absl::string_view word);

}  // namespace kekd

#endif  // KEKD_KMS_CTL_COMMAND_TREE_H_
