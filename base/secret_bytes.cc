#include "base/secret_bytes.h"

#include <openssl/crypto.h>

#include <cassert>
#include <cstring>
#include <ostream>
#include <utility>

#include "base/secret_arena.h"

namespace kekd {

SecretBytes::SecretBytes(size_t size)
    : bytes_(size == 0 ? nullptr : static_cast<uint8_t*>(SecretArena::Instance().Allocate(size))),
      size_(size) {}

SecretBytes::SecretBytes(SecretBytes&& other) noexcept
    : bytes_(std::exchange(other.bytes_, nullptr)), size_(std::exchange(other.size_, 0)) {}

SecretBytes& SecretBytes::operator=(SecretBytes&& other) noexcept {
  // Through a temporary, so that what this held is wiped now and not when `other` goes.
  SecretBytes taken(std::move(other));
  std::swap(bytes_, taken.bytes_);
  std::swap(size_, taken.size_);
  return *this;
}

SecretBytes::~SecretBytes() { SecretArena::Instance().Deallocate(bytes_); }

SecretBytes SecretBytes::CopyOf(ByteView bytes) {
  SecretBytes copy(bytes.size());
  if (copy.bytes_ != nullptr) memcpy(copy.bytes_, bytes.data(), bytes.size());
  return copy;
}

SecretBytes SecretBytes::Clone() const { return CopyOf(ByteView(bytes_, size_)); }

void SecretBytes::Truncate(size_t size) {
  assert(size <= size_);
  if (size >= size_) return;
  OPENSSL_cleanse(bytes_ + size, size_ - size);
  size_ = size;
}

bool SecretBytes::ConstantTimeEquals(const SecretBytes& a, const SecretBytes& b) {
  return a.size_ == b.size_ && (a.size_ == 0 || CRYPTO_memcmp(a.bytes_, b.bytes_, a.size_) == 0);
}

void PrintTo(const SecretBytes& bytes, std::ostream* out) {
  *out << "SecretBytes(" << bytes.size() << " bytes)";
}

void Wipe(void* memory, size_t size) noexcept {
  if (size != 0) OPENSSL_cleanse(memory, size);
}

}  // namespace kekd
