// A client of the KMS v2 service, whichever way it speaks to it.
#ifndef KEKD_BENCH_KMS_CLIENT_H_
#define KEKD_BENCH_KMS_CLIENT_H_

#include "absl/status/status.h"
#include "kms/v2/api.pb.h"

namespace kekd::bench {

// Blocking, one call in flight. An error unless the server answered with gRPC's status 0. Not
// thread-safe.
class KmsClient {
 public:
  virtual ~KmsClient() = default;
  virtual absl::Status Status(const ::v2::StatusRequest& request,
                              ::v2::StatusResponse& response) = 0;
  virtual absl::Status Encrypt(const ::v2::EncryptRequest& request,
                               ::v2::EncryptResponse& response) = 0;
  virtual absl::Status Decrypt(const ::v2::DecryptRequest& request,
                               ::v2::DecryptResponse& response) = 0;
};

}  // namespace kekd::bench

#endif  // KEKD_BENCH_KMS_CLIENT_H_
