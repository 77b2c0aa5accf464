// Everything of a cluster that the simulation has, and what befalls it.
#ifndef KEKD_TESTS_SIMULATION_WORLD_H_
#define KEKD_TESTS_SIMULATION_WORLD_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "keystore/rotation/ring_view.h"
#include "tests/simulation/api_server.h"
#include "tests/simulation/dice.h"
#include "tests/simulation/etcd.h"
#include "tests/simulation/invariants.h"
#include "tests/simulation/node.h"
#include "tests/simulation/tally.h"

namespace kekd::testing {

// World is 1 to 7 nodes with a kekd and an API server each, and etcd. One thread; time passes when
// PassTime says so. Not thread-safe.
class World final {
 public:
  explicit World(uint64_t seed, bool traced = false);

  Dice& dice() { return dice_; }
  Invariants& invariants() { return *invariants_; }
  Tally& tally() { return tally_; }
  absl::Duration now() const { return now_; }
  Etcd& etcd() { return etcd_; }
  std::vector<std::unique_ptr<Node>>& nodes() { return nodes_; }
  std::vector<std::unique_ptr<ApiServer>>& servers() { return servers_; }
  const std::string& backend() const { return backend_; }
  std::vector<std::string> NodeNames() const;

  // Where changes are made.
  size_t change_index() const { return change_index_; }
  Node& change_node() { return *nodes_[change_index_]; }

  // Something that no operator does.
  void Befall();
  // All that was broken is whole from now on, and nothing breaks any more.
  void EndFaults();
  bool has_faults() const { return has_faults_; }
  bool etcd_can_be_read = true;  // by an operator

  void PassTime(absl::Duration duration);

  // A call of kekctl takes time: what else happens meanwhile.
  std::function<void()> meanwhile = [] {};

  // After an Apply on the change node, whatever its answer: a kekd that died is dead.
  void ReapDead();
  // An API server can't do without its own node's machine.
  void CutPower(size_t node);
  void Start(size_t node);

  // What operators do to nodes as a whole; false if they can't now.
  bool TakeCopy(size_t node);
  // An older keyring, accepted on all nodes: what only later ones hold is given up.
  bool RollBack();
  // The change node's disk is lost for good; the newest copy that there is takes its place.
  bool ReplaceChangeNode();
  void NoteRecord();  // for RollBack

  void Say(absl::string_view what);
  // The first failure counts.
  void Fail(absl::string_view what);
  const std::optional<std::string>& failure() const { return failure_; }

 private:
  bool AllReachable() const;
  void Work();
  void Mend(size_t node);
  void Break(size_t node);

  Dice dice_;
  const bool traced_;
  absl::Duration now_;
  std::string backend_;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::vector<std::unique_ptr<ApiServer>> servers_;  // one on each node
  size_t change_index_ = 0;
  Etcd etcd_;
  std::deque<std::string> old_records_;  // copies of the change node's keyring, oldest first
  bool has_faults_ = true;
  std::optional<std::string> failure_;
  Tally tally_;
  std::unique_ptr<Invariants> invariants_;
};

}  // namespace kekd::testing

#endif  // KEKD_TESTS_SIMULATION_WORLD_H_
