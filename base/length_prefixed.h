// An encoding of a list of fields that no other list of fields shares.
#ifndef KEKD_BASE_LENGTH_PREFIXED_H_
#define KEKD_BASE_LENGTH_PREFIXED_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "base/bytes.h"

namespace kekd {

// Each field is its length (u32, big-endian) and its bytes. It is what key ids and associated data
// are made over (docs/formats.md), so it must never change.
class LengthPrefixed final {
 public:
  LengthPrefixed& Add(ByteView field);
  LengthPrefixed& Add(absl::string_view field) { return Add(AsBytes(field)); }
  LengthPrefixed& AddU8(uint8_t value);    // a field of 1 byte
  LengthPrefixed& AddU32(uint32_t value);  // a field of 4 bytes, big-endian

  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

void AppendU16(std::string& out, uint16_t value);  // all big-endian
void AppendU32(std::string& out, uint32_t value);
void AppendU64(std::string& out, uint64_t value);
uint16_t ReadU16(const uint8_t* bytes);
uint32_t ReadU32(const uint8_t* bytes);
uint64_t ReadU64(const uint8_t* bytes);

}  // namespace kekd

#endif  // KEKD_BASE_LENGTH_PREFIXED_H_
