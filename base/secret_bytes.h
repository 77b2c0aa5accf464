// Keys, PINs and plaintexts.
#ifndef KEKD_BASE_SECRET_BYTES_H_
#define KEKD_BASE_SECRET_BYTES_H_

#include <cstddef>
#include <cstdint>
#include <iosfwd>

#include "absl/types/span.h"
#include "base/bytes.h"

namespace kekd {

// Stands at every place that reads raw secret bytes: "grep SecretAccessToken" lists them all.
struct SecretAccessToken {
  explicit SecretAccessToken() = default;
};

// SecretBytes owns secret bytes of a fixed size in the SecretArena and wipes them when it goes.
// It can't be copied by accident, printed or compared with ==. Thread-compatible.
class SecretBytes final {
 public:
  SecretBytes() = default;  // empty
  // Zero bytes of the given size, to be filled through RevealMutable.
  explicit SecretBytes(size_t size);
  SecretBytes(SecretBytes&& other) noexcept;
  SecretBytes& operator=(SecretBytes&& other) noexcept;
  SecretBytes(const SecretBytes&) = delete;
  SecretBytes& operator=(const SecretBytes&) = delete;
  ~SecretBytes();

  // A copy of bytes that lie elsewhere; the caller wipes those.
  static SecretBytes CopyOf(ByteView bytes);
  SecretBytes Clone() const;

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  ByteView Reveal(SecretAccessToken) const { return ByteView(bytes_, size_); }
  absl::Span<uint8_t> RevealMutable(SecretAccessToken) {
    return absl::Span<uint8_t>(bytes_, size_);
  }

  // Cuts to the first `size` bytes and wipes the rest. `size` must not exceed size().
  void Truncate(size_t size);

  // Takes the same time whatever the bytes are (not: whatever the sizes are).
  static bool ConstantTimeEquals(const SecretBytes& a, const SecretBytes& b);

 private:
  uint8_t* bytes_ = nullptr;
  size_t size_ = 0;
};

// "SecretBytes(32 bytes)", so that a failing test prints no secret.
void PrintTo(const SecretBytes& bytes, std::ostream* out);

// Overwrites memory that held a secret outside the arena; not optimised away.
void Wipe(void* memory, size_t size) noexcept;

}  // namespace kekd

#endif  // KEKD_BASE_SECRET_BYTES_H_
