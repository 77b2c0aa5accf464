// Runs the simulation for many seeds.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "tests/simulation/run_seed.h"

namespace {

using ::kekd::testing::Mutation;
using ::kekd::testing::SeedOptions;
using ::kekd::testing::SeedResult;

constexpr char kUsage[] =
    R"(usage: rotation_simulation [--seed N] [--seeds COUNT] [--seconds S] [--mutation NAME]
                           [--expect RULE] [--trace]

Runs seeds from N (1) on until COUNT of them (no limit) or S seconds (no limit) are over, or one
breaks a rule; prints how to see that again.

  --mutation  one thing is done wrong (mutation.h)
  --expect    only this rule counts, and it has to be broken
  --trace     says what happens
)";

struct Arguments {
  SeedOptions options;
  uint64_t seeds = UINT64_MAX;
  uint64_t seconds = UINT64_MAX;
  std::string expected;  // a rule; empty: that none is broken
};

bool Parse(int argc, char** argv, Arguments& arguments) {
  for (int i = 1; i < argc; ++i) {
    const absl::string_view option = argv[i];
    if (option == "--trace") {
      arguments.options.traced = true;
    } else if (i + 1 == argc) {
      return false;
    } else if (option == "--expect") {
      arguments.expected = argv[++i];
    } else if (option == "--seed") {
      if (!absl::SimpleAtoi(argv[++i], &arguments.options.seed)) return false;
    } else if (option == "--seeds") {
      if (!absl::SimpleAtoi(argv[++i], &arguments.seeds)) return false;
    } else if (option == "--seconds") {
      if (!absl::SimpleAtoi(argv[++i], &arguments.seconds)) return false;
    } else if (option == "--mutation") {
      const std::optional<Mutation> mutation = kekd::testing::MutationFromText(argv[++i]);
      if (!mutation.has_value()) return false;
      arguments.options.mutation = *mutation;
    } else {
      return false;
    }
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  using Clock = std::chrono::steady_clock;
  Arguments arguments;
  if (!Parse(argc, argv, arguments)) {
    std::fputs(kUsage, stderr);
    return 2;
  }
  const Clock::time_point begin = Clock::now();
  uint64_t runs = 0;
  uint64_t events = 0;
  uint64_t generations = 0;
  uint64_t versions = 0;
  const auto seconds = [&] {
    return std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - begin).count();
  };
  for (; runs < arguments.seeds && static_cast<uint64_t>(seconds()) < arguments.seconds; ++runs) {
    const SeedResult result = kekd::testing::RunSeed(arguments.options);
    events += result.events;
    generations += result.generations;
    versions += result.versions;
    const bool counts = result.failure.has_value() &&
                        absl::StrContains(*result.failure, absl::StrCat(": ", arguments.expected));
    if (counts) {
      const std::string mutation =
          absl::StrCat(" --mutation ", ToString(arguments.options.mutation));
      std::printf("seed %s: %s\nreplay: rotation_simulation --seed %s --seeds 1%s --trace\n",
                  absl::StrCat(arguments.options.seed).c_str(), result.failure->c_str(),
                  absl::StrCat(arguments.options.seed).c_str(),
                  arguments.options.mutation == Mutation::kNone ? "" : mutation.c_str());
      return arguments.expected.empty() ? 1 : 0;
    }
    ++arguments.options.seed;
  }
  std::printf("%s seeds, %s events, %s generations, %s key versions, %s s: no rule was broken\n",
              absl::StrCat(runs).c_str(), absl::StrCat(events).c_str(),
              absl::StrCat(generations).c_str(), absl::StrCat(versions).c_str(),
              absl::StrCat(seconds()).c_str());
  return arguments.expected.empty() ? 0 : 1;
}
