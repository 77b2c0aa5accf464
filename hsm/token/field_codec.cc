#include "hsm/token/field_codec.h"

#include "base/bytes.h"
#include "base/length_prefixed.h"

namespace kekd {

void FieldWriter::U8(uint8_t value) { bytes_.push_back(static_cast<char>(value)); }
void FieldWriter::U32(uint32_t value) { AppendU32(bytes_, value); }
void FieldWriter::U64(uint64_t value) { AppendU64(bytes_, value); }

void FieldWriter::Text(absl::string_view value) {
  U32(static_cast<uint32_t>(value.size()));
  bytes_.append(value.data(), value.size());
}

absl::string_view FieldReader::Take(size_t size) {
  if (size > rest_.size()) ok_ = false;
  if (!ok_) return {};
  const absl::string_view taken = rest_.substr(0, size);
  rest_.remove_prefix(size);
  return taken;
}

uint8_t FieldReader::U8() {
  const absl::string_view taken = Take(1);
  return taken.empty() ? 0 : static_cast<uint8_t>(taken.front());
}

uint32_t FieldReader::U32() {
  const absl::string_view taken = Take(4);
  return taken.empty() ? 0 : ReadU32(AsBytes(taken).data());
}

uint64_t FieldReader::U64() {
  const absl::string_view taken = Take(8);
  return taken.empty() ? 0 : ReadU64(AsBytes(taken).data());
}

bool FieldReader::Bool() {
  const uint8_t value = U8();
  if (value > 1) ok_ = false;
  return ok_ && value == 1;
}

std::string FieldReader::Text() {
  const uint32_t size = U32();
  return std::string(Take(size));
}

uint8_t FieldReader::Enum(uint8_t last) {
  const uint8_t value = U8();
  if (value == 0 || value > last) ok_ = false;
  return ok_ ? value : uint8_t{1};
}

absl::Status FieldReader::Finish() const {
  if (ok_ && rest_.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError("a message that kekd's HSM protocol has none of");
}

}  // namespace kekd
