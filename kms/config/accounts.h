// The system's databases of users and groups.
#ifndef KEKD_KMS_CONFIG_ACCOUNTS_H_
#define KEKD_KMS_CONFIG_ACCOUNTS_H_

#include <sys/types.h>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace kekd {

// The user that kekd's systemd unit runs it as (manifests/systemd/kekd.sysusers.conf).
inline constexpr absl::string_view kKekdUser = "kekd";

// The id of a user or group, given by its number or its name. InvalidArgument if the system knows
// no such name; Unavailable if it could not tell.
absl::StatusOr<uid_t> FindUser(absl::string_view name_or_number);
absl::StatusOr<gid_t> FindGroup(absl::string_view name_or_number);

}  // namespace kekd

#endif  // KEKD_KMS_CONFIG_ACCOUNTS_H_
