// The keyring and the cluster as kekctl reaches them in the simulation.
#ifndef KEKD_TESTS_SIMULATION_KEKCTL_FAKES_H_
#define KEKD_TESTS_SIMULATION_KEKCTL_FAKES_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "keystore/rotation/rotation_manager.h"
#include "tests/simulation/mutation.h"
#include "tests/simulation/world.h"

namespace kekd::testing {

// One run of kekctl. At every call it may be killed, before or after the call took place; then
// every later call fails. Not thread-safe.
class KekctlRun final {
 public:
  explicit KekctlRun(World& world) : world_(world) {}

  // Other things happen; then an error if kekctl is killed here.
  absl::Status Point();
  bool was_killed() const { return was_killed_; }

 private:
  World& world_;
  bool was_killed_ = false;
};

class SimulatedRing final : public RotatedRing {
 public:
  SimulatedRing(World& world, KekctlRun& run) : world_(world), run_(run) {}

  absl::StatusOr<RingView> Read() override;
  absl::StatusOr<RingView> Apply(const Transition& transition, uint64_t generation) override;
  absl::StatusOr<std::string> ProveThisNode(uint32_t version, absl::string_view node) override;

 private:
  absl::Status Reach();
  void Count(const Transition& transition);

  World& world_;
  KekctlRun& run_;
};

class SimulatedCluster final : public RotationCluster {
 public:
  SimulatedCluster(World& world, KekctlRun& run, Mutation mutation)
      : world_(world), run_(run), mutation_(mutation) {}

  absl::Status Preflight(const RingView& ring) override;
  absl::StatusOr<Observation> Observe(absl::string_view key_id) override;
  absl::StatusOr<std::string> Migrate(absl::string_view key_id) override;
  absl::StatusOr<Remainder> Scan(absl::string_view key_id) override;

 private:
  World& world_;
  KekctlRun& run_;
  const Mutation mutation_;
};

}  // namespace kekd::testing

#endif  // KEKD_TESTS_SIMULATION_KEKCTL_FAKES_H_
