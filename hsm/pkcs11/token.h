// A token that recovers.
#ifndef KEKD_HSM_PKCS11_TOKEN_H_
#define KEKD_HSM_PKCS11_TOKEN_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/file_system.h"
#include "base/mutex.h"
#include "base/random_source.h"
#include "hsm/pkcs11/attachment.h"
#include "hsm/pkcs11/module.h"
#include "hsm/pkcs11/recovery_action.h"
#include "hsm/pkcs11/session_pool.h"
#include "hsm/pkcs11/user_login.h"
#include "hsm/token/worker_message.h"

namespace kekd {

// Token answers the requests of kekd with one token of one module. A function that fails leads to
// what ActionFor says of its CK_RV, and if that does not help to the next more costly step: a new
// session, a login, the key found again, C_Finalize and C_Initialize, and at last an answer that
// asks for a new process. One thread recovers, alone; those that come second find the new state and
// repeat their work. Recoveries are spaced: between two, requests to a token that is away fail at
// once. Thread-safe.
class Token final {
 public:
  // Between two recoveries.
  static constexpr absl::Duration kRecoveryPause = absl::Milliseconds(100);
  // After one, if all that is wrong is that a key is not there which never was.
  static constexpr absl::Duration kMissingPause = absl::Seconds(1);
  // So long the token may have no capacity (sessions, memory) for any request before C_Finalize
  // frees what was leaked of it; once in so long.
  static constexpr absl::Duration kCapacityPatience = absl::Seconds(5);
  // A process this young is not asked to be replaced: the next one would be no better.
  static constexpr absl::Duration kRestartAge = absl::Seconds(1);

  // `fs` and `random` outlive it. Nothing is loaded before the first request.
  Token(WorkerConfig config, FileSystem& fs, const RandomSource& random);
  Token(const Token&) = delete;
  Token& operator=(const Token&) = delete;

  // Any verb; kStart only attaches and describes (its configuration is the constructor's).
  WorkerResponse Answer(const WorkerRequest& request);

 private:
  // What one request has tried so far, and until when.
  struct Ladder {
    absl::Time deadline;
    std::optional<KeySelector> key = {};         // whose handle may be stale
    std::shared_ptr<const FoundKey> found = {};  // what was last used of it
    RecoveryAction rung = RecoveryAction::kNone;
    int attempts = 0;
    bool missing = false;  // the last step was taken because a key was not found
    bool confirm = false;  // that a key is missing is never taken from memory
    bool forget = false;   // the handle of `key`, before the next try
    bool restart = false;
  };
  using Operation = absl::FunctionRef<absl::Status(Attachment&, SessionPool::Lease&)>;

  // Runs `operation` until it succeeds, fails for good, or the ladder ends. It may be run several
  // times, each time with a session that nothing has failed in.
  absl::Status Run(Ladder& ladder, Operation operation);
  // The next step after `status`; OK: try again.
  absl::Status Climb(Ladder& ladder, const absl::Status& status, uint64_t generation);
  absl::Status Recover(Ladder& ladder, RecoveryAction action, uint64_t generation);
  absl::Status RecoverLocked(RecoveryAction action, absl::Time deadline)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(gate_);
  absl::Status ReinitialiseLocked(absl::Time deadline) ABSL_EXCLUSIVE_LOCKS_REQUIRED(gate_);
  absl::Status AttachLocked(absl::Time deadline) ABSL_EXCLUSIVE_LOCKS_REQUIRED(gate_);
  // Whether all that is wrong is a key that is missing and that this process has never seen.
  bool IsUnknown(const Ladder& ladder) const;
  // Whether the key was looked for with all means lately, and with a login as there is now.
  bool IsKnownToBeMissing(const Ladder& ladder) const;
  bool IsStillLoggedInLocked() const ABSL_SHARED_LOCKS_REQUIRED(gate_);
  // A request waits for capacity. Whether to begin anew instead: see kCapacityPatience.
  bool IsOutOfPatience(absl::Time now);

  absl::Status Encrypt(const WorkerRequest& request, Ladder& ladder, WorkerResponse& response);
  absl::Status Decrypt(const WorkerRequest& request, Ladder& ladder, WorkerResponse& response);
  absl::Status Generate(const WorkerRequest& request, Ladder& ladder, WorkerResponse& response);
  absl::Status Adopt(const WorkerRequest& request, Ladder& ladder, WorkerResponse& response);
  absl::Status Destroy(const WorkerRequest& request, Ladder& ladder);
  absl::Status List(Ladder& ladder, WorkerResponse& response);
  absl::Status Attest(const WorkerRequest& request, Ladder& ladder, WorkerResponse& response);
  absl::Status Describe(Ladder& ladder, WorkerResponse& response);
  absl::Status Probe(const WorkerRequest& request, Ladder& ladder);
  absl::Status Try(Ladder& ladder, WorkerResponse& response);
  absl::Status Measure(const WorkerRequest& request, Ladder& ladder, WorkerResponse& response);

  const WorkerConfig config_;
  const RandomSource& random_;
  const absl::Time begin_;
  KnownKeys known_keys_;
  // When a request was first told to wait, since one with a key succeeded or the last beginning
  // anew; 0: none was. In nanoseconds as absl::ToUnixNanos.
  std::atomic<int64_t> waiting_since_ = 0;
  // Shared by whoever uses the token, held alone by who recovers it.
  mutable SharedMutex gate_;
  UserLogin login_ ABSL_GUARDED_BY(gate_);
  std::unique_ptr<Module> module_ ABSL_GUARDED_BY(gate_);        // none until it could be loaded
  std::unique_ptr<Attachment> attached_ ABSL_GUARDED_BY(gate_);  // none while the token is away
  uint64_t generation_ ABSL_GUARDED_BY(gate_) = 0;  // counts the recoveries that were tried
  absl::Status failure_ ABSL_GUARDED_BY(gate_);     // of the last one
  int failures_ ABSL_GUARDED_BY(gate_) = 0;         // in a row
  absl::Time next_recovery_ ABSL_GUARDED_BY(gate_) = absl::InfinitePast();
};

}  // namespace kekd

#endif  // KEKD_HSM_PKCS11_TOKEN_H_
