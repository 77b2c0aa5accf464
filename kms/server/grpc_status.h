// Errors at the edge to gRPC.
#ifndef KEKD_KMS_SERVER_GRPC_STATUS_H_
#define KEKD_KMS_SERVER_GRPC_STATUS_H_

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace kekd {

// The same code and message; the numbers of both lists are the same. Payloads stay behind.
grpc::Status ToGrpcStatus(const absl::Status& status);

}  // namespace kekd

#endif  // KEKD_KMS_SERVER_GRPC_STATUS_H_
