#include "tests/hsm/tokens/test_token.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace kekd::testing {
namespace {

constexpr int kNotInstalled = 77;

}  // namespace

WorkerConfig TestToken::Config(const std::string& directory) const {
  WorkerConfig config;
  config.module_path = module;
  config.init_arguments = init_arguments;
  config.token.label = label;
  config.token.serial = serial;
  config.pin_file = pin_file;
  config.pin_log_directory = directory + "/pins";
  return config;
}

std::optional<TestToken> MakeTestToken(const std::string& script, const std::string& directory,
                                       const std::string& label, const std::string& pin) {
  const std::string command = absl::StrCat(KEKD_TOKEN_SCRIPTS, "/", script, " '", directory, "' '",
                                           label, "' '", pin, "' ", getpid());
  FILE* const pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) abort();
  std::string output;
  char buffer[4096];
  while (const size_t n = fread(buffer, 1, sizeof(buffer), pipe)) output.append(buffer, n);
  const int status = pclose(pipe);
  if (WIFEXITED(status) && WEXITSTATUS(status) == kNotInstalled) return std::nullopt;
  if (status != 0) {
    fprintf(stderr, "%s failed\n", command.c_str());
    abort();
  }
  std::map<std::string, std::string> values;
  for (const absl::string_view line : absl::StrSplit(output, '\n', absl::SkipEmpty())) {
    const std::pair<std::string, std::string> pair = absl::StrSplit(line, absl::MaxSplits('=', 1));
    values.insert(pair);
    if (pair.first != "ENV") continue;
    const std::pair<std::string, std::string> env =
        absl::StrSplit(pair.second, absl::MaxSplits('=', 1));
    if (!env.first.empty()) setenv(env.first.c_str(), env.second.c_str(), 1);
  }
  return TestToken{.module = values["MODULE"],
                   .init_arguments = values["INIT_ARGUMENTS"],
                   .label = values["TOKEN"],
                   .serial = values["SERIAL"],
                   .pin_file = values["PIN_FILE"],
                   .twin_label = values["TWIN"],
                   .twin_serial = values["TWIN_SERIAL"]};
}

}  // namespace kekd::testing
