// Transitions as messages of the admin socket.
#ifndef KEKD_KMS_ADMIN_VIEW_TRANSITION_MESSAGE_H_
#define KEKD_KMS_ADMIN_VIEW_TRANSITION_MESSAGE_H_

#include "absl/status/statusor.h"
#include "kekd/admin/v1/admin.pb.h"
#include "keystore/transition.h"

namespace kekd {

void SetTransition(const Transition& transition, admin::v1::ApplyRequest& request);

// Unimplemented for one that only a newer kekctl knows; DataLoss for a damaged one.
absl::StatusOr<Transition> TransitionOf(const admin::v1::ApplyRequest& request);

}  // namespace kekd

#endif  // KEKD_KMS_ADMIN_VIEW_TRANSITION_MESSAGE_H_
