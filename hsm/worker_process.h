// One life of a kekd-hsm-worker.
#ifndef KEKD_HSM_WORKER_PROCESS_H_
#define KEKD_HSM_WORKER_PROCESS_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/mutex.h"
#include "base/unique_fd.h"
#include "hsm/token/worker_message.h"

namespace kekd {

// WorkerProcess is a running kekd-hsm-worker: a program of its own, started by posix_spawn, in
// which alone the PKCS#11 module and the PIN are. It has one socket pair per channel; each channel
// has a thread in the worker that answers one request at a time. The worker ends when kekd's end of
// its sockets is closed. Thread-safe.
class WorkerProcess final {
 public:
  struct Options {
    std::string program;  // absolute path of kekd-hsm-worker
    WorkerConfig config;
    uint32_t channels = 4;
    // A request that was not answered within this time hangs: the worker is killed. A shorter
    // deadline of a caller ends the caller's wait only.
    absl::Duration call_timeout = absl::Seconds(2);
  };

  // Spawns it and sends the configuration. The token may be away: then the worker lives, and
  // `start_status()` says what is wrong. Unavailable if it can't be spawned or ends at once.
  static absl::StatusOr<std::shared_ptr<WorkerProcess>> Start(const Options& options,
                                                              absl::Time deadline);
  ~WorkerProcess();  // kills it and waits for its end

  // Sends a request on a free channel and waits for the answer: for a channel and for the answer
  // until `deadline`. The worker's own errors come as the response's status. Unavailable if the
  // worker has ended or was killed, DeadlineExceeded if there is no answer yet (the worker is
  // killed if the request is older than call_timeout).
  absl::StatusOr<WorkerResponse> Call(WorkerRequest request, absl::Time deadline);

  // False once it has ended or was given up.
  bool alive() const;
  // Why not: "it was killed by signal 11 (SIGSEGV)", "it ended with code 3", "C_Encrypt hung …".
  std::string end() const;
  pid_t pid() const { return pid_; }
  // Ends it. The calls that wait fail. More than once is fine.
  void Kill(const std::string& why);

  const absl::Status& start_status() const { return start_status_; }
  const TokenDescription& token() const { return token_; }

 private:
  struct Channel;
  WorkerProcess(pid_t pid, std::vector<std::unique_ptr<Channel>> channels,
                absl::Duration call_timeout);

  const pid_t pid_;
  const absl::Duration call_timeout_;
  absl::Status start_status_;
  TokenDescription token_;
  mutable Mutex mu_;
  CondVar free_;
  std::vector<std::unique_ptr<Channel>> channels_ ABSL_GUARDED_BY(mu_);
  bool alive_ ABSL_GUARDED_BY(mu_) = true;
  std::string end_ ABSL_GUARDED_BY(mu_);
};

}  // namespace kekd

#endif  // KEKD_HSM_WORKER_PROCESS_H_
