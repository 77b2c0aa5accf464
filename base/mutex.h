// std::mutex with clang's thread-safety annotations. abseil's own Mutex is not used: the
// distribution's build of it is not instrumented, so ThreadSanitizer reports races that are none.
#ifndef KEKD_BASE_MUTEX_H_
#define KEKD_BASE_MUTEX_H_

#include <condition_variable>
#include <mutex>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"

namespace kekd {

class ABSL_LOCKABLE Mutex final {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void Lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() { mu_.lock(); }
  void Unlock() ABSL_UNLOCK_FUNCTION() { mu_.unlock(); }

 private:
  friend class CondVar;
  std::mutex mu_;
};

// Holds a Mutex for a scope.
class ABSL_SCOPED_LOCKABLE MutexLock final {
 public:
  explicit MutexLock(Mutex* mu) ABSL_EXCLUSIVE_LOCK_FUNCTION(mu) : mu_(mu) { mu_->Lock(); }
  ~MutexLock() ABSL_UNLOCK_FUNCTION() { mu_->Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex* const mu_;
};

// A condition variable on a Mutex. Wake-ups may be spurious: call the waits in a loop.
class CondVar final {
 public:
  void Wait(Mutex* mu) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    std::unique_lock<std::mutex> lock(mu->mu_, std::adopt_lock);
    cv_.wait(lock);
    lock.release();
  }
  // Returns after `timeout` at the latest.
  void WaitFor(Mutex* mu, absl::Duration timeout) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    std::unique_lock<std::mutex> lock(mu->mu_, std::adopt_lock);
    cv_.wait_for(lock, absl::ToChronoNanoseconds(timeout));
    lock.release();
  }
  void NotifyAll() { cv_.notify_all(); }
  void NotifyOne() { cv_.notify_one(); }

 private:
  std::condition_variable cv_;
};

// Many may hold it together, or one alone. Who waits to have it alone goes before all who come to
// share it, so that a stream of them can't keep it out. Not recursive in either way.
class ABSL_LOCKABLE SharedMutex final {
 public:
  SharedMutex() = default;
  SharedMutex(const SharedMutex&) = delete;
  SharedMutex& operator=(const SharedMutex&) = delete;

  void Lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() {
    std::unique_lock<std::mutex> lock(mu_);
    ++waiting_;
    cv_.wait(lock, [this] { return sharing_ == 0 && !alone_; });
    --waiting_;
    alone_ = true;
  }
  void Unlock() ABSL_UNLOCK_FUNCTION() {
    {
      std::unique_lock<std::mutex> lock(mu_);
      alone_ = false;
    }
    cv_.notify_all();
  }
  void LockShared() ABSL_SHARED_LOCK_FUNCTION() {
    std::unique_lock<std::mutex> lock(mu_);
    cv_.wait(lock, [this] { return !alone_ && waiting_ == 0; });
    ++sharing_;
  }
  void UnlockShared() ABSL_UNLOCK_FUNCTION() {
    bool wake;
    {
      std::unique_lock<std::mutex> lock(mu_);
      wake = --sharing_ == 0 && waiting_ > 0;
    }
    if (wake) cv_.notify_all();
  }

 private:
  std::mutex mu_;
  std::condition_variable cv_;
  int sharing_ = 0;
  int waiting_ = 0;  // for having it alone
  bool alone_ = false;
};

// Holds a SharedMutex alone for a scope.
class ABSL_SCOPED_LOCKABLE WriterLock final {
 public:
  explicit WriterLock(SharedMutex* mu) ABSL_EXCLUSIVE_LOCK_FUNCTION(mu) : mu_(mu) { mu_->Lock(); }
  ~WriterLock() ABSL_UNLOCK_FUNCTION() { mu_->Unlock(); }
  WriterLock(const WriterLock&) = delete;
  WriterLock& operator=(const WriterLock&) = delete;

 private:
  SharedMutex* const mu_;
};

// Shares a SharedMutex for a scope.
class ABSL_SCOPED_LOCKABLE ReaderLock final {
 public:
  explicit ReaderLock(SharedMutex* mu) ABSL_SHARED_LOCK_FUNCTION(mu) : mu_(mu) {
    mu_->LockShared();
  }
  ~ReaderLock() ABSL_UNLOCK_FUNCTION() { mu_->UnlockShared(); }
  ReaderLock(const ReaderLock&) = delete;
  ReaderLock& operator=(const ReaderLock&) = delete;

 private:
  SharedMutex* const mu_;
};

}  // namespace kekd

#endif  // KEKD_BASE_MUTEX_H_
