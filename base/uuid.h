// 128-bit identifiers.
#ifndef KEKD_BASE_UUID_H_
#define KEKD_BASE_UUID_H_

#include <array>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/bytes.h"
#include "base/random_source.h"

namespace kekd {

// A UUID (RFC 9562): 16 bytes, written as 8-4-4-4-12 lower-case hexadecimal digits. A value.
class Uuid final {
 public:
  static constexpr size_t kBytes = 16;

  Uuid() = default;  // all zero: "none"
  // Version 4: 122 random bits.
  static absl::StatusOr<Uuid> Random(const RandomSource& random);
  // The written form in either case; InvalidArgument otherwise.
  static absl::StatusOr<Uuid> Parse(absl::string_view text);
  // Exactly kBytes bytes, of any version; InvalidArgument otherwise.
  static absl::StatusOr<Uuid> FromBytes(ByteView bytes);

  ByteView bytes() const { return ByteView(bytes_.data(), bytes_.size()); }
  std::string ToString() const;
  bool IsNil() const { return *this == Uuid(); }

  friend bool operator==(const Uuid& a, const Uuid& b) { return a.bytes_ == b.bytes_; }

 private:
  std::array<uint8_t, kBytes> bytes_ = {};
};

}  // namespace kekd

#endif  // KEKD_BASE_UUID_H_
