// A configuration in a folder of its own, and what kekctl's verbs need of it.
#ifndef KEKD_TESTS_KMS_CTL_TEST_COMMAND_H_
#define KEKD_TESTS_KMS_CTL_TEST_COMMAND_H_

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "kms/config/config.h"
#include "kms/ctl/commands.h"
#include "tests/support/temp_directory.h"

namespace kekd::testing {

// One keyring "prod" whose files and sockets are all in folder(). Nothing is made but the
// configuration file.
class TestCommand final {
 public:
  TestCommand();

  const TempDirectory& folder() const { return folder_; }
  const KeyringConfig& keyring() const { return config_.keyrings.front(); }
  Config& config() { return config_; }
  CommandContext Context(OutputFormat format = OutputFormat::kTable) const;

 private:
  TempDirectory folder_;
  Config config_;
};

// A gRPC server with one service on a unix socket. Ends the process if it can't listen.
std::unique_ptr<grpc::Server> ServeOn(const SocketConfig& socket, grpc::Service* service);

}  // namespace kekd::testing

#endif  // KEKD_TESTS_KMS_CTL_TEST_COMMAND_H_
