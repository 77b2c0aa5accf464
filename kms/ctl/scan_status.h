// What a failure of a scan means to whoever asked for proof.
#ifndef KEKD_KMS_CTL_SCAN_STATUS_H_
#define KEKD_KMS_CTL_SCAN_STATUS_H_

#include "absl/status/status.h"

namespace kekd {

// The same message with a code of which the exit code says that nothing is proven (Unavailable),
// unless its own says something graver or nearer: usage, damage, a newer format, a missing right.
absl::Status NothingProven(const absl::Status& status);

// Only of codes whose exit code would be that of a violated policy.
absl::Status NeverViolated(const absl::Status& status);

}  // namespace kekd

#endif  // KEKD_KMS_CTL_SCAN_STATUS_H_
