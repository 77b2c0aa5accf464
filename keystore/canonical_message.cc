#include "keystore/canonical_message.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/message.h>
#include <google/protobuf/stubs/logging.h>

#include <limits>
#include <map>

#include "absl/strings/string_view.h"

namespace kekd {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::io::CodedInputStream;

// Whether the message that ends at the input's limit has known fields only, each in its own wire
// type, and none too often.
bool IsBounded(const Descriptor& type, MaxFieldCount max_count, CodedInputStream& input) {
  constexpr uint32_t kVarint = 0;
  constexpr uint32_t kLengthDelimited = 2;
  std::map<int, size_t> counts;  // by field number: as many as the type has fields
  while (input.BytesUntilLimit() > 0) {
    const uint32_t tag = input.ReadTag();
    const FieldDescriptor* const field = type.FindFieldByNumber(static_cast<int>(tag >> 3));
    if (field == nullptr) return false;
    if (++counts[field->number()] > (field->is_repeated() ? max_count(*field) : 1)) return false;
    const bool is_message = field->message_type() != nullptr;
    const bool has_length = is_message || field->cpp_type() == FieldDescriptor::CPPTYPE_STRING;
    if ((tag & 7) != (has_length ? kLengthDelimited : kVarint)) return false;
    if (!has_length) {
      uint64_t value = 0;
      if (!input.ReadVarint64(&value)) return false;
      continue;
    }
    uint32_t size = 0;
    if (!input.ReadVarint32(&size) || int64_t{size} > input.BytesUntilLimit()) return false;
    if (!is_message) {
      if (!input.Skip(static_cast<int>(size))) return false;
      continue;
    }
    const auto limit = input.PushLimit(static_cast<int>(size));
    if (!IsBounded(*field->message_type(), max_count, input)) return false;
    input.PopLimit(limit);
  }
  return true;
}

}  // namespace

std::string SerializeCanonical(const google::protobuf::Message& message) {
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  message.SerializeToCodedStream(&coded);
  coded.Trim();
  return bytes;
}

absl::Status ParseCanonical(ByteView bytes, MaxFieldCount max_count,
                            google::protobuf::Message& message) {
  if (bytes.size() > static_cast<size_t>(std::numeric_limits<int>::max())) {
    return absl::DataLossError("it is too large");
  }
  const int size = static_cast<int>(bytes.size());
  CodedInputStream input(bytes.data(), size);
  input.PushLimit(size);
  if (!IsBounded(*message.GetDescriptor(), max_count, input)) {
    return absl::DataLossError("it has more fields than it may have, or fields that none has");
  }
  // protobuf tells of text that is no UTF-8 on standard error, which is the log's.
  const google::protobuf::LogSilencer silencer;
  if (!message.ParseFromArray(bytes.data(), size)) {
    return absl::DataLossError("it can't be parsed");
  }
  // protobuf would keep unknown fields and write them again.
  message.DiscardUnknownFields();
  if (SerializeCanonical(message) != AsText(bytes)) {
    return absl::DataLossError("it is not in the one form that kekd writes");
  }
  return absl::OkStatus();
}

}  // namespace kekd
