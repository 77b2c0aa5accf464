#include "base/length_prefixed.h"

namespace kekd {
namespace {

template <typename T>
void AppendBigEndian(std::string& out, T value) {
  for (int shift = 8 * (static_cast<int>(sizeof(T)) - 1); shift >= 0; shift -= 8) {
    out.push_back(static_cast<char>(value >> shift));
  }
}

template <typename T>
T ReadBigEndian(const uint8_t* bytes) {
  T value = 0;
  for (size_t i = 0; i < sizeof(T); ++i) value = static_cast<T>(value << 8 | bytes[i]);
  return value;
}

}  // namespace

void AppendU16(std::string& out, uint16_t value) { AppendBigEndian(out, value); }
void AppendU32(std::string& out, uint32_t value) { AppendBigEndian(out, value); }
void AppendU64(std::string& out, uint64_t value) { AppendBigEndian(out, value); }
uint16_t ReadU16(const uint8_t* bytes) { return ReadBigEndian<uint16_t>(bytes); }
uint32_t ReadU32(const uint8_t* bytes) { return ReadBigEndian<uint32_t>(bytes); }
uint64_t ReadU64(const uint8_t* bytes) { return ReadBigEndian<uint64_t>(bytes); }

LengthPrefixed& LengthPrefixed::Add(ByteView field) {
  AppendU32(bytes_, static_cast<uint32_t>(field.size()));
  bytes_.append(AsText(field).data(), field.size());
  return *this;
}

LengthPrefixed& LengthPrefixed::AddU8(uint8_t value) { return Add(ByteView(&value, 1)); }

LengthPrefixed& LengthPrefixed::AddU32(uint32_t value) {
  std::string field;
  AppendU32(field, value);
  return Add(field);
}

}  // namespace kekd
