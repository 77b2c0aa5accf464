#include "hsm/pkcs11/token.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/monotonic.h"
#include "base/status_macros.h"
#include "hsm/pkcs11/cryptoki_status.h"

namespace kekd {
namespace {

using enum RecoveryAction;

constexpr absl::Duration kCapacityPause = absl::Milliseconds(10);
// After so many recoveries in a row without the token a new process may find it.
constexpr int kFailuresBeforeRestart = 5;
// Of one request: more than the ladder has steps, as others may recover in between.
constexpr int kMostAttempts = 16;

RecoveryAction Next(RecoveryAction rung) {
  return static_cast<RecoveryAction>(static_cast<uint8_t>(rung) + 1);
}

// Where the ladder begins for an error; kNeverRetry: nowhere.
RecoveryAction FirstStep(const absl::Status& status) {
  const std::optional<CkRv> rv = CkRvOf(status);
  if (!rv.has_value()) {
    // Without a login, or without its token, a module may find nothing rather than fail.
    if (absl::IsNotFound(status)) return kLogin;
    return absl::IsUnavailable(status) ? kNewSession : kNeverRetry;
  }
  const RecoveryAction action = ActionFor(*rv);
  return action == kNone ? kNewSession : action;
}

// Whether what a module says against its arguments may be the request's fault. Not so where there
// is nothing but a key's name and a plaintext of a size that was checked; and of a ciphertext only
// a canary tells (Token::Decrypt), not a CK_RV, which may be of a function that was never given it.
bool IsAsked(WorkerVerb verb) {
  return verb == WorkerVerb::kGenerate || verb == WorkerVerb::kAdopt;
}

}  // namespace

Token::Token(WorkerConfig config, FileSystem& fs, const RandomSource& random)
    : config_(std::move(config)),
      random_(random),
      begin_(MonotonicNow()),
      login_(fs, {.pin_file = config_.pin_file,
                  .file_owner = config_.file_owner,
                  .pin_log_directory = config_.pin_log_directory,
                  .pin_is_credential = config_.pin_is_credential}) {}

WorkerResponse Token::Answer(const WorkerRequest& request) {
  WorkerResponse response;
  Ladder ladder{.deadline = MonotonicNow() + request.timeout};
  switch (request.verb) {
    case WorkerVerb::kStart:
    case WorkerVerb::kDescribe:
      response.status = Describe(ladder, response);
      break;
    case WorkerVerb::kEncrypt:
      response.status = Encrypt(request, ladder, response);
      break;
    case WorkerVerb::kDecrypt:
      response.status = Decrypt(request, ladder, response);
      break;
    case WorkerVerb::kGenerate:
      response.status = Generate(request, ladder, response);
      break;
    case WorkerVerb::kAdopt:
      response.status = Adopt(request, ladder, response);
      break;
    case WorkerVerb::kDestroy:
      response.status = Destroy(request, ladder);
      break;
    case WorkerVerb::kList:
      response.status = List(ladder, response);
      break;
    case WorkerVerb::kProbe:
      response.status = Probe(request, ladder);
      break;
    case WorkerVerb::kAttest:
      response.status = Attest(request, ladder, response);
      break;
    case WorkerVerb::kTry:
      response.status = Try(ladder, response);
      break;
    case WorkerVerb::kMeasure:
      response.status = Measure(request, ladder, response);
      break;
  }
  if (absl::IsInvalidArgument(response.status) && CkRvOf(response.status).has_value() &&
      !IsAsked(request.verb)) {
    response.status = absl::UnavailableError(response.status.message());
  }
  response.restart =
      !response.status.ok() && ladder.restart && MonotonicNow() - begin_ > kRestartAge;
  return response;
}

absl::Status Token::Run(Ladder& ladder, Operation operation) {
  for (;;) {
    absl::Status status = absl::UnavailableError("the token is away");
    uint64_t generation = 0;
    bool attached = false;
    {
      ReaderLock lock(&gate_);
      generation = generation_;
      attached = attached_ != nullptr;
      if (attached) {
        Attachment& attachment = *attached_;
        if (std::exchange(ladder.forget, false) && ladder.found != nullptr) {
          attachment.Forget(*ladder.key, ladder.found.get());
        }
        absl::StatusOr<SessionPool::Lease> lease = attachment.sessions().Acquire(ladder.deadline);
        status = lease.status();
        if (lease.ok()) {
          status = operation(attachment, *lease);
          if (status.ok()) {
            // A probe without a key may well succeed while no key can be used.
            if (ladder.key.has_value() && waiting_since_ != 0) waiting_since_ = 0;
            return status;
          }
          lease->Retire();
        }
      }
    }
    if (++ladder.attempts > kMostAttempts) return status;
    KEKD_RETURN_IF_ERROR(attached ? Climb(ladder, status, generation)
                                  : Recover(ladder, kReinitialise, generation));
  }
}

absl::Status Token::Climb(Ladder& ladder, const absl::Status& status, uint64_t generation) {
  const RecoveryAction first = FirstStep(status);
  if (first == kNeverRetry) return status;
  if (first == kWaitForCapacity) {
    if (IsOutOfPatience(MonotonicNow())) {
      ladder.rung = kReinitialise;
      ladder.missing = false;
      absl::Status recovered = Recover(ladder, kReinitialise, generation);
      return absl::IsAborted(recovered) ? status : recovered;
    }
    if (MonotonicNow() + kCapacityPause > ladder.deadline) return status;
    std::this_thread::sleep_for(absl::ToChronoNanoseconds(kCapacityPause));
    --ladder.attempts;
    return absl::OkStatus();
  }
  if (ladder.rung != kNone && MonotonicNow() > ladder.deadline) return status;
  if (first == kRejectRequest || first == kUnsupported) {
    // Once more all the same: an answer about the data may be a token's bad moment.
    const bool climbs = absl::IsUnavailable(status);
    if (!climbs && ladder.rung >= kNewSession) return status;
    ladder.rung = climbs ? Next(ladder.rung) : kNewSession;
  } else if (first == kRestartWorker && ladder.rung == kNone) {
    // A new process costs the other requests too: once more before that.
    ladder.rung = kNewSession;
  } else {
    ladder.rung = std::max(first, Next(ladder.rung));
  }
  ladder.missing = absl::IsNotFound(status);
  if (ladder.missing && IsKnownToBeMissing(ladder)) return status;
  if (ladder.missing && ladder.rung > kLogin) ladder.rung = std::max(ladder.rung, kReinitialise);
  if (ladder.rung >= kRestartWorker) {
    ladder.rung = kRestartWorker;
    // What is not there is not there in a new process either.
    ladder.restart = !ladder.missing;
    if (ladder.missing && ladder.key.has_value()) {
      known_keys_.Remove(*ladder.key);
      known_keys_.NoteMissing(*ladder.key, MonotonicNow());
    }
    return status;
  }
  ladder.forget = ladder.rung == kFindAgain;
  if (ladder.rung == kNewSession || ladder.rung == kFindAgain) return absl::OkStatus();
  for (;;) {
    absl::Status recovered = Recover(ladder, ladder.rung, generation);
    if (!absl::IsAborted(recovered)) return recovered;
    // Too soon after the last one. A request has some time; but for a key that may never have been
    // nobody waits.
    if (IsUnknown(ladder) || MonotonicNow() + kRecoveryPause > ladder.deadline) return status;
    std::this_thread::sleep_for(absl::ToChronoNanoseconds(kCapacityPause));
  }
}

bool Token::IsUnknown(const Ladder& ladder) const {
  return ladder.missing && !(ladder.key.has_value() && known_keys_.Contains(*ladder.key));
}

absl::Status Token::Recover(Ladder& ladder, RecoveryAction action, uint64_t generation) {
  WriterLock lock(&gate_);
  if (generation_ != generation) {
    // Somebody else was at it meanwhile. If it helped, this request begins anew.
    if (attached_ == nullptr) return failure_;
    ladder.rung = std::min(ladder.rung, kNewSession);
    return absl::OkStatus();
  }
  const bool logged_in = attached_ != nullptr && IsStillLoggedInLocked();
  if (action == kLogin && logged_in) {
    if (!ladder.missing) return absl::OkStatus();
    action = ladder.rung = kReinitialise;
  }
  // A login that is lost anew is no repetition of what the last recovery was for. And a token hides
  // its keys from who is not logged in: nothing can be said then of one that is not found.
  const bool lost = attached_ != nullptr && !logged_in;
  const absl::Time now = MonotonicNow();
  if (!lost &&
      (now < next_recovery_ || (action == kReinitialise && attached_ != nullptr &&
                                IsUnknown(ladder) && now < next_recovery_ + kMissingPause))) {
    return attached_ == nullptr ? failure_ : absl::AbortedError("the last recovery was just now");
  }
  ++generation_;
  failure_ = RecoverLocked(action, ladder.deadline);
  // Whatever the module complains of, no request has asked for it: none may hear that it is wrong.
  if (absl::IsInvalidArgument(failure_)) failure_ = absl::UnavailableError(failure_.message());
  next_recovery_ = MonotonicNow() + kRecoveryPause;
  if (failure_.ok()) {
    failures_ = 0;
    return absl::OkStatus();
  }
  attached_.reset();
  ++failures_;
  // An operator's work is not done by a new process.
  if (failures_ >= kFailuresBeforeRestart && !absl::IsFailedPrecondition(failure_)) {
    ladder.restart = true;
  }
  return failure_;
}

bool Token::IsKnownToBeMissing(const Ladder& ladder) const {
  if (ladder.confirm || !ladder.key.has_value() ||
      !known_keys_.IsMissing(*ladder.key, MonotonicNow())) {
    return false;
  }
  ReaderLock lock(&gate_);
  return attached_ != nullptr && IsStillLoggedInLocked();
}

bool Token::IsOutOfPatience(absl::Time now) {
  int64_t since = 0;
  if (waiting_since_.compare_exchange_strong(since, absl::ToUnixNanos(now))) return false;
  if (now - absl::FromUnixNanos(since) < kCapacityPatience) return false;
  // Of those that wait one begins anew.
  return waiting_since_.compare_exchange_strong(since, absl::ToUnixNanos(now));
}

bool Token::IsStillLoggedInLocked() const {
  CK_SESSION_INFO info = {};
  if ((*module_)->C_GetSessionInfo(attached_->login_session(), &info) != CKR_OK) return false;
  return config_.pin_file.empty() || info.state == CKS_RO_USER_FUNCTIONS ||
         info.state == CKS_RW_USER_FUNCTIONS;
}

absl::Status Token::RecoverLocked(RecoveryAction action, absl::Time deadline) {
  const bool operators_turn = absl::IsFailedPrecondition(failure_);
  if (module_ == nullptr) {
    KEKD_ASSIGN_OR_RETURN(module_, Module::Load(config_.module_path, config_.init_arguments));
    KEKD_RETURN_IF_ERROR(module_->Initialise());
    return AttachLocked(deadline);
  }
  if (action == kLogin || (attached_ == nullptr && operators_turn)) {
    absl::Status attached = AttachLocked(deadline);
    if (attached.ok() || absl::IsFailedPrecondition(attached)) return attached;
  }
  return ReinitialiseLocked(deadline);
}

absl::Status Token::ReinitialiseLocked(absl::Time deadline) {
  attached_.reset();
  // If it does not end it may still begin; that tells.
  (void)module_->Finalise();
  KEKD_RETURN_IF_ERROR(module_->Initialise());
  return AttachLocked(deadline);
}

absl::Status Token::AttachLocked(absl::Time deadline) {
  if (attached_ != nullptr) {
    // Ends the login and the copies of keys too.
    (*module_)->C_CloseAllSessions(attached_->token().slot);
    attached_.reset();
  }
  KEKD_ASSIGN_OR_RETURN(TokenInfo token, FindToken(*module_, config_.token));
  CK_SESSION_HANDLE session = 0;
  KEKD_RETURN_IF_ERROR(
      CheckRv((*module_)->C_OpenSession(token.slot, CKF_SERIAL_SESSION, nullptr, nullptr, &session),
              "C_OpenSession"));
  absl::Status logged_in = login_.LogIn(*module_, token, session, deadline);
  if (!logged_in.ok()) {
    (*module_)->C_CloseSession(session);
    return logged_in;
  }
  attached_ = std::make_unique<Attachment>(*module_, std::move(token), session, config_.sessions,
                                           config_.session_copy, random_, known_keys_);
  return absl::OkStatus();
}

}  // namespace kekd
