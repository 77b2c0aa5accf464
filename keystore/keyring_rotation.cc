#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "keystore/keyring.h"

namespace kekd {
namespace {

constexpr absl::string_view kWayOut =
    "'kekctl rotate status' explains it, 'rotate resume' goes on with it, 'rotate abort' ends it";

}  // namespace

absl::StatusOr<RotationRecord> Keyring::RunningTo(uint32_t to) const {
  if (!parts_.rotation.has_value()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "keyring \"", parts_.identity.name, "\" never had a rotation to key version ", to));
  }
  if (parts_.rotation->to != to) {
    return absl::FailedPreconditionError(
        absl::StrCat("not key version ", to, " is rotated to; there is ",
                     DescribeRotation(*parts_.rotation), ": ", kWayOut));
  }
  if (!parts_.rotation->IsRunning()) {
    return absl::FailedPreconditionError(
        absl::StrCat(DescribeRotation(*parts_.rotation), ", has ended"));
  }
  return *parts_.rotation;
}

absl::StatusOr<Keyring> Keyring::WithRotation(RotationRecord rotation) const {
  Parts next = parts_;
  next.rotation = std::move(rotation);
  return Create(std::move(next));
}

absl::Status Keyring::CheckMayBeginRotation() const {
  KEKD_RETURN_IF_ERROR(ExpectFormat(4, "a rotation"));
  if (parts_.rotation.has_value() && parts_.rotation->IsRunning()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "a rotation runs already: ", DescribeRotation(*parts_.rotation), ": ", kWayOut));
  }
  return absl::OkStatus();
}

absl::StatusOr<Keyring> Keyring::WithRotationBegun(RotationRecord rotation, absl::Time now) const {
  KEKD_RETURN_IF_ERROR(CheckMayBeginRotation());
  const KeyVersion* const to = Find(rotation.to);
  if (to == nullptr) {
    return absl::NotFoundError(absl::StrCat("there is no key version ", rotation.to));
  }
  if (to->state != KeyState::kPreActivation || to->IsCompromised()) {
    return absl::FailedPreconditionError(
        absl::StrCat("key version ", rotation.to, " is ", ToString(to->state),
                     to->IsCompromised() ? " and compromised" : "",
                     "; a rotation leads to a sound pre-activation one"));
  }
  const KeyVersion* const primary = Primary();
  rotation.from = primary == nullptr ? 0 : primary->number;
  if (rotation.from > rotation.to) {
    return absl::FailedPreconditionError(absl::StrCat("key version ", rotation.to,
                                                      " is older than the primary, ", rotation.from,
                                                      ": rotate to a new one"));
  }
  rotation.step = RotationStep::kSelfTest;
  rotation.proved.clear();
  rotation.end_reason.clear();
  rotation.begin_time = rotation.step_time = ToMillisecond(now);
  return WithRotation(std::move(rotation));
}

absl::StatusOr<Keyring> Keyring::WithRotationAt(uint32_t to, RotationStep step,
                                                absl::Time now) const {
  if (parts_.rotation.has_value() && parts_.rotation->to == to && parts_.rotation->step == step) {
    return *this;
  }
  KEKD_ASSIGN_OR_RETURN(RotationRecord rotation, RunningTo(to));
  if (step == RotationStep::kObserve || step >= RotationStep::kAborted ||
      static_cast<int>(step) != static_cast<int>(rotation.step) + 1) {
    return absl::FailedPreconditionError(
        absl::StrCat(DescribeRotation(rotation), ", does not go on to ", ToString(step)));
  }
  if (const std::vector<std::string> unproved = rotation.Unproved();
      step == RotationStep::kPromote && !unproved.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("key version ", to,
                     " can't be promoted before these nodes have proved that they can "
                     "decrypt under it: ",
                     absl::StrJoin(unproved, ", ")));
  }
  rotation.step = step;
  rotation.step_time = ToMillisecond(now);
  return WithRotation(std::move(rotation));
}

absl::StatusOr<Keyring> Keyring::WithNodeProved(uint32_t to, absl::string_view node,
                                                absl::Time now) const {
  KEKD_ASSIGN_OR_RETURN(RotationRecord rotation, RunningTo(to));
  if (rotation.IsPromoted()) return *this;
  if (std::find(rotation.nodes.begin(), rotation.nodes.end(), node) == rotation.nodes.end()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", node,
        "\" is no node that this rotation waits for: ", absl::StrJoin(rotation.nodes, ", ")));
  }
  const auto same = [&](const ProvedNode& one) { return one.node == node; };
  rotation.proved.erase(std::remove_if(rotation.proved.begin(), rotation.proved.end(), same),
                        rotation.proved.end());
  rotation.proved.push_back({std::string(node), ToMillisecond(now)});
  return WithRotation(std::move(rotation));
}

absl::StatusOr<Keyring> Keyring::WithRotationAborted(uint32_t to, absl::string_view reason,
                                                     absl::Time now) const {
  KEKD_ASSIGN_OR_RETURN(RotationRecord rotation, RunningTo(to));
  rotation.step = RotationStep::kAborted;
  rotation.step_time = ToMillisecond(now);
  rotation.end_reason = reason.empty() ? "no reason was given" : std::string(reason);
  return WithRotation(std::move(rotation));
}

}  // namespace kekd
