#include "base/secret_builder.h"

#include <algorithm>
#include <cstdint>
#include <utility>

namespace kekd {
namespace {

constexpr size_t kFirstBytes = 1024;
constexpr char kBase64Digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

}  // namespace

absl::Span<uint8_t> SecretBuilder::Extend(size_t size) {
  const size_t needed = size_ + size;
  if (needed > bytes_.size()) {
    SecretBytes larger(std::max({kFirstBytes, needed, 2 * bytes_.size()}));
    const ByteView old = bytes_.Reveal(SecretAccessToken()).first(size_);
    std::copy(old.begin(), old.end(), larger.RevealMutable(SecretAccessToken()).begin());
    bytes_ = std::move(larger);
  }
  size_ = needed;
  return bytes_.RevealMutable(SecretAccessToken()).subspan(needed - size, size);
}

void SecretBuilder::Append(absl::string_view text) {
  std::copy(text.begin(), text.end(), Extend(text.size()).begin());
}

void SecretBuilder::AppendBase64(ByteView bytes) {
  const absl::Span<uint8_t> out = Extend((bytes.size() + 2) / 3 * 4);
  for (size_t in = 0, at = 0; in < bytes.size(); in += 3, at += 4) {
    const size_t count = std::min<size_t>(3, bytes.size() - in);
    uint32_t group = 0;
    for (size_t i = 0; i < 3; ++i) group = group << 8 | (i < count ? bytes[in + i] : 0u);
    for (size_t i = 0; i < 4; ++i) {
      out[at + i] =
          static_cast<uint8_t>(i <= count ? kBase64Digits[group >> (18 - 6 * i) & 63] : '=');
    }
  }
}

SecretBytes SecretBuilder::Take() {
  bytes_.Truncate(size_);
  size_ = 0;
  return std::exchange(bytes_, SecretBytes());
}

}  // namespace kekd
