// The admin service: how kekctl asks a running kekd.
#ifndef KEKD_KMS_ADMIN_ADMIN_SERVER_H_
#define KEKD_KMS_ADMIN_ADMIN_SERVER_H_

#include <memory>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "kms/admin/admin_calls.h"
#include "kms/server/async_server.h"

namespace kekd {

inline constexpr int kMaxAdminReceiveBytes = 64 * 1024;
// Of what a device has to do for it: calls are answered one after the other, and a stop of kekd
// waits for the one that is being answered.
inline constexpr absl::Duration kMaxAdminCallTime = absl::Seconds(5);

// A server that answers kekd.admin.v1 on a thread of its own, one call after the other: of two
// changes at once one wins and the other is told so by the generation.
absl::StatusOr<std::unique_ptr<AsyncServer>> StartAdminServer(AdminOptions options);

}  // namespace kekd

#endif  // KEKD_KMS_ADMIN_ADMIN_SERVER_H_
