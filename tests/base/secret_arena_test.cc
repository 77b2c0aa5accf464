#include "base/secret_arena.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/unique_fd.h"
#include "tests/support/status_matchers.h"

namespace kekd {
namespace {

using ::kekd::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ExitedWithCode;
using ::testing::HasSubstr;

// The sanitizers' runtimes make mlock(2) do nothing and succeed.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kMlockWorks = false;
#else
constexpr bool kMlockWorks = true;
#endif

SecretArena& Arena() { return SecretArena::Instance(); }

bool HoldsOnly(const void* memory, size_t size, uint8_t value) {
  const auto* bytes = static_cast<const volatile uint8_t*>(memory);
  for (size_t i = 0; i < size; ++i) {
    if (bytes[i] != value) return false;
  }
  return true;
}

// The kernel's flags of the mapping that holds `address` (proc(5), smaps), with a blank around
// each.
std::string VmFlagsOf(const void* address) {
  const auto wanted = reinterpret_cast<uintptr_t>(address);
  std::ifstream smaps("/proc/self/smaps");
  std::string line;
  bool inside = false;
  while (std::getline(smaps, line)) {
    unsigned long first = 0;
    unsigned long end = 0;
    if (sscanf(line.c_str(), "%lx-%lx ", &first, &end) == 2) {
      inside = wanted >= first && wanted < end;
    } else if (inside && line.rfind("VmFlags:", 0) == 0) {
      return line.substr(8) + " ";
    }
  }
  return "";
}

TEST(SecretArenaTest, AlignsEveryBlockForAnyType) {
  std::vector<void*> blocks;
  for (size_t size = 0; size <= 300; ++size) blocks.push_back(Arena().Allocate(size));
  for (const size_t size : {1000u, 4096u, 65536u, 131056u, 131057u, 500000u}) {
    blocks.push_back(Arena().Allocate(size));
  }
  for (void* block : blocks) {
    EXPECT_EQ(reinterpret_cast<uintptr_t>(block) % 16, 0u);
    Arena().Deallocate(block);
  }
}

TEST(SecretArenaTest, HandsOutZerosAlsoWhereSomethingWas) {
  for (const size_t size : {1u, 32u, 48u, 49u, 1000u, 70000u, 300000u}) {
    void* const first = Arena().Allocate(size);
    ASSERT_GE(Arena().UsableSize(first), size);
    memset(first, 0xaa, Arena().UsableSize(first));
    Arena().Deallocate(first);
    void* const second = Arena().Allocate(size);
    EXPECT_EQ(second, first) << "the block just given back was not taken: the test proves nothing";
    EXPECT_TRUE(HoldsOnly(second, Arena().UsableSize(second), 0)) << size;
    Arena().Deallocate(second);
  }
}

TEST(SecretArenaTest, WipesABlockWhenItIsGivenBackAndNotLater) {
  for (const size_t size : {16u, 32u, 1000u, 70000u, 300000u}) {
    void* const block = Arena().Allocate(size);
    const size_t usable = Arena().UsableSize(block);
    memset(block, 0xaa, usable);
    Arena().Deallocate(block);
    EXPECT_TRUE(HoldsOnly(block, usable, 0)) << size;
  }
}

TEST(SecretArenaTest, KeepsBlocksApart) {
  std::vector<std::pair<uint8_t*, size_t>> blocks;
  for (size_t i = 0; i < 2000; ++i) {
    auto* const block = static_cast<uint8_t*>(Arena().Allocate(1 + i * 7 % 3000));
    const size_t size = Arena().UsableSize(block);
    memset(block, static_cast<int>(i % 251 + 1), size);
    blocks.emplace_back(block, size);
  }
  for (size_t i = 0; i < blocks.size(); ++i) {
    ASSERT_TRUE(HoldsOnly(blocks[i].first, blocks[i].second, static_cast<uint8_t>(i % 251 + 1)));
  }
  for (const auto& [block, size] : blocks) Arena().Deallocate(block);
}

TEST(SecretArenaTest, TakesNullBack) { Arena().Deallocate(nullptr); }

TEST(SecretArenaTest, ServesManyThreads) {
  std::vector<std::jthread> threads;
  for (unsigned seed = 0; seed < 8; ++seed) {
    threads.emplace_back([seed] {
      std::minstd_rand random(seed + 1);
      const auto mine = static_cast<uint8_t>(seed + 1);
      std::vector<std::pair<void*, size_t>> held;
      for (int step = 0; step < 3000; ++step) {
        if (held.size() < 20 && random() % 2 == 0) {
          const size_t size = 1 + random() % (step % 500 == 0 ? 200000 : 2000);
          void* const block = Arena().Allocate(size);
          ASSERT_TRUE(HoldsOnly(block, size, 0));
          memset(block, mine, size);
          held.emplace_back(block, size);
        } else if (!held.empty()) {
          std::swap(held[random() % held.size()], held.back());
          ASSERT_TRUE(HoldsOnly(held.back().first, held.back().second, mine));
          Arena().Deallocate(held.back().first);
          held.pop_back();
        }
      }
      for (const auto& [block, size] : held) Arena().Deallocate(block);
    });
  }
}

TEST(SecretArenaTest, CountsWhatIsHandedOut) {
  const size_t before = Arena().GetStats().used_bytes;
  void* const small = Arena().Allocate(32);
  EXPECT_EQ(Arena().GetStats().used_bytes, before + 64);
  void* const large = Arena().Allocate(200000);
  const SecretArena::Stats stats = Arena().GetStats();
  EXPECT_GE(stats.used_bytes, before + 64 + 200000);
  EXPECT_GE(stats.mapped_bytes, stats.used_bytes);
  Arena().Deallocate(large);
  Arena().Deallocate(small);
  EXPECT_EQ(Arena().GetStats().used_bytes, before);
}

TEST(SecretArenaTest, UsesMemoryThatWasGivenBackBeforeItMapsMore) {
  for (const size_t size : {100u, 300000u}) {
    Arena().Deallocate(Arena().Allocate(size));
    const size_t mapped = Arena().GetStats().mapped_bytes;
    for (int i = 0; i < 100; ++i) Arena().Deallocate(Arena().Allocate(size));
    EXPECT_EQ(Arena().GetStats().mapped_bytes, mapped);
  }
}

TEST(SecretArenaTest, KeepsItsPagesOutOfCoreDumpsSwapAndChildren) {
  for (const size_t size : {32u, 300000u}) {
    void* const block = Arena().Allocate(size);
    const std::string flags = VmFlagsOf(block);
    if (flags.empty()) GTEST_SKIP() << "this kernel tells no VmFlags";
    EXPECT_THAT(flags, AllOf(HasSubstr(" dd "), HasSubstr(" dc ")));
    if (kMlockWorks && Arena().LockStatus().ok()) {
      EXPECT_THAT(flags, HasSubstr(" lo "));
    }
    Arena().Deallocate(block);
  }
}

class SecretArenaDeathTest : public ::testing::Test {
 protected:
  // A new process for each: a forked one has none of the arena's pages.
  SecretArenaDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }

  // Ends the process with status 42 if touching `address` faults at exactly that address.
  [[noreturn]] static void Touch(volatile uint8_t* address) {
    touched_ = address;
    struct sigaction action = {};
    action.sa_flags = SA_SIGINFO;
    action.sa_sigaction = [](int, siginfo_t* info, void*) {
      _exit(info->si_addr == const_cast<uint8_t*>(touched_) ? 42 : 43);
    };
    sigaction(SIGSEGV, &action, nullptr);
    *address = 1;
    _exit(0);
  }

 private:
  static inline volatile uint8_t* touched_ = nullptr;
};

TEST_F(SecretArenaDeathTest, FaultsBehindARegion) {
  const auto behind = [] {
    auto* const block = static_cast<uint8_t*>(Arena().Allocate(300000));
    uint8_t* const end = block + Arena().UsableSize(block);
    end[-1] = 1;
    Touch(end);
  };
  EXPECT_EXIT(behind(), ExitedWithCode(42), "");
}

TEST_F(SecretArenaDeathTest, FaultsBeforeARegion) {
  const auto before = [] {
    // A region of one block begins with its header of 16 bytes.
    auto* const block = static_cast<uint8_t*>(Arena().Allocate(300000));
    Touch(block - 17);
  };
  EXPECT_EXIT(before(), ExitedWithCode(42), "");
}

TEST_F(SecretArenaDeathTest, EndsTheProcessThatFreesABlockTwice) {
  const auto twice = [] {
    void* const block = Arena().Allocate(32);
    Arena().Deallocate(block);
    Arena().Deallocate(block);
  };
  EXPECT_DEATH(twice(), "freed twice");
}

TEST_F(SecretArenaDeathTest, TellsThatMemoryCouldNotBeLockedAndServesAllTheSame) {
  if (!kMlockWorks) GTEST_SKIP() << "the sanitizer keeps mlock(2) from failing";
  const auto without_limit = [] {
    const rlimit none = {0, 0};
    setrlimit(RLIMIT_MEMLOCK, &none);
    // Root may lock beyond the limit; nobody may not.
    if (geteuid() == 0 && setuid(65534) != 0) _exit(10);
    prctl(PR_SET_DUMPABLE, 1);  // setuid took it, and with it the right to read smaps
    void* const block = Arena().Allocate(32);
    memset(block, 1, 32);
    // Nor does memfd_secret(2) give pages now: these are mmap's, whose flags nobody sets but us.
    const std::string flags = VmFlagsOf(block);
    for (const char* flag : {" dd ", " dc "}) {
      if (!flags.empty() && flags.find(flag) == std::string::npos) _exit(11);
    }
    const absl::Status status = Arena().LockStatus();
    fprintf(stderr, "%s\n", status.ToString().c_str());
    _exit(absl::IsFailedPrecondition(status) && Arena().GetStats().unlocked_bytes > 0 ? 0 : 1);
  };
  EXPECT_EXIT(without_limit(), ExitedWithCode(0), "LimitMEMLOCK=8M");
}

TEST_F(SecretArenaDeathTest, LibcryptoAllocatesFromItOnceInstalled) {
  const auto install = [] {
    if (!SecretArena::InstallInLibcrypto().ok()) _exit(1);
    const size_t before = Arena().GetStats().used_bytes;
    auto* grown = static_cast<uint8_t*>(OPENSSL_malloc(40));
    memset(grown, 7, 40);
    if (Arena().GetStats().used_bytes == before) _exit(2);
    grown = static_cast<uint8_t*>(OPENSSL_realloc(grown, 5000));
    if (!HoldsOnly(grown, 40, 7)) _exit(3);
    OPENSSL_free(grown);
    if (Arena().GetStats().used_bytes != before) _exit(4);
    EVP_CIPHER_CTX* const context = EVP_CIPHER_CTX_new();
    if (context == nullptr || Arena().GetStats().used_bytes == before) _exit(5);
    EVP_CIPHER_CTX_free(context);
    _exit(0);
  };
  EXPECT_EXIT(install(), ExitedWithCode(0), "");
}

TEST(SecretArenaTest, GivesWorkingMemoryBackToTheKernel) {
  const SecretArena::Stats before = Arena().GetStats();
  constexpr size_t kSize = size_t{64} << 20;
  auto* const working = static_cast<uint8_t*>(Arena().AllocateWorking(kSize));
  ASSERT_NE(working, nullptr);
  EXPECT_TRUE(HoldsOnly(working, kSize, 0));
  EXPECT_GE(Arena().UsableSize(working), kSize);
  working[kSize - 1] = 1;
  EXPECT_EQ(Arena().GetStats().mapped_bytes, before.mapped_bytes);
  Arena().Deallocate(working);
  // Its pages are gone: mincore(2) knows of none.
  unsigned char resident = 0;
  const auto page = reinterpret_cast<uintptr_t>(working) & ~uintptr_t{4095};
  EXPECT_EQ(mincore(reinterpret_cast<void*>(page), 1, &resident), -1);
  EXPECT_EQ(Arena().GetStats().unlocked_bytes, before.unlocked_bytes);
}

TEST(SecretArenaTest, TakesPagesThatTheKernelHidesFromItselfWhereThereAreAny) {
  Arena().Deallocate(Arena().Allocate(1));
  constexpr long kMemfdSecret = 447;  // older headers have no name for it
  const UniqueFd fd(static_cast<int>(syscall(kMemfdSecret, O_CLOEXEC)));
  EXPECT_EQ(Arena().GetStats().memfd_secret, fd.valid());
}

TEST(SecretArenaTest, RefusesToBeInstalledTooLate) {
  OPENSSL_free(OPENSSL_malloc(1));
  EXPECT_THAT(SecretArena::InstallInLibcrypto(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("before")));
}

}  // namespace
}  // namespace kekd
