// The memory that secrets live in.
#ifndef KEKD_BASE_SECRET_ARENA_H_
#define KEKD_BASE_SECRET_ARENA_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "base/mutex.h"

namespace kekd {

// SecretArena hands out memory that is never swapped, never in a core dump, not inherited by a
// child, and wiped when it is given back. Its pages come from memfd_secret(2) where the kernel has
// it (then not even root's debugger reads them), else from mmap + mlock; guard pages lie on both
// sides of each region. Blocks come in powers of two from 64 bytes to 128 KiB, header included;
// larger ones get a region of their own. A block that is given back twice, or whose header was
// overwritten, ends the process. Thread-safe.
//
// Regions are never given back to the kernel: the set is small (a few MiB) and bounded by what was
// needed at once.
class SecretArena final {
 public:
  static constexpr size_t kWorkingBytes = size_t{4} << 20;

  struct Stats {
    size_t mapped_bytes = 0;    // in all regions, without guard pages
    size_t unlocked_bytes = 0;  // of those, in regions that mlock(2) refused
    size_t used_bytes = 0;      // handed out, rounded up to the blocks' sizes
    bool memfd_secret = false;  // whether the kernel hides the pages from itself
  };

  // The one arena of this process; never destroyed, so that what is freed at exit finds it.
  static SecretArena& Instance();

  // Never null; size 0 gives a block too. The content is zero. If the process is out of address
  // space it ends, as with operator new. If memory can be had but not locked, it is handed out all
  // the same and told by LockStatus(), because a daemon that is already serving must not die of it.
  void* Allocate(size_t size);
  // Working memory, of which libcrypto asks for more than kWorkingBytes at once when it makes a key
  // from a passphrase (scrypt: 128 MiB). It is locked if the limit allows it, counts for nothing in
  // LockStatus() and GetStats(), and goes back to the kernel when it is given back. Zero; null if
  // there is none, which libcrypto reports.
  void* AllocateWorking(size_t size);
  // Wipes the block and takes it back. Null is fine.
  void Deallocate(void* block) noexcept;
  // The block's usable size, at least what was asked for.
  size_t UsableSize(const void* block) const;

  Stats GetStats() const;
  // OK if every region so far is locked; else FailedPrecondition that names the limit to raise.
  absl::Status LockStatus() const;

  // Makes libcrypto allocate from this arena, so that key schedules and intermediate keys inside
  // its contexts are as protected as the keys themselves. To be called before libcrypto has
  // allocated anything; FailedPrecondition if it is too late.
  static absl::Status InstallInLibcrypto();

  SecretArena(const SecretArena&) = delete;
  SecretArena& operator=(const SecretArena&) = delete;

 private:
  struct Region {
    uint8_t* base;
    size_t size;  // bytes, a multiple of the page size
    bool locked;
    bool oversized;  // holds one block larger than the largest size class
    bool in_use;     // of an oversized region
  };
  struct FreeBlock {
    FreeBlock* next;
  };
  static constexpr size_t kHeaderBytes = 16;  // before each block: its size class
  static constexpr int kSmallestShift = 6;    // 64 bytes with the header
  static constexpr int kLargestShift = 17;    // 128 KiB with the header
  static constexpr size_t kRegionBytes = size_t{1} << 20;

  SecretArena();
  Region MapRegionLocked(size_t size) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void* AllocateLargeLocked(size_t needed) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void* CarveLocked(int shift) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  mutable Mutex mu_;
  std::vector<Region> regions_ ABSL_GUARDED_BY(mu_);
  FreeBlock* free_[kLargestShift + 1] ABSL_GUARDED_BY(mu_) = {};
  uint8_t* bump_ ABSL_GUARDED_BY(mu_) = nullptr;      // next unused byte of the newest region
  uint8_t* bump_end_ ABSL_GUARDED_BY(mu_) = nullptr;  // end of the newest region
  size_t used_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  bool memfd_secret_ ABSL_GUARDED_BY(mu_) = false;
  bool memfd_secret_tried_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace kekd

#endif  // KEKD_BASE_SECRET_ARENA_H_
