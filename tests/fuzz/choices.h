// What a fuzzer does with its input when it is not parsed: it decides.
#ifndef KEKD_TESTS_FUZZ_CHOICES_H_
#define KEKD_TESTS_FUZZ_CHOICES_H_

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "absl/strings/string_view.h"

namespace kekd::testing {

// A condition that always holds, whatever the input is.
inline void Require(bool condition) {
  if (!condition) std::abort();
}

// Choices takes decisions from the front of an input, one byte each; when it is used up, each is
// the first there is. (FuzzedDataProvider is of one compiler only, and takes them from both ends,
// so that what a mutation does to them can't be foreseen.) Not thread-safe.
class Choices final {
 public:
  // `input` outlives it.
  explicit Choices(absl::string_view input) : rest_(input) {}

  bool empty() const { return rest_.empty(); }
  // Below `count`, which is 1 to 256.
  uint32_t Below(uint32_t count) { return Byte() % count; }
  bool Flag() { return (Byte() & 1) != 0; }
  uint8_t Byte() {
    const absl::string_view taken = Take(1);
    return taken.empty() ? 0 : static_cast<uint8_t>(taken[0]);
  }
  // Fewer at the end.
  absl::string_view Take(size_t size) {
    const absl::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(taken.size());
    return taken;
  }
  absl::string_view Rest() { return Take(rest_.size()); }

 private:
  absl::string_view rest_;
};

}  // namespace kekd::testing

#endif  // KEKD_TESTS_FUZZ_CHOICES_H_
