#include "tests/simulation/kekctl_fakes.h"

#include <variant>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace kekd::testing {

absl::Status KekctlRun::Point() {
  if (was_killed_) return absl::UnavailableError("this kekctl is dead");
  world_.meanwhile();
  if (world_.has_faults() && world_.dice().OneIn(40)) {
    was_killed_ = true;
    ++world_.tally().kekctl_killed;
    world_.Say("kekctl is killed");
    return absl::UnavailableError("kekctl was killed");
  }
  return absl::OkStatus();
}

absl::Status SimulatedRing::Reach() {
  KEKD_RETURN_IF_ERROR(run_.Point());
  if (!world_.change_node().has_power || !world_.change_node().is_reachable) {
    return absl::UnavailableError("the node where changes are made is away");
  }
  return absl::OkStatus();
}

absl::StatusOr<RingView> SimulatedRing::Read() {
  KEKD_RETURN_IF_ERROR(Reach());
  absl::StatusOr<RingView> view = world_.change_node().View();
  world_.ReapDead();
  return view;
}

void SimulatedRing::Count(const Transition& transition) {
  Tally& tally = world_.tally();
  if (std::holds_alternative<PromoteVersion>(transition)) ++tally.promoted;
  if (std::holds_alternative<AbortRotation>(transition)) ++tally.aborted;
  if (std::holds_alternative<DestroyVersion>(transition)) ++tally.retired;
  if (std::holds_alternative<MarkCompromised>(transition)) ++tally.compromised;
  const auto* const advance = std::get_if<AdvanceRotation>(&transition);
  if (advance == nullptr) return;
  if (advance->step == RotationStep::kDone) ++tally.done;
  if (absl::StrContains(advance->evidence, "waited")) ++tally.waited;
}

absl::StatusOr<RingView> SimulatedRing::Apply(const Transition& transition, uint64_t generation) {
  KEKD_RETURN_IF_ERROR(Reach());
  const absl::StatusOr<RingView> before = world_.change_node().View();
  absl::StatusOr<RingView> after = world_.change_node().Apply(transition, generation);
  if (after.ok()) {
    Count(transition);
    world_.Say(absl::StrCat(
        "generation ", after->generation, ": ",
        DescribeChange(transition, after->rotation.has_value() ? after->rotation->to : 0)));
    world_.invariants().OnKeysDestroyed();
    if (before.ok()) world_.invariants().OnChanged(*before, *after);
    world_.NoteRecord();
  } else {
    if (absl::IsAborted(after.status())) ++world_.tally().changes_lost_to_another;
    world_.Say(absl::StrCat("a change failed: ", after.status().ToString()));
  }
  world_.ReapDead();
  KEKD_RETURN_IF_ERROR(run_.Point());
  return after;
}

absl::StatusOr<std::string> SimulatedRing::ProveThisNode(uint32_t version,
                                                         absl::string_view /*node*/) {
  KEKD_RETURN_IF_ERROR(Reach());
  absl::StatusOr<std::string> proof = world_.change_node().Prove(version);
  world_.ReapDead();
  return proof;
}

absl::Status SimulatedCluster::Preflight(const RingView& /*ring*/) { return run_.Point(); }

absl::StatusOr<RotationCluster::Observation> SimulatedCluster::Observe(absl::string_view key_id) {
  KEKD_RETURN_IF_ERROR(run_.Point());
  Observation observation;
  for (const auto& server : world_.servers()) {
    if (mutation_ == Mutation::kSkipsObserve) {
      observation.seen.push_back(server->name());
    } else if (!server->is_up() || !server->can_be_asked) {
      observation.unknown = absl::StrCat(server->name(), " does not answer");
    } else if (server->key_id() == key_id) {
      observation.seen.push_back(server->name());
    } else {
      observation.waiting.push_back(absl::StrCat(server->name(), " (", server->key_id(), ")"));
    }
  }
  return observation;
}

absl::StatusOr<std::string> SimulatedCluster::Migrate(absl::string_view key_id) {
  KEKD_RETURN_IF_ERROR(run_.Point());
  world_.invariants().OnMigrate(std::string(key_id));
  std::vector<ApiServer*> asked;
  for (const auto& server : world_.servers()) {
    if (server->is_up() && server->can_be_asked) asked.push_back(server.get());
  }
  if (asked.empty()) return absl::UnavailableError("no API server answers");
  ApiServer& server = *world_.dice().Of(asked);
  std::vector<uint32_t> objects;
  for (const auto& [object, source] : world_.etcd().objects) objects.push_back(object);
  if (mutation_ == Mutation::kLeavesOne) objects.pop_back();
  for (const uint32_t object : objects) {
    KEKD_RETURN_IF_ERROR(run_.Point());
    // A snapshot that is restored meanwhile may not have it.
    if (world_.etcd().objects.count(object) == 0) continue;
    KEKD_RETURN_IF_ERROR(server.Rewrite(world_.etcd(), object, world_.now()));
  }
  return absl::StrCat(objects.size(), " objects through ", server.name());
}

absl::StatusOr<RotationCluster::Remainder> SimulatedCluster::Scan(absl::string_view key_id) {
  KEKD_RETURN_IF_ERROR(run_.Point());
  Remainder remainder;
  if (!world_.etcd_can_be_read) remainder.gaps.push_back("etcd");
  for (const auto& [object, source] : world_.etcd().objects) {
    if (source->key_id == key_id) continue;
    ++remainder.stale;
    remainder.samples = {absl::StrCat("object ", object, " under ", source->key_id)};
  }
  remainder.seen = absl::StrCat(world_.etcd().objects.size(), " objects");
  return remainder;
}

}  // namespace kekd::testing
