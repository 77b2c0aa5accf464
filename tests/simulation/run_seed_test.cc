#include "tests/simulation/run_seed.h"

#include <gtest/gtest.h>

#include "tests/simulation/world.h"

namespace kekd::testing {
namespace {

TEST(RunSeedTest, TheSameSeedGivesTheSameRun) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    const SeedResult first = RunSeed({.seed = seed});
    const SeedResult second = RunSeed({.seed = seed});
    EXPECT_EQ(first.failure, second.failure);
    EXPECT_EQ(first.events, second.events);
    EXPECT_EQ(first.draws, second.draws);
    EXPECT_EQ(first.generations, second.generations);
  }
}

// Or the rules would hold because nothing happens.
TEST(RunSeedTest, MuchHappens) {
  SeedResult all;
  for (uint64_t seed = 1; seed <= 24; ++seed) {
    const SeedResult result = RunSeed({.seed = seed});
    all.tally += result.tally;
  }
  EXPECT_GT(all.tally.promoted, 20u);
  EXPECT_GT(all.tally.done, 20u);
  EXPECT_GT(all.tally.aborted, 10u);
  EXPECT_GT(all.tally.retired, 20u);
  EXPECT_GT(all.tally.compromised, 0u);
  EXPECT_GT(all.tally.waited, 0u);
  EXPECT_GT(all.tally.kekctl_killed, 20u);
  EXPECT_GT(all.tally.kekd_died_in_a_call, 20u);
  EXPECT_GT(all.tally.power_cuts, 20u);
  EXPECT_GT(all.tally.copies_taken, 50u);
  EXPECT_GT(all.tally.snapshots_restored, 2u);
  EXPECT_GT(all.tally.rolled_back, 0u);
  EXPECT_GT(all.tally.nodes_replaced, 0u);
  EXPECT_GT(all.tally.changes_lost_to_another, 0u);
}

}  // namespace
}  // namespace kekd::testing
