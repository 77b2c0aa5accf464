// Numbers that all processes and the test see.
#ifndef KEKD_TESTS_HSM_P11FAULT_SHARED_WORDS_H_
#define KEKD_TESTS_HSM_P11FAULT_SHARED_WORDS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace kekd::p11fault {

// SharedWords is a small file of 64-bit numbers that is mapped into each process that counts in it.
// Thread-safe.
class SharedWords final {
 public:
  // Makes the file, of zeroes, if there is none; null if that can't be done (errno says why).
  static std::unique_ptr<SharedWords> Map(const std::string& path, size_t count);
  ~SharedWords();
  SharedWords(const SharedWords&) = delete;
  SharedWords& operator=(const SharedWords&) = delete;

  // The new value.
  uint64_t Add(size_t at, uint64_t by = 1);
  // Not atomic: for what never changes.
  uint64_t* words() { return words_; }

 private:
  SharedWords(uint64_t* words, size_t count) : words_(words), count_(count) {}

  uint64_t* const words_;
  const size_t count_;
};

}  // namespace kekd::p11fault

#endif  // KEKD_TESTS_HSM_P11FAULT_SHARED_WORDS_H_
