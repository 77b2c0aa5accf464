#include "hsm/pkcs11/session_pool.h"

#include <algorithm>

#include "base/monotonic.h"
#include "base/status_macros.h"
#include "hsm/pkcs11/cryptoki_status.h"

namespace kekd {
namespace {

// How often the token is asked again for a session when it had none: others may close theirs.
constexpr absl::Duration kSessionPause = absl::Milliseconds(10);
// At a time: what has no deadline would overflow the clock.
constexpr absl::Duration kLongestWait = absl::Hours(1);

}  // namespace

SessionPool::Lease::~Lease() {
  if (pool_ != nullptr) pool_->Release(session_, open_, retired_);
}

absl::Status SessionPool::Lease::Renew() {
  if (open_) pool_->module_->functions().C_CloseSession(session_);
  open_ = false;
  KEKD_ASSIGN_OR_RETURN(session_, pool_->Open());
  open_ = true;
  return absl::OkStatus();
}

void SessionPool::Reset(const Module* module, CK_SLOT_ID slot, uint32_t limit) {
  module_ = module;
  slot_ = slot;
  MutexLock lock(&mu_);
  idle_.clear();
  open_ = 0;
  limit_ = std::max<uint32_t>(limit, 1);
}

absl::StatusOr<CK_SESSION_HANDLE> SessionPool::Open() {
  CK_SESSION_HANDLE session = 0;
  KEKD_RETURN_IF_ERROR(
      CheckRv((*module_)->C_OpenSession(slot_, CKF_SERIAL_SESSION, nullptr, nullptr, &session),
              "C_OpenSession"));
  return session;
}

absl::StatusOr<SessionPool::Lease> SessionPool::Acquire(absl::Time deadline) {
  const absl::Time patience = std::min(deadline, MonotonicNow() + kMostSessionWait);
  for (;;) {
    {
      MutexLock lock(&mu_);
      while (idle_.empty() && open_ >= limit_) {
        const absl::Duration left = deadline - MonotonicNow();
        if (left <= absl::ZeroDuration()) {
          return absl::ResourceExhaustedError(
              "all sessions with the token are in use; allow more (sessions) if the token can");
        }
        returned_.WaitFor(&mu_, std::min(left, kLongestWait));
      }
      if (!idle_.empty()) {
        const CK_SESSION_HANDLE session = idle_.back();
        idle_.pop_back();
        return Lease(this, session);
      }
      ++open_;
    }
    const absl::StatusOr<CK_SESSION_HANDLE> session = Open();
    if (session.ok()) return Lease(this, *session);
    MutexLock lock(&mu_);
    --open_;
    if (CkRvOf(session.status()) != CKR_SESSION_COUNT ||
        MonotonicNow() + kSessionPause > patience) {
      return session.status();
    }
    returned_.WaitFor(&mu_, kSessionPause);
  }
}

void SessionPool::Release(CK_SESSION_HANDLE session, bool open, bool retired) {
  if (open && retired) (*module_)->C_CloseSession(session);
  {
    MutexLock lock(&mu_);
    if (open && !retired) {
      idle_.push_back(session);
    } else {
      --open_;
    }
  }
  returned_.NotifyAll();
}

void SessionPool::CloseIdle() {
  std::vector<CK_SESSION_HANDLE> idle;
  {
    MutexLock lock(&mu_);
    idle.swap(idle_);
    open_ -= static_cast<uint32_t>(idle.size());
  }
  for (const CK_SESSION_HANDLE session : idle) (*module_)->C_CloseSession(session);
}

absl::StatusOr<WritingSession> WritingSession::Open(const Module& module, CK_SLOT_ID slot,
                                                    SessionPool& pool) {
  CK_SESSION_HANDLE session = 0;
  const auto open = [&] {
    return module->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, nullptr, nullptr,
                                 &session);
  };
  CK_RV rv = open();
  if (rv == CKR_SESSION_COUNT) {
    pool.CloseIdle();
    rv = open();
  }
  KEKD_RETURN_IF_ERROR(CheckRv(rv, "C_OpenSession", "a session that may write"));
  return WritingSession(&module, session);
}

WritingSession::~WritingSession() {
  if (module_ != nullptr) (*module_)->C_CloseSession(session_);
}

}  // namespace kekd
