#include "tests/kms/ctl/test_command.h"

#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/file_system.h"

namespace kekd::testing {

TestCommand::TestCommand() {
  config_.state_directory = folder_.File("state");
  config_.admin_socket.path = folder_.File("admin.sock");
  config_.keyrings.push_back({.name = "prod",
                              .directory = folder_.File("ring"),
                              .unlock = {{.value = folder_.File("ring.key")}},
                              .socket = {.path = folder_.File("kekd.sock")}});
  WriteTestFile(folder_.File("kekd.yaml"), "locked by 'keyring init', and read by nobody\n");
}

CommandContext TestCommand::Context(OutputFormat format) const {
  return {.fs = &FileSystem::System(),
          .config = &config_,
          .config_path = folder_.File("kekd.yaml"),
          .format = format,
          .keyring = "",
          .now = absl::Now()};
}

std::unique_ptr<grpc::Server> ServeOn(const SocketConfig& socket, grpc::Service* service) {
  grpc::ServerBuilder builder;
  builder.AddListeningPort(absl::StrCat("unix:", socket.path), grpc::InsecureServerCredentials());
  builder.RegisterService(service);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) abort();
  return server;
}

}  // namespace kekd::testing
