#include "kms/server/grpc_process.h"

#include <grpc/support/log.h>
#include <stdlib.h>

#include "absl/synchronization/mutex.h"
#include "base/log.h"

namespace kekd {
namespace {

void LogFromGrpc(gpr_log_func_args* args) {
  const LogLevel level =
      args->severity == GPR_LOG_SEVERITY_ERROR ? LogLevel::kWarning : LogLevel::kDebug;
  Log(level, "gRPC", {{"message", args->message}});
}

}  // namespace

void PrepareGrpc() {
  unsetenv("GRPC_TRACE");
  unsetenv("GRPC_VERBOSITY");
  setenv("GRPC_POLL_STRATEGY", "poll", /*overwrite=*/0);
  gpr_set_log_function(LogFromGrpc);
  gpr_set_log_verbosity(GPR_LOG_SEVERITY_ERROR);
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
}

}  // namespace kekd
