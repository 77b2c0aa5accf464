#include "kms/server/secret_message.h"

#include <grpc/slice.h>
#include <grpcpp/support/proto_buffer_reader.h>
#include <grpcpp/support/slice.h>

#include <cstdint>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/secret_bytes.h"

namespace kekd {

void WipeMessage(grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> pieces;
  if (buffer.Dump(&pieces).ok()) {
    for (const grpc::Slice& piece : pieces) {
      // Nobody else reads the bytes of a message that has been handed over.
      Wipe(const_cast<uint8_t*>(piece.begin()), piece.size());
    }
  }
  buffer.Clear();
}

absl::Status TakeMessage(grpc::ByteBuffer& buffer, google::protobuf::MessageLite& message) {
  bool parsed;
  {
    grpc::ProtoBufferReader reader(&buffer);
    parsed = reader.status().ok() && message.ParseFromZeroCopyStream(&reader);
  }
  WipeMessage(buffer);
  if (parsed) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("the request is no message of type ", message.GetTypeName()));
}

grpc::ByteBuffer PutMessage(const google::protobuf::MessageLite& message) {
  const grpc::Slice slice(grpc_slice_malloc_large(message.ByteSizeLong()), grpc::Slice::STEAL_REF);
  // gRPC has no writable view of a slice; this one is new.
  message.SerializeWithCachedSizesToArray(const_cast<uint8_t*>(slice.begin()));
  return grpc::ByteBuffer(&slice, 1);
}

}  // namespace kekd
