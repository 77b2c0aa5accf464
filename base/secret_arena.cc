#include "base/secret_arena.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "base/unique_fd.h"

#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif

namespace kekd {
namespace {

size_t PageSize() {
  static const auto size = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return size;
}

size_t RoundUp(size_t size, size_t unit) { return (size + unit - 1) / unit * unit; }

// No Status, no log: this is where memory itself has run out.
[[noreturn]] void DieOutOfMemory(size_t size) {
  fprintf(stderr, "kekd: out of memory: mmap of %zu bytes for secrets failed: %s\n", size,
          strerror(errno));
  abort();
}

// Address space with a guard page on both sides of `size` bytes; its begin is the first guard page.
uint8_t* Reserve(size_t size) {
  void* reserved =
      mmap(nullptr, size + 2 * PageSize(), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (reserved == MAP_FAILED) DieOutOfMemory(size);
  return static_cast<uint8_t*>(reserved);
}

// Pages of memfd_secret(2), or null if the kernel has none to give.
uint8_t* MapSecretPages(uint8_t* at, size_t size) {
  // O_CLOEXEC: the kernel refuses FD_CLOEXEC, which its manual page names.
  UniqueFd fd(static_cast<int>(syscall(SYS_memfd_secret, O_CLOEXEC)));
  if (!fd.valid()) return nullptr;
  if (ftruncate(fd.get(), static_cast<off_t>(size)) != 0) return nullptr;
  void* pages = mmap(at, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd.get(), 0);
  return pages == MAP_FAILED ? nullptr : static_cast<uint8_t*>(pages);
}

void* LibcryptoMalloc(size_t size, const char*, int) {
  if (size == 0) return nullptr;
  SecretArena& arena = SecretArena::Instance();
  return size > SecretArena::kWorkingBytes ? arena.AllocateWorking(size) : arena.Allocate(size);
}

void LibcryptoFree(void* block, const char*, int) { SecretArena::Instance().Deallocate(block); }

void* LibcryptoRealloc(void* block, size_t size, const char* file, int line) {
  SecretArena& arena = SecretArena::Instance();
  if (block == nullptr) return LibcryptoMalloc(size, file, line);
  if (size == 0) {
    arena.Deallocate(block);
    return nullptr;
  }
  const size_t usable = arena.UsableSize(block);
  if (size <= usable) return block;
  void* grown = LibcryptoMalloc(size, file, line);
  if (grown == nullptr) return nullptr;
  memcpy(grown, block, usable);
  arena.Deallocate(block);
  return grown;
}

// The first region is all that a kekd with a few keys ever needs, and each of its pages is taken
// when kekd starts: with memfd_secret(2) some 5 microseconds a KiB.
constexpr size_t kFirstRegionBytes = size_t{256} << 10;

// Kept in front of each block.
struct Header {
  uint32_t cookie;  // kLive while the block is handed out
  uint32_t shift;   // the block's size class, or 0 for one with a region of its own
  uint64_t size;    // bytes of the whole block with this header
};
constexpr uint32_t kLive = 0x6b656b64;
constexpr uint32_t kWorkingShift = 64;  // no size class: memory of more than kWorkingBytes

// The header of a block that is handed out. Anything else (a second free, an overflow of the block
// before) must not go on in a process that holds keys.
Header HeaderOf(const void* block, size_t header_bytes, uint32_t largest_shift) {
  Header header;
  memcpy(&header, static_cast<const uint8_t*>(block) - header_bytes, sizeof(header));
  const bool sized = header.shift == 0 || header.shift == kWorkingShift ||
                     (header.shift <= largest_shift && header.size == uint64_t{1} << header.shift);
  if (header.cookie != kLive || !sized) {
    fprintf(stderr, "kekd: a block of secret memory was freed twice or overwritten\n");
    abort();
  }
  return header;
}

}  // namespace

SecretArena::SecretArena() = default;

SecretArena& SecretArena::Instance() {
  static auto* const arena = new SecretArena;
  return *arena;
}

SecretArena::Region SecretArena::MapRegionLocked(size_t size) {
  const size_t page = PageSize();
  size = RoundUp(size, page);
  uint8_t* base = Reserve(size) + page;
  const bool secret =
      (!memfd_secret_tried_ || memfd_secret_) && MapSecretPages(base, size) != nullptr;
  if (!secret) {
    // Where that failed (there is none, or the limit of locked memory is reached) the kernel may
    // have taken the reservation apart, and another thread may have mapped something there: leave
    // it.
    if (!memfd_secret_tried_ || memfd_secret_) base = Reserve(size) + page;
    if (mprotect(base, size, PROT_READ | PROT_WRITE) != 0) DieOutOfMemory(size);
  }
  memfd_secret_ = secret;
  memfd_secret_tried_ = true;
  madvise(base, size, MADV_DONTFORK);  // a forked child must not hold keys
  madvise(base, size, MADV_DONTDUMP);
  // memfd_secret's pages are locked by nature (and counted when they are mapped); mlock(2) on them
  // fails, because the kernel can't reach into them.
  const bool locked = secret || mlock(base, size) == 0;
  memset(base, 0, size);  // so that a lack of memory shows now and not in the middle of a call
  return Region{base, size, locked, false, false};
}

void* SecretArena::CarveLocked(int shift) {
  const size_t block = size_t{1} << shift;
  if (static_cast<size_t>(bump_end_ - bump_) < block) {
    // What is left of the old region goes to the free lists, largest blocks first.
    while (bump_ != nullptr) {
      const size_t left = static_cast<size_t>(bump_end_ - bump_);
      if (left < (size_t{1} << kSmallestShift)) break;
      const int fit = std::min(kLargestShift, static_cast<int>(std::bit_width(left)) - 1);
      auto* free_block = reinterpret_cast<FreeBlock*>(bump_);
      free_block->next = free_[fit];
      free_[fit] = free_block;
      bump_ += size_t{1} << fit;
    }
    const Region region = MapRegionLocked(regions_.empty() ? kFirstRegionBytes : kRegionBytes);
    regions_.push_back(region);
    bump_ = region.base;
    bump_end_ = region.base + region.size;
  }
  uint8_t* const carved = bump_;
  bump_ += block;
  return carved;
}

void* SecretArena::AllocateLargeLocked(size_t needed) {
  for (Region& region : regions_) {
    if (region.oversized && !region.in_use && region.size >= needed) {
      region.in_use = true;
      return region.base;
    }
  }
  Region region = MapRegionLocked(needed);
  region.oversized = true;
  region.in_use = true;
  regions_.push_back(region);
  return region.base;
}

void* SecretArena::AllocateWorking(size_t usable) {
  const size_t size = RoundUp(usable + kHeaderBytes, PageSize());
  void* const mapped =
      mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  madvise(mapped, size, MADV_DONTFORK);
  madvise(mapped, size, MADV_DONTDUMP);
  (void)mlock(mapped, size);
  const Header header{kLive, kWorkingShift, size};
  memcpy(mapped, &header, sizeof(header));
  return static_cast<uint8_t*>(mapped) + kHeaderBytes;
}

void* SecretArena::Allocate(size_t size) {
  if (size > SIZE_MAX / 2) DieOutOfMemory(size);
  const size_t needed = size + kHeaderBytes;
  MutexLock lock(&mu_);
  Header header;
  void* block;
  if (needed > (size_t{1} << kLargestShift)) {
    block = AllocateLargeLocked(needed);
    header = {kLive, 0, RoundUp(needed, PageSize())};
    for (const Region& region : regions_) {
      if (region.base == block) header.size = region.size;
    }
  } else {
    const int shift = std::max(kSmallestShift, static_cast<int>(std::bit_width(needed - 1)));
    block = free_[shift];
    if (block != nullptr) {
      free_[shift] = free_[shift]->next;
    } else {
      block = CarveLocked(shift);
    }
    header = {kLive, static_cast<uint32_t>(shift), uint64_t{1} << shift};
  }
  used_bytes_ += header.size;
  memcpy(block, &header, sizeof(header));
  return static_cast<uint8_t*>(block) + kHeaderBytes;
}

void SecretArena::Deallocate(void* block) noexcept {
  if (block == nullptr) return;
  const Header header = HeaderOf(block, kHeaderBytes, kLargestShift);
  uint8_t* const start = static_cast<uint8_t*>(block) - kHeaderBytes;
  OPENSSL_cleanse(start, header.size);
  if (header.shift == kWorkingShift) {
    munmap(start, header.size);
    return;
  }
  MutexLock lock(&mu_);
  used_bytes_ -= header.size;
  if (header.shift == 0) {
    for (Region& region : regions_) {
      if (region.base == start) region.in_use = false;
    }
    return;
  }
  auto* free_block = reinterpret_cast<FreeBlock*>(start);
  free_block->next = free_[header.shift];
  free_[header.shift] = free_block;
}

size_t SecretArena::UsableSize(const void* block) const {
  return HeaderOf(block, kHeaderBytes, kLargestShift).size - kHeaderBytes;
}

SecretArena::Stats SecretArena::GetStats() const {
  MutexLock lock(&mu_);
  Stats stats;
  stats.used_bytes = used_bytes_;
  stats.memfd_secret = memfd_secret_;
  for (const Region& region : regions_) {
    stats.mapped_bytes += region.size;
    if (!region.locked) stats.unlocked_bytes += region.size;
  }
  return stats;
}

absl::Status SecretArena::LockStatus() const {
  const Stats stats = GetStats();
  if (stats.unlocked_bytes == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      stats.unlocked_bytes,
      " bytes of secret memory could not be locked against swapping: raise "
      "the limit of locked memory to 8 MiB (ulimit -l 8192, or LimitMEMLOCK=8M in the unit)"));
}

absl::Status SecretArena::InstallInLibcrypto() {
  if (CRYPTO_set_mem_functions(LibcryptoMalloc, LibcryptoRealloc, LibcryptoFree) != 1) {
    return absl::FailedPreconditionError(
        "libcrypto had allocated memory before the secret arena could be installed in it");
  }
  return absl::OkStatus();
}

}  // namespace kekd
