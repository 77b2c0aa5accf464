// errno as absl::Status.
#ifndef KEKD_BASE_POSIX_ERROR_H_
#define KEKD_BASE_POSIX_ERROR_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace kekd {

// A status whose message is "what: Text of the error (ENAME)" and whose code is the canonical one
// for the error (for example ENOENT: NotFound, EACCES and EPERM: PermissionDenied, ENOSPC and
// EDQUOT: ResourceExhausted, EEXIST: AlreadyExists, EAGAIN and ECONNREFUSED: Unavailable, else
// Internal). `what` names the call and its object, e.g. "fsync /var/lib/kekd/ring".
absl::Status PosixError(int error, absl::string_view what);

}  // namespace kekd

#endif  // KEKD_BASE_POSIX_ERROR_H_
