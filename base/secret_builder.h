// A secret text that grows.
#ifndef KEKD_BASE_SECRET_BUILDER_H_
#define KEKD_BASE_SECRET_BUILDER_H_

#include <cstddef>

#include "absl/strings/string_view.h"
#include "base/bytes.h"
#include "base/secret_bytes.h"

namespace kekd {

// SecretBuilder puts a secret of unknown size together in locked memory; what it outgrows is wiped.
// Not thread-safe.
class SecretBuilder final {
 public:
  void Append(absl::string_view text);
  // RFC 4648, section 4, with padding.
  void AppendBase64(ByteView bytes);

  // What was appended; the builder is empty again.
  SecretBytes Take();

 private:
  // Room for `size` bytes more, already counted as appended.
  absl::Span<uint8_t> Extend(size_t size);

  SecretBytes bytes_;
  size_t size_ = 0;
};

}  // namespace kekd

#endif  // KEKD_BASE_SECRET_BUILDER_H_
