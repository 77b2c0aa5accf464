#include "tests/simulation/run_seed.h"

#include "tests/simulation/operator.h"
#include "tests/simulation/world.h"

namespace kekd::testing {
namespace {

constexpr uint64_t kEvents = 500;

}  // namespace

SeedResult RunSeed(const SeedOptions& options) {
  World world(options.seed, options.traced);
  Operator first(world, "alice@cp0", options.mutation);
  Operator second(world, "bob@cp0", options.mutation);
  SeedResult result;
  int depth = 0;
  // While kekctl waits for an answer: nothing mostly, or something, or what the other one does.
  world.meanwhile = [&] {
    if (!world.has_faults() || depth > 0 || !world.dice().OneIn(6)) return;
    ++depth;
    if (world.dice().OneIn(3)) {
      (world.dice().Flag() ? first : second).Act();
    } else {
      world.Befall();
    }
    world.invariants().Check();
    ++result.events;
    --depth;
  };
  while (result.events < kEvents && !world.failure().has_value()) {
    if (world.dice().OneIn(3)) {
      (world.dice().OneIn(3) ? second : first).Act();
    } else {
      world.Befall();
    }
    world.invariants().Check();
    ++result.events;
  }
  world.EndFaults();
  if (!world.failure().has_value()) first.Finish();
  if (const auto ring = world.change_node().View(); ring.ok()) {
    result.generations = ring->generation;
    result.versions = ring->versions.size();
  }
  result.failure = world.failure();
  result.draws = world.dice().draws();
  result.tally = world.tally();
  return result;
}

}  // namespace kekd::testing
