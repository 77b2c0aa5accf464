#include "base/secret_builder.h"

#include <openssl/evp.h>

#include <algorithm>
#include <cstdint>
#include <utility>

namespace kekd {
namespace {

constexpr size_t kFirstBytes = 1024;

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
  // EVP_EncodeBlock ends what it writes with a zero.
  const size_t size = (bytes.size() + 2) / 3 * 4;
  EVP_EncodeBlock(Extend(size + 1).data(), bytes.data(), static_cast<int>(bytes.size()));
  --size_;
}

SecretBytes SecretBuilder::Take() {
  bytes_.Truncate(size_);
  size_ = 0;
  return std::exchange(bytes_, SecretBytes());
}

}  // namespace kekd
