#include "tests/hsm/p11fault/shared_words.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>

namespace kekd::p11fault {

std::unique_ptr<SharedWords> SharedWords::Map(const std::string& path, size_t count) {
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return nullptr;
  const size_t size = count * sizeof(uint64_t);
  void* mapped = MAP_FAILED;
  if (ftruncate(fd, static_cast<off_t>(size)) == 0) {
    mapped = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  }
  close(fd);
  if (mapped == MAP_FAILED) return nullptr;
  return std::unique_ptr<SharedWords>(new SharedWords(static_cast<uint64_t*>(mapped), count));
}

SharedWords::~SharedWords() { munmap(words_, count_ * sizeof(uint64_t)); }

uint64_t SharedWords::Add(size_t at, uint64_t by) {
  return std::atomic_ref<uint64_t>(words_[at]).fetch_add(by) + by;
}

}  // namespace kekd::p11fault
