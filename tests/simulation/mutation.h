// What is done wrong on purpose, so that the invariants are seen to find it.
#ifndef KEKD_TESTS_SIMULATION_MUTATION_H_
#define KEKD_TESTS_SIMULATION_MUTATION_H_

#include <optional>

#include "absl/strings/string_view.h"

namespace kekd::testing {

enum class Mutation {
  kNone,
  kSkipsProve,            // proofs of nodes that never had the version
  kSkipsObserve,          // API servers are taken for seen
  kMigratesEarly,         // what is stored is written again as soon as a version is promoted
  kPromotesTwice,         // a version that was the primary becomes it again
  kTrustsTime,            // goes on by time though nodes have older copies
  kKeepsWait,             // the time waited for one rotation counts for the next
  kDestroysEarly,         // a version is destroyed without a look at what is stored
  kDestroysWithSnapshot,  // … without a look at the snapshots
  kDestroysAborted,       // what a rotation led to is destroyed with it, without a look
  kLeavesOne,             // one object is never written again
  kForgetsCommit,         // an acknowledged change is lost in a crash
};

inline constexpr Mutation kMutations[] = {
    Mutation::kSkipsProve,    Mutation::kSkipsObserve,         Mutation::kMigratesEarly,
    Mutation::kPromotesTwice, Mutation::kTrustsTime,           Mutation::kKeepsWait,
    Mutation::kDestroysEarly, Mutation::kDestroysWithSnapshot, Mutation::kDestroysAborted,
    Mutation::kLeavesOne,     Mutation::kForgetsCommit};

inline absl::string_view ToString(Mutation mutation) {
  switch (mutation) {
    case Mutation::kNone:
      return "none";
    case Mutation::kSkipsProve:
      return "skips-prove";
    case Mutation::kSkipsObserve:
      return "skips-observe";
    case Mutation::kMigratesEarly:
      return "migrates-early";
    case Mutation::kPromotesTwice:
      return "promotes-twice";
    case Mutation::kTrustsTime:
      return "trusts-time";
    case Mutation::kKeepsWait:
      return "keeps-wait";
    case Mutation::kDestroysEarly:
      return "destroys-early";
    case Mutation::kDestroysWithSnapshot:
      return "destroys-with-snapshot";
    case Mutation::kDestroysAborted:
      return "destroys-aborted";
    case Mutation::kLeavesOne:
      return "leaves-one";
    case Mutation::kForgetsCommit:
      return "forgets-commit";
  }
  return "?";
}

inline std::optional<Mutation> MutationFromText(absl::string_view text) {
  for (const Mutation mutation : kMutations) {
    if (text == ToString(mutation)) return mutation;
  }
  if (text == "none") return Mutation::kNone;
  return std::nullopt;
}

}  // namespace kekd::testing

#endif  // KEKD_TESTS_SIMULATION_MUTATION_H_
