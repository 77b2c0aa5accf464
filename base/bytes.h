// Views of public bytes. Secret bytes live in SecretBytes (secret_bytes.h) only.
#ifndef KEKD_BASE_BYTES_H_
#define KEKD_BASE_BYTES_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace kekd {

using ByteView = absl::Span<const uint8_t>;

inline ByteView AsBytes(absl::string_view text) {
  return ByteView(reinterpret_cast<const uint8_t*>(text.data()), text.size());
}

inline absl::string_view AsText(ByteView bytes) {
  return absl::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

// The writable bytes of a string that was sized beforehand.
inline absl::Span<uint8_t> AsWritableBytes(std::string& text) {
  return absl::Span<uint8_t>(reinterpret_cast<uint8_t*>(text.data()), text.size());
}

}  // namespace kekd

#endif  // KEKD_BASE_BYTES_H_
