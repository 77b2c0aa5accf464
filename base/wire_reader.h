// The protobuf wire format, read where it lies.
#ifndef KEKD_BASE_WIRE_READER_H_
#define KEKD_BASE_WIRE_READER_H_

#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"

namespace kekd {

// One field of a message. Of a varint only `number_value` is set, of anything else only `bytes`:
// the content of a length-delimited field, or the 4 or 8 bytes of a fixed one.
struct WireField {
  enum class Type { kVarint, kFixed64, kBytes, kFixed32 };

  uint32_t number = 0;
  Type type = Type::kVarint;
  uint64_t number_value = 0;
  absl::string_view bytes;
};

// WireReader goes through the fields of a protobuf message without copying them (protobuf.dev,
// "Encoding"), for messages that hold secrets, that are far larger than what is looked at, or that
// are the remains of one. Groups, which nothing here uses, are refused. Thread-compatible.
class WireReader final {
 public:
  // `message` outlives the reader and the fields.
  explicit WireReader(absl::string_view message) : rest_(message) {}

  // The next field; none at the end and where the rest is no field (then ok() is false).
  std::optional<WireField> Next();

  // False once something was met that is no field.
  bool ok() const { return ok_; }
  // What has not been read; after a failure, from the field that is none.
  absl::string_view rest() const { return rest_; }

 private:
  absl::string_view rest_;
  bool ok_ = true;
};

// Takes a varint of at most 10 bytes from the front of `bytes`; none, and nothing is taken, if
// there is no whole one.
std::optional<uint64_t> TakeVarint(absl::string_view& bytes);

}  // namespace kekd

#endif  // KEKD_BASE_WIRE_READER_H_
