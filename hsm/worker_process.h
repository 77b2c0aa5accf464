// One life of a kekd-hsm-worker.
#ifndef KEKD_HSM_WORKER_PROCESS_H_
#define KEKD_HSM_WORKER_PROCESS_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "hsm/token/worker_message.h"

namespace kekd {

// WorkerProcess is a running kekd-hsm-worker: a program of its own, started by posix_spawn, in
// which alone the PKCS#11 module and the PIN are. It has one socket pair per channel; each channel
// has a thread in the worker that answers one request at a time. The worker ends when kekd's end of
// its sockets is closed. It gets kekd's environment, which modules are configured by, without what
// looks like a secret and without systemd's descriptors. Every deadline is by MonotonicNow().
// Thread-safe.
class WorkerProcess final {
 public:
  struct Options {
    // Absolute path of kekd-hsm-worker; empty: what FindWorkerProgram() finds, at every start anew.
    std::string program;
    WorkerConfig config;
    uint32_t channels = 4;  // 1 to kMaxChannels
    // An Encrypt, Decrypt or Probe that was not answered within this time hangs: the worker is
    // killed. A shorter deadline of a caller ends the caller's wait only. Anything else, which may
    // take long by nature, hangs when its caller's deadline has passed too.
    absl::Duration call_timeout = absl::Seconds(2);
    // The same for the start: loading the module, C_Initialize, finding the token, login.
    absl::Duration start_timeout = absl::Seconds(30);
  };

  // Spawns it, nothing more. InvalidArgument for options that make no sense, NotFound if
  // FindWorkerProgram() finds none, Unavailable if it can't be spawned.
  static absl::StatusOr<std::shared_ptr<WorkerProcess>> Spawn(const Options& options);
  // Sends the configuration, to be called once before the first Call. The token may be away: then
  // the worker lives, and `start_status()` says what is wrong. Unavailable if the worker ends, was
  // killed or asks for another process.
  absl::Status Configure(const Options& options, absl::Time deadline);
  // Kills it and waits for its end, for a second; one that the kernel can't end just then (a driver
  // that hangs) is reaped when it does end.
  ~WorkerProcess();

  // Sends a request on a free channel and waits for the answer: for a channel and for the answer
  // until `deadline`. Sets the request's timeout and leaves the rest, so that it can be sent again.
  // The worker's own errors come as the response's status. Unavailable if the worker has ended or
  // was killed, DeadlineExceeded if there is no answer yet, InvalidArgument if the request is too
  // large.
  absl::StatusOr<WorkerResponse> Call(WorkerRequest& request, absl::Time deadline);

  // False once it has ended or was given up.
  bool alive() const;
  // Why not: "it was killed by signal 11 (SIGSEGV)", "it ended with code 3", "encrypt was not
  // answered within 2s"; empty while it lives.
  std::string end() const;
  pid_t pid() const { return pid_; }
  // Ends it and what the module has started in its process group. The calls that wait fail. More
  // than once is fine; the first reason is kept.
  void Kill(absl::string_view why);

  // Of Configure.
  const absl::Status& start_status() const { return start_status_; }
  const TokenDescription& token() const { return token_; }

 private:
  struct State;  // outlives this object in the thread that waits for the process's end
  struct Lease;  // of a channel
  WorkerProcess(pid_t pid, std::shared_ptr<State> state, absl::Duration call_timeout);

  absl::StatusOr<Lease> Acquire(WorkerVerb verb, absl::Time deadline);
  absl::StatusOr<WorkerResponse> CallOn(Lease& lease, const WorkerRequest& request,
                                        absl::Time hang_at, absl::Time deadline);
  absl::Status Ended();

  const pid_t pid_;
  const std::shared_ptr<State> state_;
  const absl::Duration call_timeout_;
  absl::Status start_status_;
  TokenDescription token_;
};

// "encrypt", "decrypt", …
absl::string_view ToString(WorkerVerb verb);

// The kekd-hsm-worker that belongs to this program: in the folder of the running program, else in
// ../libexec/kekd beside that. Never by PATH or the environment. NotFound that names both places.
absl::StatusOr<std::string> FindWorkerProgram();

}  // namespace kekd

#endif  // KEKD_HSM_WORKER_PROCESS_H_
