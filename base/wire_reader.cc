#include "base/wire_reader.h"

#include <cstddef>

namespace kekd {
namespace {

constexpr size_t kMaxVarintBytes = 10;
constexpr uint64_t kMaxFieldNumber = (1u << 29) - 1;

}  // namespace

std::optional<uint64_t> TakeVarint(absl::string_view& bytes) {
  uint64_t value = 0;
  for (size_t i = 0; i < bytes.size() && i < kMaxVarintBytes; ++i) {
    const uint64_t byte = static_cast<uint8_t>(bytes[i]);
    // The tenth byte has one bit left.
    if (i == kMaxVarintBytes - 1 && byte > 1) return std::nullopt;
    value |= (byte & 0x7f) << (7 * i);
    if (byte < 0x80) {
      bytes.remove_prefix(i + 1);
      return value;
    }
  }
  return std::nullopt;
}

std::optional<WireField> WireReader::Next() {
  if (rest_.empty() || !ok_) return std::nullopt;
  absl::string_view rest = rest_;
  ok_ = false;
  const std::optional<uint64_t> tag = TakeVarint(rest);
  if (!tag || *tag >> 3 == 0 || *tag >> 3 > kMaxFieldNumber) return std::nullopt;
  WireField field{.number = static_cast<uint32_t>(*tag >> 3)};
  size_t size = 0;
  switch (*tag & 7) {
    case 0: {
      const std::optional<uint64_t> value = TakeVarint(rest);
      if (!value) return std::nullopt;
      field.number_value = *value;
      break;
    }
    case 1:
      field.type = WireField::Type::kFixed64;
      size = 8;
      break;
    case 2: {
      const std::optional<uint64_t> length = TakeVarint(rest);
      if (!length || *length > rest.size()) return std::nullopt;
      field.type = WireField::Type::kBytes;
      size = *length;
      break;
    }
    case 5:
      field.type = WireField::Type::kFixed32;
      size = 4;
      break;
    default:
      return std::nullopt;
  }
  if (size > rest.size()) return std::nullopt;
  field.bytes = rest.substr(0, size);
  rest.remove_prefix(size);
  rest_ = rest;
  ok_ = true;
  return field;
}

}  // namespace kekd
