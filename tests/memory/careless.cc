// careless PLACE FILE: reads a secret from a file into a place where none belongs, and waits until
// its standard input ends. What must find secrets in kekd is tried on it. Places: heap, freed,
// realloc, stack, dead-stack, thread-stack, bss, hex, base64, arena.
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "base/secret_arena.h"
#include "base/unique_fd.h"

namespace kekd::testing {
namespace {

constexpr size_t kSecretBytes = 32;
uint8_t in_bss[kSecretBytes];

// Straight from the file to the place, so that there is no second copy.
void Read(const char* path, void* place) {
  const UniqueFd file(open(path, O_RDONLY | O_CLOEXEC));
  if (read(file.get(), place, kSecretBytes) != kSecretBytes) abort();
}

void Wait() {
  puts("planted");
  fflush(stdout);
  char byte;
  while (read(STDIN_FILENO, &byte, 1) > 0) {
  }
}

__attribute__((noinline)) void LeaveOnStack(const char* path) {
  uint8_t deep[16384];  // far below what is called next
  Read(path, deep);
  asm volatile("" : : "r"(deep) : "memory");
}

void WaitOnStack(const char* path) {
  uint8_t on_stack[kSecretBytes];
  Read(path, on_stack);
  asm volatile("" : : "r"(on_stack) : "memory");
  Wait();
}

// As text, with a line behind it as a printer would have it; the raw bytes are wiped.
template <typename Encode>
void WaitEncoded(const char* path, size_t digits, Encode encode) {
  uint8_t raw[kSecretBytes];
  Read(path, raw);
  char* const text = static_cast<char*>(malloc(digits + 2));
  encode(raw, text);
  memset(raw, 0, sizeof(raw));
  asm volatile("" : : "r"(raw), "r"(text) : "memory");
  Wait();
  free(text);
}

void EncodeHex(const uint8_t* raw, char* out) {
  constexpr char kDigits[] = "0123456789abcdef";
  for (size_t i = 0; i < kSecretBytes; ++i) {
    *out++ = kDigits[raw[i] >> 4];
    *out++ = kDigits[raw[i] & 15];
  }
}

void EncodeBase64(const uint8_t* raw, char* out) {
  constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (size_t i = 0; i + 3 <= kSecretBytes; i += 3) {
    const uint32_t group = static_cast<uint32_t>(raw[i] << 16 | raw[i + 1] << 8 | raw[i + 2]);
    for (int shift = 18; shift >= 0; shift -= 6) *out++ = kDigits[group >> shift & 63];
  }
}

bool WaitAt(const char* place, const char* path) {
  const auto is = [place](const char* name) { return strcmp(place, name) == 0; };
  if (is("stack")) {
    WaitOnStack(path);
  } else if (is("dead-stack")) {
    LeaveOnStack(path);
    Wait();
  } else if (is("thread-stack")) {
    std::thread(WaitOnStack, path).join();
  } else if (is("bss")) {
    Read(path, in_bss);
    Wait();
  } else if (is("hex")) {
    WaitEncoded(path, 2 * kSecretBytes, EncodeHex);
  } else if (is("base64")) {
    WaitEncoded(path, 2 * kSecretBytes, EncodeBase64);
  } else if (is("arena")) {
    void* const block = SecretArena::Instance().Allocate(kSecretBytes);
    Read(path, block);
    Wait();
  } else if (is("heap") || is("freed") || is("realloc")) {
    // What it does with the heap is what careless programs do.
    // NOLINTBEGIN(clang-analyzer-unix.Malloc,bugprone-suspicious-realloc-usage)
    auto* block = static_cast<uint8_t*>(malloc(3 * kSecretBytes));
    void* const behind = malloc(kSecretBytes);
    Read(path, block + kSecretBytes);  // behind what the C library writes into a freed block
    if (is("freed")) free(block);
    if (is("realloc")) {
      block = static_cast<uint8_t*>(realloc(block, 100 * kSecretBytes));
      memset(block, 0, 3 * kSecretBytes);
    }
    asm volatile("" : : "r"(block), "r"(behind) : "memory");
    Wait();
    // NOLINTEND(clang-analyzer-unix.Malloc,bugprone-suspicious-realloc-usage)
  } else {
    return false;
  }
  return true;
}

}  // namespace
}  // namespace kekd::testing

int main(int argc, char** argv) {
  if (argc == 3 && kekd::testing::WaitAt(argv[1], argv[2])) return EXIT_SUCCESS;
  fprintf(stderr, "usage: careless PLACE FILE\n");
  return 2;
}
