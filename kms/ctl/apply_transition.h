// How kekctl changes a keyring.
#ifndef KEKD_KMS_CTL_APPLY_TRANSITION_H_
#define KEKD_KMS_CTL_APPLY_TRANSITION_H_

#include <cstdint>
#include <optional>

#include "absl/status/statusor.h"
#include "kekd/admin/v1/admin.pb.h"
#include "keystore/transition.h"
#include "kms/ctl/commands.h"

namespace kekd {

// Has the transition carried out by kekd, or on the files if kekd is not running. On the keyring as
// it is then, or only if it still is of `generation` (Aborted otherwise). An error says whether the
// change may have been made all the same.
absl::StatusOr<admin::v1::ApplyResponse> ApplyTransition(
    const CommandContext& context, const Transition& transition,
    std::optional<uint64_t> generation = std::nullopt);

// The version to create, with what is not asked for as with the primary: nothing moves a key
// unasked.
absl::StatusOr<CreateVersion> AsPrimaryIs(const CommandContext& context, CreateVersion create);

}  // namespace kekd

#endif  // KEKD_KMS_CTL_APPLY_TRANSITION_H_
