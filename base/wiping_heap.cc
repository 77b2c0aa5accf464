// A heap that keeps nothing: every block is wiped when it is freed, whoever frees it. gRPC,
// protobuf, abseil and the standard library copy what passes through them into ordinary memory;
// what they let go of is gone with this.
//
// There is nothing to call. Linked into an executable, these take the place of the C library's
// functions of the same names, for shared libraries too (The GNU C Library Reference Manual,
// "Replacing malloc"), and hand on to its own. The C++ operators come down to them. Only what frees
// is replaced: the C library makes the blocks as ever.
#include <errno.h>
#include <malloc.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

extern "C" {
// The C library's own; exported for exactly this, and declared by no header.
void __libc_free(void* block) noexcept;  // NOLINT(bugprone-reserved-identifier)
}

namespace {

// From here on it is cheaper to give whole pages back to the kernel, which gives zeros in exchange,
// than to write zeros: pages that were never written to aren't made for it.
constexpr size_t kPagesBytes = size_t{128} << 10;

void Zero(void* memory, size_t size) {
  memset(memory, 0, size);
  // What comes after may look at it: the compiler must not leave it out because a free follows.
  asm volatile("" : : "r"(memory) : "memory");
}

void ZeroPages(uint8_t* memory, size_t size) {
  static const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const int error = errno;  // free(3) leaves it as it is
  const auto begin = reinterpret_cast<uintptr_t>(memory);
  const size_t head = (page - begin % page) % page;
  const size_t pages = (size - head) / page * page;
  if (madvise(memory + head, pages, MADV_DONTNEED) == 0) {
    Zero(memory, head);
    Zero(memory + head + pages, size - head - pages);
  } else {
    Zero(memory, size);  // locked pages stay
  }
  errno = error;
}

void ZeroBlock(void* memory, size_t size) {
  if (size < kPagesBytes) {
    Zero(memory, size);
  } else {
    ZeroPages(static_cast<uint8_t*>(memory), size);
  }
}

}  // namespace

extern "C" {

void free(void* block) noexcept {
  if (block == nullptr) return;
  ZeroBlock(block, malloc_usable_size(block));
  __libc_free(block);
}

void* realloc(void* block, size_t size) noexcept {
  if (block == nullptr) return malloc(size);
  if (size == 0) {
    free(block);
    return nullptr;
  }
  const size_t usable = malloc_usable_size(block);
  // One that shrinks by much is moved, so that the rest of it is of use to others; else it stays,
  // and what is cut off is wiped now.
  if (size <= usable && usable - size <= usable / 2) {
    ZeroBlock(static_cast<uint8_t*>(block) + size, usable - size);
    return block;
  }
  void* const moved = malloc(size);
  if (moved == nullptr) return nullptr;
  memcpy(moved, block, std::min(size, usable));
  free(block);
  return moved;
}

}  // extern "C"
