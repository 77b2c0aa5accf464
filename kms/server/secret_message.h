// Messages with a secret in them, between protobuf and gRPC's buffers.
#ifndef KEKD_KMS_SERVER_SECRET_MESSAGE_H_
#define KEKD_KMS_SERVER_SECRET_MESSAGE_H_

#include <google/protobuf/message_lite.h>
#include <grpcpp/support/byte_buffer.h>

#include "absl/status/status.h"

namespace kekd {

// Parses what has come in and wipes it where it lies: that is the buffer which gRPC has read it
// into from the socket, and which it goes on filling with later calls for as long as there is room.
// `buffer` is empty then. InvalidArgument if it is no such message.
absl::Status TakeMessage(grpc::ByteBuffer& buffer, google::protobuf::MessageLite& message);

// Only wipes it, as TakeMessage does.
void WipeMessage(grpc::ByteBuffer& buffer);

// For gRPC to send, in a block of the heap's own also if it is short: gRPC keeps short ones in
// arrays that live as long as the connection. The heap wipes it when it has been sent
// (base/wiping_heap.cc).
grpc::ByteBuffer PutMessage(const google::protobuf::MessageLite& message);

}  // namespace kekd

#endif  // KEKD_KMS_SERVER_SECRET_MESSAGE_H_
