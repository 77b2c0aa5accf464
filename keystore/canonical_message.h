// Protobuf messages of which each has one encoding.
#ifndef KEKD_KEYSTORE_CANONICAL_MESSAGE_H_
#define KEKD_KEYSTORE_CANONICAL_MESSAGE_H_

#include <cstddef>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "base/bytes.h"

namespace google::protobuf {
class FieldDescriptor;
class Message;
}  // namespace google::protobuf

namespace kekd {

// The message in ascending field order, the same bytes each time.
std::string SerializeCanonical(const google::protobuf::Message& message);

// How often a repeated field may be there.
using MaxFieldCount = absl::FunctionRef<size_t(const google::protobuf::FieldDescriptor&)>;

// Fills `message` from bytes that nobody has vouched for. DataLoss unless they are what
// SerializeCanonical makes of it: without unknown fields, fields out of order or given twice.
// Before anything is parsed it is made sure that no repeated field is there more often than
// `max_count` allows, since each two bytes could become an object of a hundred.
absl::Status ParseCanonical(ByteView bytes, MaxFieldCount max_count,
                            google::protobuf::Message& message);

}  // namespace kekd

#endif  // KEKD_KEYSTORE_CANONICAL_MESSAGE_H_
