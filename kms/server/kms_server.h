// The KMS v2 service on gRPC.
#ifndef KEKD_KMS_SERVER_KMS_SERVER_H_
#define KEKD_KMS_SERVER_KMS_SERVER_H_

#include <cstddef>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "kms/server/async_server.h"
#include "kms/service/envelope_service.h"

namespace kekd {

// What kube-apiserver can send at most: a ciphertext and a key_id of 1 KiB each, annotations of
// 32 KiB, a uid; with room to spare.
inline constexpr int kMaxKmsReceiveBytes = 64 * 1024;
// A call's own deadline counts, but never for longer than this.
inline constexpr absl::Duration kMaxKmsCallTime = absl::Seconds(10);

// A server that answers v2.KeyManagementService for one keyring: a thin adapter between gRPC and
// EnvelopeService. `service` outlives it. Of calls that may block, `device_calls` are made at once.
absl::StatusOr<std::unique_ptr<AsyncServer>> StartKmsServer(const EnvelopeService& service,
                                                            size_t device_calls = 4);

}  // namespace kekd

#endif  // KEKD_KMS_SERVER_KMS_SERVER_H_
