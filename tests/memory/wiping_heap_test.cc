// Of base/wiping_heap.cc, which this program is linked with: what was freed is looked at through
// /proc/self/mem, because no program may look at it itself.

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <malloc.h>
#include <string.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "base/unique_fd.h"

namespace kekd {
namespace {

// Where an assertion fails, a block is leaked; and the heap's rules are tried at their edges.
// NOLINTBEGIN(clang-analyzer-unix.Malloc,clang-analyzer-optin.portability.UnixAPI,performance-no-int-to-ptr)

constexpr uint8_t kMark = 0xa7;

// How many marks are left in memory that may be gone.
size_t MarksAt(uintptr_t address, size_t size) {
  std::vector<uint8_t> bytes(size);
  const UniqueFd memory(open("/proc/self/mem", O_RDONLY | O_CLOEXEC));
  size_t marks = 0;
  const ssize_t n = pread(memory.get(), bytes.data(), size, static_cast<off_t>(address));
  for (ssize_t i = 0; i < n; ++i) marks += bytes[static_cast<size_t>(i)] == kMark;
  return marks;
}

uintptr_t Mark(void* block, size_t size) {
  memset(block, kMark, size);
  const auto address = reinterpret_cast<uintptr_t>(block);
  EXPECT_EQ(MarksAt(address, size), size);
  return address;
}

// Small, of the thread's cache, of the bins, above what is mapped by itself, and with odd ends.
const size_t kSizes[] = {24, 64, 200, 1032, 5000, 40000, 131072, 131073, 300001, 5000000};

TEST(WipingHeapTest, WipesWhatIsFreed) {
  for (const size_t size : kSizes) {
    void* const block = malloc(size);
    const uintptr_t address = Mark(block, size);
    free(block);
    EXPECT_EQ(MarksAt(address, size), 0u) << size;
  }
}

TEST(WipingHeapTest, WipesTheWholeBlockAndNotOnlyWhatWasAskedFor) {
  void* const block = malloc(41);
  const size_t usable = malloc_usable_size(block);
  ASSERT_GT(usable, 41u);
  const uintptr_t address = Mark(block, usable);
  free(block);
  EXPECT_EQ(MarksAt(address, usable), 0u);
}

// Between two blocks that stay, so that the freed one goes neither back to the kernel nor to the
// top of the heap.
TEST(WipingHeapTest, WipesLargeBlocksInsideTheHeap) {
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  for (const size_t size : {size_t{150000}, size_t{3000000}}) {
    void* const before = malloc(64);
    void* const block = malloc(size);
    void* const behind = malloc(64);
    const uintptr_t address = Mark(block, size);
    free(block);
    EXPECT_EQ(MarksAt(address, size), 0u) << size;
    free(before);
    free(behind);
  }
}

TEST(WipingHeapTest, WipesThePlaceThatABlockIsMovedFrom) {
  for (const size_t size : kSizes) {
    void* const block = malloc(size);
    // In the way of growing in place.
    void* const behind = malloc(64);
    const uintptr_t address = Mark(block, size);
    void* const moved = realloc(block, 4 * size);
    ASSERT_NE(reinterpret_cast<uintptr_t>(moved), address);
    EXPECT_EQ(MarksAt(address, size), 0u) << size;
    EXPECT_EQ(MarksAt(reinterpret_cast<uintptr_t>(moved), size), size);
    free(moved);
    free(behind);
  }
}

TEST(WipingHeapTest, WipesWhatIsCutOff) {
  for (const size_t size : kSizes) {
    for (const size_t smaller : {size - 8, size / 2 + 1, size / 3, size_t{8}}) {
      void* const block = malloc(size);
      const uintptr_t address = Mark(block, size);
      void* const cut = realloc(block, smaller);
      const auto stays = reinterpret_cast<uintptr_t>(cut);
      EXPECT_EQ(MarksAt(stays, smaller), smaller);
      EXPECT_EQ(MarksAt(address, size), stays == address ? smaller : 0u) << size << " " << smaller;
      free(cut);
    }
  }
}

TEST(WipingHeapTest, WipesAlignedBlocksStringsAndVectors) {
  void* aligned = nullptr;
  ASSERT_EQ(posix_memalign(&aligned, 4096, 10000), 0);
  uintptr_t address = Mark(aligned, 10000);
  free(aligned);
  EXPECT_EQ(MarksAt(address, 10000), 0u);

  auto text = std::make_unique<std::string>(300, 'x');
  address = Mark(text->data(), text->size());
  text.reset();
  EXPECT_EQ(MarksAt(address, 300), 0u);

  void* const from_new = operator new(500, std::align_val_t(64));
  address = Mark(from_new, 500);
  operator delete(from_new, std::align_val_t(64));
  EXPECT_EQ(MarksAt(address, 500), 0u);
}

TEST(WipingHeapTest, WipesWhatTheCLibraryFrees) {
  char* const path = strdup("/tmp/a text that strdup(3) has made a copy of");
  const auto address = reinterpret_cast<uintptr_t>(path);
  memset(path, kMark, strlen(path));
  free(path);
  EXPECT_EQ(MarksAt(address, 40), 0u);

  std::string line = "a long enough line to be read by getline(3): ";
  line.append(3000, static_cast<char>(kMark));
  FILE* const file = fmemopen(line.data(), line.size(), "r");
  char* read = nullptr;
  size_t capacity = 0;
  ASSERT_GT(getline(&read, &capacity, file), 0);  // grows by realloc
  const auto buffer = reinterpret_cast<uintptr_t>(read);
  ASSERT_GT(MarksAt(buffer, capacity), 2000u);
  free(read);
  EXPECT_EQ(MarksAt(buffer, 3000), 0u);
  fclose(file);
}

TEST(WipingHeapTest, KeepsTheContentTheErrorAndTheRules) {
  errno = EBADMSG;
  free(malloc(3000000));
  EXPECT_EQ(errno, EBADMSG);
  free(nullptr);
  void* const fresh = realloc(nullptr, 100);
  ASSERT_NE(fresh, nullptr);
  EXPECT_EQ(realloc(fresh, 0), nullptr);
  void* const block = malloc(100);
  volatile size_t too_much = SIZE_MAX / 4;
  volatile auto address = reinterpret_cast<uintptr_t>(block);  // what the compiler knows nothing of
  EXPECT_EQ(realloc(block, too_much), nullptr);
  auto* const stays = reinterpret_cast<uint8_t*>(address);
  memset(stays, kMark, 100);
  free(stays);
}

TEST(WipingHeapTest, ServesManyThreads) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      std::vector<std::string> kept;
      for (size_t i = 1; i < 20000; ++i) {
        kept.emplace_back(i * 7919 % 3000, static_cast<char>('a' + t));
        if (kept.size() > 50) kept.erase(kept.begin(), kept.begin() + 40);
        for (const std::string& text : kept) {
          if (text.empty()) continue;
          ASSERT_EQ(text.back(), static_cast<char>('a' + t));
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// NOLINTEND(clang-analyzer-unix.Malloc,clang-analyzer-optin.portability.UnixAPI,performance-no-int-to-ptr)

}  // namespace
}  // namespace kekd
