// One run of the simulation.
#ifndef KEKD_TESTS_SIMULATION_RUN_SEED_H_
#define KEKD_TESTS_SIMULATION_RUN_SEED_H_

#include <cstdint>
#include <optional>
#include <string>

#include "tests/simulation/mutation.h"
#include "tests/simulation/tally.h"

namespace kekd::testing {

struct SeedOptions {
  uint64_t seed = 1;
  Mutation mutation = Mutation::kNone;
  bool traced = false;  // prints what happens
};

struct SeedResult {
  std::optional<std::string> failure;  // the first rule that was broken
  uint64_t events = 0;
  uint64_t draws = 0;  // of the dice
  uint64_t generations = 0;
  uint64_t versions = 0;
  Tally tally;
};

// A world with two operators in which much goes wrong; then nothing does any more, and one of the
// operators has to come to an end. The same seed gives the same run.
SeedResult RunSeed(const SeedOptions& options);

}  // namespace kekd::testing

#endif  // KEKD_TESTS_SIMULATION_RUN_SEED_H_
