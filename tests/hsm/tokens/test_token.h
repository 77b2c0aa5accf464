// Real tokens for tests.
#ifndef KEKD_TESTS_HSM_TOKENS_TEST_TOKEN_H_
#define KEKD_TESTS_HSM_TOKENS_TEST_TOKEN_H_

#include <optional>
#include <string>

#include "hsm/token/worker_message.h"

namespace kekd::testing {

// A token that a script of this folder has made.
struct TestToken {
  std::string module;
  std::string init_arguments;
  std::string label;
  std::string serial;
  std::string pin_file;
  // The second of two tokens with one key, if they were asked for.
  std::string twin_label;
  std::string twin_serial;

  // Works with it; what is remembered about PINs goes to `directory`/pins.
  WorkerConfig Config(const std::string& directory) const;
};

// Runs tests/hsm/tokens/`script` (with its options, as "softhsm2 --twin") and sets the environment
// variables that the module needs in this process. Servers that it starts end with this process at
// the latest. None if the module is not installed. Ends the process on any other failure.
std::optional<TestToken> MakeTestToken(const std::string& script, const std::string& directory,
                                       const std::string& label, const std::string& pin);

}  // namespace kekd::testing

#endif  // KEKD_TESTS_HSM_TOKENS_TEST_TOKEN_H_
