// The texts that a command line gives a verb.
#ifndef KEKD_KMS_CTL_VERB_ARGUMENTS_H_
#define KEKD_KMS_CTL_VERB_ARGUMENTS_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace kekd {

// VerbArguments has the values of a verb's options and arguments by the names of its description
// ("--count", "VERSION"), defaults included. Asking for a name that the description does not have
// ends the process: the two stand in one file. Thread-compatible.
class VerbArguments final {
 public:
  using Values = std::map<std::string, std::vector<std::string>>;

  // One entry a name, empty if it was not given and has no default. A flag that was given has "".
  explicit VerbArguments(Values values) : values_(std::move(values)) {}

  bool Has(const std::string& name) const { return !All(name).empty(); }
  // Empty if it was not given.
  const std::string& Text(const std::string& name) const;
  // A file or folder, as an absolute path.
  std::string Path(const std::string& name) const;
  // In the order of the command line; several only where the description allows it.
  const std::vector<std::string>& All(const std::string& name) const;

  // InvalidArgument for all but a decimal number from least to most: "0x10", "+1" and "" are none.
  template <typename Number>
  absl::StatusOr<Number> ReadNumber(const std::string& name, Number least, Number most) const {
    const std::string& text = Text(name);
    Number number = 0;
    const bool digits_only = text.find_first_not_of("0123456789") == std::string::npos;
    if (!digits_only || !absl::SimpleAtoi(text, &number) || number < least || number > most) {
      return absl::InvalidArgumentError(absl::StrCat(name, " must be a number from ", least, " to ",
                                                     most, ", and is \"", text, "\""));
    }
    return number;
  }

 private:
  Values values_;
};

}  // namespace kekd

#endif  // KEKD_KMS_CTL_VERB_ARGUMENTS_H_
