// What came to pass.
#ifndef KEKD_TESTS_SIMULATION_TALLY_H_
#define KEKD_TESTS_SIMULATION_TALLY_H_

#include <cstdint>

namespace kekd::testing {

// How often what matters happened in a run, so that one in which nothing does is noticed.
struct Tally {
  uint64_t promoted = 0;
  uint64_t done = 0;
  uint64_t aborted = 0;
  uint64_t retired = 0;
  uint64_t compromised = 0;
  uint64_t waited = 0;  // rotations that went on by time
  uint64_t kekctl_killed = 0;
  uint64_t kekd_died_in_a_call = 0;
  uint64_t power_cuts = 0;
  uint64_t copies_taken = 0;
  uint64_t snapshots_restored = 0;
  uint64_t rolled_back = 0;
  uint64_t nodes_replaced = 0;
  uint64_t changes_lost_to_another = 0;  // of two operators at once

  Tally& operator+=(const Tally& other) {
    promoted += other.promoted;
    done += other.done;
    aborted += other.aborted;
    retired += other.retired;
    compromised += other.compromised;
    waited += other.waited;
    kekctl_killed += other.kekctl_killed;
    kekd_died_in_a_call += other.kekd_died_in_a_call;
    power_cuts += other.power_cuts;
    copies_taken += other.copies_taken;
    snapshots_restored += other.snapshots_restored;
    rolled_back += other.rolled_back;
    nodes_replaced += other.nodes_replaced;
    changes_lost_to_another += other.changes_lost_to_another;
    return *this;
  }
};

}  // namespace kekd::testing

#endif  // KEKD_TESTS_SIMULATION_TALLY_H_
