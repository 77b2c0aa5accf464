// Looks for known secrets in memory that should hold none.
#ifndef KEKD_TESTS_MEMORY_SECRET_INDEX_H_
#define KEKD_TESTS_MEMORY_SECRET_INDEX_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "base/bytes.h"

namespace kekd::testing {

// SecretIndex finds any eight bytes in a row of any of its secrets, at any address: as they are, as
// hexadecimal digits of either case, in base64 wherever they lie in what was encoded, and, of what
// may be a key, as SHA-2 and HMAC prepare them. Not thread-safe.
class SecretIndex final {
 public:
  static constexpr size_t kWindowBytes = 8;

  // How a secret was written.
  struct Pattern {
    std::string kind;  // what the secret is, for the report
    absl::string_view form;
    size_t secret = 0;  // the number of the secret: how many were added before it
    std::string text;
  };

  // A secret of less than kWindowBytes bytes is not looked for.
  void Add(absl::string_view kind, ByteView secret);
  // To be called once, between the last Add and the first Search.
  void Build();

  // Calls `found` for each window that is there, in the order of `offset`. Windows overlap.
  using Found = absl::FunctionRef<void(size_t offset, size_t size, const Pattern& pattern)>;
  void Search(ByteView memory, Found found) const;

  size_t secrets() const { return secrets_; }

 private:
  struct Window {
    uint64_t key;  // its first eight bytes
    uint32_t pattern;
    uint32_t offset;  // in the pattern's text
    uint32_t size;
  };
  // A window of `size` bytes at each `step` bytes of a text.
  void AddPattern(absl::string_view kind, absl::string_view form, std::string text, size_t size,
                  size_t step);

  std::vector<Pattern> patterns_;
  std::vector<Window> windows_;   // by their keys
  std::vector<uint64_t> filter_;  // a bit for each key's hash, as most of memory is in no window
  size_t secrets_ = 0;
};

}  // namespace kekd::testing

#endif  // KEKD_TESTS_MEMORY_SECRET_INDEX_H_
