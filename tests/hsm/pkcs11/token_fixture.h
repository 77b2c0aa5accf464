// A Token in this process, with a real module behind it.
#ifndef KEKD_TESTS_HSM_PKCS11_TOKEN_FIXTURE_H_
#define KEKD_TESTS_HSM_PKCS11_TOKEN_FIXTURE_H_

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>

#include "hsm/pkcs11/token.h"
#include "tests/hsm/tokens/test_token.h"
#include "tests/support/temp_directory.h"

namespace kekd::testing {

class TokenFixture : public ::testing::Test {
 protected:
  static constexpr char kPin[] = "kekd-test-4711";

  // Makes a token by a script of tests/hsm/tokens, or skips the test; and a Token for it.
  void Make(const std::string& script);
  // Another Token, as a new worker would have it, for the configuration as it is now. The module
  // goes on as it is.
  void Begin();
  // C_Finalize, as the end of a worker does.
  void TearDown() override;
  void EndModule();

  WorkerResponse Ask(WorkerRequest request, absl::Duration timeout = absl::Seconds(5));
  WorkerResponse Generate(const std::string& label, const std::string& id, bool modifiable = false);
  WorkerResponse Encrypt(const KeyReference& key, const std::string& text);
  WorkerResponse Decrypt(const KeyReference& key, const std::string& sealed,
                         const std::string& data = "data");  // if the mechanism binds any
  WorkerResponse OfKey(WorkerVerb verb, const KeyReference& key);
  WorkerResponse Only(WorkerVerb verb) { return OfKey(verb, {}); }

  TempDirectory directory_;
  std::optional<TestToken> made_;
  WorkerConfig config_;
  std::unique_ptr<Token> token_;
};

}  // namespace kekd::testing

#endif  // KEKD_TESTS_HSM_PKCS11_TOKEN_FIXTURE_H_
