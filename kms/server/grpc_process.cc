#include "kms/server/grpc_process.h"

#include <google/protobuf/stubs/logging.h>
#include <grpc/support/log.h>
#include <stdlib.h>

#include <cstdint>
#include <optional>
#include <string>

#include "absl/synchronization/mutex.h"
#include "base/log.h"
#include "base/log_throttle.h"

namespace kekd {
namespace {

void LogFromGrpc(gpr_log_func_args* args) {
  const LogLevel level =
      args->severity == GPR_LOG_SEVERITY_ERROR ? LogLevel::kWarning : LogLevel::kDebug;
  Log(level, "gRPC", {{"message", args->message}});
}

// A peer can cause these with every call: a string that is not UTF-8.
void LogFromProtobuf(google::protobuf::LogLevel level, const char* /*file*/, int /*line*/,
                     const std::string& message) {
  static LogThrottle throttle;
  if (level < google::protobuf::LOGLEVEL_WARNING) return;
  if (const std::optional<uint64_t> not_logged = throttle.Admit()) {
    LogWarning("protobuf", {{"message", message}, {"not_logged", *not_logged}});
  }
}

}  // namespace

void PrepareGrpc() {
  unsetenv("GRPC_TRACE");
  unsetenv("GRPC_VERBOSITY");
  setenv("GRPC_POLL_STRATEGY", "poll", /*overwrite=*/0);
  gpr_set_log_function(LogFromGrpc);
  gpr_set_log_verbosity(GPR_LOG_SEVERITY_ERROR);
  google::protobuf::SetLogHandler(LogFromProtobuf);
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
}

}  // namespace kekd
