// The fields of the messages between kekd and its HSM worker.
#ifndef KEKD_HSM_TOKEN_FIELD_CODEC_H_
#define KEKD_HSM_TOKEN_FIELD_CODEC_H_

#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace kekd {

// FieldWriter puts fields one after the other: numbers big-endian, texts with their length (u32)
// before them. Thread-compatible.
class FieldWriter final {
 public:
  void U8(uint8_t value);
  void U32(uint32_t value);
  void U64(uint64_t value);
  void Bool(bool value) { U8(value ? 1 : 0); }
  void Text(absl::string_view value);
  std::string Take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

// FieldReader takes them off again. After the first field that is not there or is none of what a
// FieldWriter makes, every field reads as zero or empty and ok() is false: look once, at the end.
// Thread-compatible.
class FieldReader final {
 public:
  // `bytes` outlives the reader.
  explicit FieldReader(absl::string_view bytes) : rest_(bytes) {}

  uint8_t U8();
  uint32_t U32();
  uint64_t U64();
  bool Bool();
  std::string Text();
  // A number of 1 to `last`.
  uint8_t Enum(uint8_t last);
  // For what is well-formed and makes no sense.
  void Fail() { ok_ = false; }

  bool ok() const { return ok_; }
  // InvalidArgument unless all of it was read, to the last byte.
  absl::Status Finish() const;

 private:
  absl::string_view Take(size_t size);

  absl::string_view rest_;
  bool ok_ = true;
};

}  // namespace kekd

#endif  // KEKD_HSM_TOKEN_FIELD_CODEC_H_
