// What is said of a rotation.
#ifndef KEKD_KMS_CTL_ROTATION_OUTPUT_H_
#define KEKD_KMS_CTL_ROTATION_OUTPUT_H_

#include <string>

#include "absl/time/time.h"
#include "keystore/rotation/ring_view.h"
#include "kms/ctl/terminal.h"

namespace kekd {

// `next`: what an operator is to do, or what is waited for; may be empty. A ring that never had a
// rotation says so.
std::string RotationTable(const RingView& ring, const std::string& next, absl::Time now,
                          Colors colors);
// Field names never change; times are RFC 3339 in UTC, and null for never.
std::string RotationJson(const RingView& ring, const std::string& next);

}  // namespace kekd

#endif  // KEKD_KMS_CTL_ROTATION_OUTPUT_H_
