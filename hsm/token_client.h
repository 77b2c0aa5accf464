// A token, whatever becomes of its worker.
#ifndef KEKD_HSM_TOKEN_CLIENT_H_
#define KEKD_HSM_TOKEN_CLIENT_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/log_throttle.h"
#include "base/mutex.h"
#include "hsm/worker_process.h"

namespace kekd {

// TokenClient keeps a worker for one token: starts it with the first call, starts another when it
// has died, hangs or asks for it, and repeats the call that this broke, once (never Generate, which
// may have left a key behind). Every request is whole in itself (the worker finds its key by the
// reference and keeps the handle), so a new worker needs nothing but the configuration. A start
// goes on when the deadline of the call that began it has passed, so that a token which is slow to
// start comes up in the end.
//
// Starts that fail are spaced: at once, then 50 ms, 100 ms … 500 ms; calls meanwhile fail at once
// with Unavailable and the reason. Workers that start well and end before their first answer are
// spaced in the same way; calls meanwhile wait for the next one. Thread-safe.
class TokenClient final {
 public:
  static constexpr absl::Duration kFirstPause = absl::Milliseconds(50);
  static constexpr absl::Duration kLongestPause = absl::Milliseconds(500);

  // No worker is started before the first call.
  explicit TokenClient(WorkerProcess::Options options) : options_(std::move(options)) {}
  ~TokenClient();  // ends the worker; no call may be under way
  TokenClient(const TokenClient&) = delete;
  TokenClient& operator=(const TokenClient&) = delete;

  // nonce || ciphertext || tag. Errors as WorkerResponse::status and WorkerProcess::Call.
  absl::StatusOr<std::string> Encrypt(const KeyReference& key, const SecretBytes& plaintext,
                                      ByteView associated_data, absl::Time deadline);
  absl::StatusOr<SecretBytes> Decrypt(const KeyReference& key, ByteView sealed,
                                      ByteView associated_data, absl::Time deadline);
  // Makes a key, checks its attributes and its round trip; a key that fails is destroyed again.
  absl::StatusOr<KeyReference> Generate(const NewKey& key, absl::Time deadline);
  absl::StatusOr<KeyReference> Adopt(const NewKey& key, absl::Time deadline);
  absl::Status Destroy(const KeyReference& key, absl::Time deadline);
  absl::StatusOr<std::vector<KeyDescription>> List(absl::Time deadline);
  // What the token says now of the key's one or two objects: the key, then its HMAC key.
  absl::StatusOr<std::vector<KeyDescription>> Attest(const KeyReference& key, absl::Time deadline);
  // A token that can't be logged in to is described all the same: its pin_problem says why.
  absl::StatusOr<TokenDescription> Describe(absl::Time deadline);
  absl::Status Probe(absl::Time deadline);
  // The same with a round trip of the key; NotFound if there is no such key.
  absl::Status Probe(const KeyReference& key, absl::Time deadline);
  absl::StatusOr<std::vector<Measurement>> Measure(const KeyReference& key, uint32_t count,
                                                   absl::Time deadline);
  // What the token can do, by trying each mechanism with keys of the session.
  absl::StatusOr<std::vector<MechanismTrial>> Try(absl::Time deadline);

  // What the worker's process has lived through, for metrics and people.
  struct Stats {
    uint64_t starts = 0;   // of workers
    pid_t pid = 0;         // of the one that lives; 0 if none does
    std::string last_end;  // why the one before it ended
  };
  Stats GetStats() const;
  // The token as the worker that there is found it at its start; all of it empty if there is no
  // worker, or if it was away then. Asks nobody.
  TokenSelector Found() const;
  // Stats::starts without a lock. A call before and after which it is the same was answered, if it
  // was, by that worker.
  uint64_t starts() const { return starts_; }
  const WorkerProcess::Options& options() const { return options_; }

 private:
  // From here on time is MonotonicNow()'s.
  absl::StatusOr<WorkerResponse> Call(WorkerRequest& request, absl::Time wall_deadline);
  // The request's answer, its own error as an error.
  absl::StatusOr<WorkerResponse> Ask(WorkerRequest request, absl::Time deadline);
  absl::StatusOr<KeyReference> AskForKey(WorkerVerb verb, const NewKey& key, absl::Time deadline);
  absl::StatusOr<std::shared_ptr<WorkerProcess>> Worker(absl::Time deadline);
  void MarkUseful(const WorkerProcess& worker);
  void BuryLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void BeginStartLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void SpaceLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void RunStart();

  // A token that is away for a day must not fill the disk.
  static constexpr std::chrono::seconds kLogInterval{30};

  const WorkerProcess::Options options_;
  LogThrottle start_log_{kLogInterval};
  LogThrottle failed_start_log_{kLogInterval};
  LogThrottle end_log_{kLogInterval};
  mutable Mutex mu_;
  CondVar changed_;
  bool ending_ ABSL_GUARDED_BY(mu_) = false;
  std::thread starter_ ABSL_GUARDED_BY(mu_);
  bool starting_ ABSL_GUARDED_BY(mu_) = false;
  uint64_t failed_starts_ ABSL_GUARDED_BY(mu_) = 0;
  bool last_start_failed_ ABSL_GUARDED_BY(mu_) = false;
  absl::Status start_failure_ ABSL_GUARDED_BY(mu_);
  absl::Duration pause_ ABSL_GUARDED_BY(mu_) = absl::ZeroDuration();
  absl::Time next_start_ ABSL_GUARDED_BY(mu_) = absl::InfinitePast();
  // The one that starts, then the one that serves. `dead_` waits for a thread with time to bury it.
  std::shared_ptr<WorkerProcess> worker_ ABSL_GUARDED_BY(mu_);
  bool useful_ ABSL_GUARDED_BY(mu_) = false;  // worker_ has answered
  std::vector<std::shared_ptr<WorkerProcess>> dead_ ABSL_GUARDED_BY(mu_);
  Stats stats_ ABSL_GUARDED_BY(mu_);  // but for its starts
  std::atomic<uint64_t> starts_ = 0;
};

}  // namespace kekd

#endif  // KEKD_HSM_TOKEN_CLIENT_H_
