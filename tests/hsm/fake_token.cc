#include "tests/hsm/fake_token.h"

#include "base/bytes.h"
#include "tests/support/secrets.h"

namespace kekd::testing {

WorkerProcess::Options FakeToken::Options(absl::string_view at_start) const {
  WorkerProcess::Options options;
  options.program = KEKD_FAKE_WORKER;
  options.config.init_arguments = std::string(at_start);
  options.config.pin_log_directory = folder_.path();
  options.call_timeout = absl::Seconds(1);
  return options;
}

KeyReference FakeToken::Key(absl::string_view label) {
  KeyReference key;
  key.token.label = "fake";
  key.key.label = std::string(label);
  return key;
}

absl::StatusOr<std::string> FakeToken::Encrypt(TokenClient& client, absl::string_view label,
                                               absl::Time deadline) {
  return client.Encrypt(Key(label), SecretFromText("plaintext"), AsBytes("associated data"),
                        deadline);
}

}  // namespace kekd::testing
