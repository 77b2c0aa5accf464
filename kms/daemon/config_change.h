// What of the configuration may change while kekd runs.
#ifndef KEKD_KMS_DAEMON_CONFIG_CHANGE_H_
#define KEKD_KMS_DAEMON_CONFIG_CHANGE_H_

#include "absl/status/statusor.h"
#include "kms/config/config.h"

namespace kekd {

// `next` with its keyrings in the order of `running`. FailedPrecondition, which names every field
// that needs a restart, unless they differ only in log, unlock, and the sockets' mode, allowedUsers
// and allowedGroups.
absl::StatusOr<Config> ReloadableConfig(const Config& running, Config next);

}  // namespace kekd

#endif  // KEKD_KMS_DAEMON_CONFIG_CHANGE_H_
