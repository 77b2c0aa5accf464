// Who types kekctl's commands in the simulation.
#ifndef KEKD_TESTS_SIMULATION_OPERATOR_H_
#define KEKD_TESTS_SIMULATION_OPERATOR_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "keystore/rotation/rotation_manager.h"
#include "tests/simulation/kekctl_fakes.h"
#include "tests/simulation/mutation.h"
#include "tests/simulation/world.h"

namespace kekd::testing {

// Operator begins rotations, goes on with them (also with another one's), aborts them, does what
// kekctl asks for and retires versions as the evidence allows, unless a mutation has him do
// something else. Not thread-safe.
class Operator final {
 public:
  Operator(World& world, std::string name, Mutation mutation);

  // Something at random. Nothing if he is in the middle of something.
  void Act();
  // Brings the keyring into a state in which nothing is stored under another key than the primary,
  // by a rotation that is done, and retires what is not needed; the world's failure tells if that
  // can't be done. After the faults have ended.
  void Finish();

 private:
  // One run of `kekctl rotate`.
  struct Run {
    Run(World& world, RotationManager::Options options, Mutation mutation, bool has_cluster);
    KekctlRun kekctl;
    SimulatedRing ring;
    SimulatedCluster cluster;
    RotationManager manager;
  };

  void Choose();
  Run& CurrentRun();
  absl::Status Begin();
  absl::StatusOr<RotationManager::Advanced> Drive();
  void Abort();
  void DoWhatItSays(const RingView& ring);
  // Each node gets the newest copy if it can be reached. Whether all serve it now.
  bool TakeCopies();
  void BringProof(const RingView& ring, const std::string& node);
  void Compromise();
  // As the evidence allows; false if there is something that it does not allow.
  bool Retire(uint32_t version);
  bool HasEvidenceAgainst(const RingView& ring, const RingView::Version& version) const;
  void Mutate();
  void FinishRotation();

  World& world_;
  const std::string name_;
  const Mutation mutation_;
  bool is_busy_ = false;
  std::unique_ptr<Run> run_;
  size_t run_on_ = 0;  // the change node of that run
  uint64_t elapsed_asked_ = 0;
  // What kekctl is given when it is run next.
  std::vector<std::string> proofs_;
  bool without_backup_ = false;
  uint32_t copies_taken_ = 0;  // in the rotation to this version
};

}  // namespace kekd::testing

#endif  // KEKD_TESTS_SIMULATION_OPERATOR_H_
