// Sessions with a token, few and kept open.
#ifndef KEKD_HSM_PKCS11_SESSION_POOL_H_
#define KEKD_HSM_PKCS11_SESSION_POOL_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/mutex.h"
#include "hsm/pkcs11/cryptoki.h"
#include "hsm/pkcs11/module.h"

namespace kekd {

// SessionPool holds read-only sessions: as many as are used at once, up to a limit. A session whose
// function has failed is closed and never used again, because an operation may be left active in it
// (CKR_OPERATION_ACTIVE). Thread-safe, except for Reset.
class SessionPool final {
 public:
  // A session for a scope; goes back to the pool, or is closed if it was retired.
  class Lease final {
   public:
    Lease(Lease&& other) noexcept
        : pool_(std::exchange(other.pool_, nullptr)), session_(other.session_) {}
    Lease& operator=(Lease&&) = delete;
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    ~Lease();

    CK_SESSION_HANDLE session() const { return session_; }
    // Closes the session and opens another in its place. If that fails the lease is of no more use.
    absl::Status Renew();
    // The session is closed when the lease goes.
    void Retire() { retired_ = true; }

   private:
    friend class SessionPool;
    Lease(SessionPool* pool, CK_SESSION_HANDLE session) : pool_(pool), session_(session) {}

    SessionPool* pool_;
    CK_SESSION_HANDLE session_;
    bool open_ = true;
    bool retired_ = false;
  };

  // Begins anew on a slot, with at most `limit` (at least 1) sessions. Those it had are gone
  // already: C_CloseAllSessions or C_Finalize has closed them. No lease is out.
  void Reset(const Module* module, CK_SLOT_ID slot, uint32_t limit);

  // Waits until `deadline` if all are in use (then ResourceExhausted), and no longer than
  // kMostSessionWait if the token has no more to give (then C_OpenSession's CKR_SESSION_COUNT).
  static constexpr absl::Duration kMostSessionWait = absl::Milliseconds(500);
  absl::StatusOr<Lease> Acquire(absl::Time deadline);

  // Closes those that nobody uses, to make room for one of another kind.
  void CloseIdle();

 private:
  absl::StatusOr<CK_SESSION_HANDLE> Open();
  void Release(CK_SESSION_HANDLE session, bool open, bool retired);

  const Module* module_ = nullptr;  // written by Reset only
  CK_SLOT_ID slot_ = 0;
  Mutex mu_;
  CondVar returned_;
  std::vector<CK_SESSION_HANDLE> idle_ ABSL_GUARDED_BY(mu_);
  uint32_t limit_ ABSL_GUARDED_BY(mu_) = 0;
  uint32_t open_ ABSL_GUARDED_BY(mu_) = 0;  // idle, leased, or being opened
};

// A session of its own that may write (token objects), closed at the end of its scope.
class WritingSession final {
 public:
  // Makes room in `pool` if the token has no more sessions.
  static absl::StatusOr<WritingSession> Open(const Module& module, CK_SLOT_ID slot,
                                             SessionPool& pool);
  WritingSession(WritingSession&& other) noexcept
      : module_(std::exchange(other.module_, nullptr)), session_(other.session_) {}
  WritingSession& operator=(WritingSession&&) = delete;
  ~WritingSession();

  CK_SESSION_HANDLE session() const { return session_; }

 private:
  WritingSession(const Module* module, CK_SESSION_HANDLE session)
      : module_(module), session_(session) {}

  const Module* module_;
  CK_SESSION_HANDLE session_;
};

}  // namespace kekd

#endif  // KEKD_HSM_PKCS11_SESSION_POOL_H_
