#include "kms/ctl/verb_arguments.h"

#include <cstdio>
#include <cstdlib>

#include "base/file_system.h"

namespace kekd {

const std::vector<std::string>& VerbArguments::All(const std::string& name) const {
  const auto found = values_.find(name);
  if (found == values_.end()) {
    fprintf(stderr, "kekctl: bug: no description has %s\n", name.c_str());
    abort();
  }
  return found->second;
}

const std::string& VerbArguments::Text(const std::string& name) const {
  static const std::string& nothing = *new std::string;
  const std::vector<std::string>& all = All(name);
  return all.empty() ? nothing : all.front();
}

std::string VerbArguments::Path(const std::string& name) const { return AbsolutePath(Text(name)); }

}  // namespace kekd
