#include "keystore/rotation/rotation_manager.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"

namespace kekd {
namespace {

using Advanced = RotationManager::Advanced;

std::string Listed(const std::vector<std::string>& names) { return absl::StrJoin(names, ", "); }

// Whether the loss of this record and its copies would be the loss of the key: also of one that a
// token has wrapped, which keeps no copy.
bool LiesInRecord(const RingView::Version& version) {
  return version.custody == Custody::kEnvelope;
}

}  // namespace

absl::StatusOr<Advanced> RotationManager::Apply(const RingView& ring, const Transition& transition,
                                                std::string said) {
  absl::StatusOr<RingView> after = options_.ring->Apply(transition, ring.generation);
  if (absl::IsAborted(after.status())) {
    // Somebody else was first: what he did shows with the next step.
    KEKD_ASSIGN_OR_RETURN(RingView now, options_.ring->Read());
    return Advanced{.outcome = Advanced::Outcome::kStepped,
                    .said = "the keyring was changed meanwhile; looking at it again",
                    .ring = std::move(now)};
  }
  if (!after.ok()) return after.status();
  return Advanced{
      .outcome = Advanced::Outcome::kStepped, .said = std::move(said), .ring = *std::move(after)};
}

absl::StatusOr<Advanced> RotationManager::Begin(const BeginRotation& begin) {
  KEKD_ASSIGN_OR_RETURN(const RingView ring, options_.ring->Read());
  if (ring.rotation.has_value() && ring.rotation->IsRunning()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "a rotation runs already: ", DescribeRotation(*ring.rotation),
        ": 'kekctl rotate status' explains it, 'rotate resume' goes on with it, 'rotate abort' ",
        "ends it"));
  }
  if (options_.cluster != nullptr) {
    KEKD_RETURN_IF_ERROR(
        WithContext(options_.cluster->Preflight(ring), "preflight; nothing was changed"));
  }
  absl::StatusOr<RingView> after = options_.ring->Apply(begin, ring.generation);
  if (!after.ok()) return after.status();
  const RotationRecord& rotation = *after->rotation;
  std::string said = absl::StrCat("preflight and generate: key version ", rotation.to,
                                  begin.number == 0 ? " was made" : " is there", ", ",
                                  after->Find(rotation.to)->key_id);
  return Advanced{
      .outcome = Advanced::Outcome::kStepped, .said = std::move(said), .ring = *std::move(after)};
}

absl::StatusOr<Advanced> RotationManager::Advance() {
  KEKD_ASSIGN_OR_RETURN(const RingView ring, options_.ring->Read());
  if (!ring.rotation.has_value()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "keyring \"", ring.name, "\" never had a rotation: 'kekctl rotate' begins one"));
  }
  if (ring.rotation->to != to_) {
    // Another one, which somebody else began meanwhile: what was waited for was the former's.
    to_ = ring.rotation->to;
    observed_since_.reset();
    repeated_migrations_ = 0;
  }
  switch (ring.rotation->step) {
    case RotationStep::kSelfTest:
      return SelfTest(ring);
    case RotationStep::kProve:
      return Prove(ring);
    case RotationStep::kPromote:
      return Promote(ring);
    case RotationStep::kObserve:
      return Observe(ring);
    case RotationStep::kMigrate:
      return Migrate(ring);
    case RotationStep::kScan:
      return Scan(ring);
    case RotationStep::kDone:
    case RotationStep::kAborted:
      break;
  }
  return Advanced{
      .outcome = Advanced::Outcome::kEnded, .said = DescribeRotation(*ring.rotation), .ring = ring};
}

absl::StatusOr<Advanced> RotationManager::SelfTest(const RingView& ring) {
  const uint32_t to = ring.rotation->to;
  return Apply(ring, AdvanceRotation{.to = to, .step = RotationStep::kProve, .evidence = ""},
               absl::StrCat("self-test: key version ", to, " opens its canary"));
}

absl::StatusOr<Advanced> RotationManager::Prove(const RingView& ring) {
  const uint32_t to = ring.rotation->to;
  const std::vector<std::string> unproved = ring.rotation->Unproved();
  if (unproved.empty()) {
    return Apply(ring, AdvanceRotation{.to = to, .step = RotationStep::kPromote, .evidence = ""},
                 absl::StrCat("prove: every node has proved: ", Listed(ring.rotation->nodes)));
  }
  std::string misfits;
  for (const std::string& node : unproved) {
    if (node == options_.this_node) {
      KEKD_ASSIGN_OR_RETURN(std::string proof, options_.ring->ProveThisNode(to, node));
      return Apply(ring, RecordNodeProof{.to = to, .proof = std::move(proof)},
                   absl::StrCat("prove: this node, ", node, ", has proved"));
    }
    // Whether a proof is true is for the writer of the ring to say; whose it is and for which key
    // stands in it. One of an earlier rotation must not keep the right one from being looked at.
    const std::string of_node = absl::StrCat(":", node, ":");
    const std::string fitting = absl::StrCat(":", ring.Find(to)->key_id, of_node);
    for (const std::string& proof : options_.proofs) {
      if (proof.find(fitting) == std::string::npos) {
        if (proof.find(of_node) != std::string::npos) {
          misfits = absl::StrCat("\nA proof of node ", node, " that was given is of another key.");
        }
        continue;
      }
      return Apply(ring, RecordNodeProof{.to = to, .proof = proof},
                   absl::StrCat("prove: node ", node, " has proved"));
    }
  }
  return Advanced{
      .outcome = Advanced::Outcome::kNeedsOperator,
      .said = absl::StrCat(
          "prove: these nodes have not proved yet that they can decrypt under key version ", to,
          ": ", Listed(unproved), ".\nBring each of them this keyring (docs/procedures/",
          "several-nodes.sh take), run 'kekctl rotate prove' there, and give the line that it ",
          "prints here: 'kekctl rotate resume --proof LINE'", misfits),
      .ring = ring};
}

absl::StatusOr<Advanced> RotationManager::Promote(const RingView& ring) {
  const uint32_t to = ring.rotation->to;
  const bool backed_up = std::find(ring.without_backup.begin(), ring.without_backup.end(), to) ==
                         ring.without_backup.end();
  if (LiesInRecord(*ring.Find(to)) && !backed_up && !options_.without_backup) {
    return Advanced{
        .outcome = Advanced::Outcome::kNeedsOperator,
        .said = absl::StrCat(
            "promote: key version ", to, " is in no verified backup: what will be encrypted under ",
            "it would be lost with this disk.\nMake one ('kekctl keyring backup --out FILE', then ",
            "'kekctl keyring verify --backup FILE') and go on: 'kekctl rotate resume'.\nOr go on ",
            "without: 'kekctl rotate resume --without-backup'"),
        .ring = ring};
  }
  return Apply(ring, PromoteVersion{to},
               absl::StrCat("promote: key version ", to, " is the primary"));
}

Advanced RotationManager::NeedsCluster(const RingView& ring) const {
  return {.outcome = Advanced::Outcome::kNeedsOperator,
          .said = absl::StrCat(ToString(ring.rotation->step),
                               ": that needs access to the cluster: 'kekctl rotate resume "
                               "--kubeconfig FILE --endpoints …' goes on from here"),
          .ring = ring};
}

absl::StatusOr<Advanced> RotationManager::Observe(const RingView& ring) {
  if (options_.cluster == nullptr) return NeedsCluster(ring);
  const uint32_t to = ring.rotation->to;
  KEKD_ASSIGN_OR_RETURN(const RotationCluster::Observation observed,
                        options_.cluster->Observe(ring.Find(to)->key_id));
  const auto advance = [&](std::string how) {
    std::string said = absl::StrCat("observe: ", how);
    return Apply(
        ring, AdvanceRotation{.to = to, .step = RotationStep::kMigrate, .evidence = std::move(how)},
        std::move(said));
  };
  Advanced waiting{.outcome = Advanced::Outcome::kWaiting, .wait = kObserveInterval, .ring = ring};
  if (!observed.waiting.empty()) {
    observed_since_.reset();
    waiting.said = absl::StrCat("observe: waiting for API servers that encrypt under another key: ",
                                Listed(observed.waiting));
    if (ring.rotation->nodes.size() > 1) {
      absl::StrAppend(&waiting.said, ". Their nodes serve an older copy of the keyring? ",
                      "docs/procedures/several-nodes.sh take brings them this one");
    }
    return waiting;
  }
  // One that is down is in no list, and comes back with the copy that its node has.
  const bool all_seen =
      observed.unknown.empty() && observed.seen.size() >= ring.rotation->nodes.size();
  if (all_seen) {
    return advance(
        absl::StrCat("every API server encrypts under the new key: ", Listed(observed.seen)));
  }
  const std::string unknown =
      !observed.unknown.empty()
          ? observed.unknown
          : absl::StrCat("of ", ring.rotation->nodes.size(), " there were ", observed.seen.size());
  std::vector<std::string> others = ring.rotation->nodes;
  others.erase(std::remove(others.begin(), others.end(), options_.this_node), others.end());
  if (!others.empty() && options_.copies_taken != to) {
    return Advanced{
        .outcome = Advanced::Outcome::kNeedsOperator,
        .said = absl::StrCat(
            "observe: the API servers can't be asked: ", unknown,
            ".\nOne whose node has an older copy of the keyring goes on encrypting under the "
            "former key. Bring these nodes the keyring as it is now (docs/procedures/",
            "several-nodes.sh take): ", Listed(others),
            ".\nOnce they serve it: 'kekctl rotate resume --copies-taken ", to,
            "', which then waits ", absl::FormatDuration(kDocumentedWait)),
        .ring = ring};
  }
  // The clock of before a kill may have been another one: the wait begins with whoever waits.
  const absl::Duration now = options_.elapsed();
  if (!observed_since_.has_value()) observed_since_ = now;
  const absl::Duration left = kDocumentedWait - (now - *observed_since_);
  if (left <= absl::ZeroDuration()) {
    return advance(absl::StrCat("waited ", absl::FormatDuration(kDocumentedWait),
                                ", as the API servers could not be asked"));
  }
  waiting.wait = std::min(left, kObserveInterval);
  waiting.said = absl::StrCat("observe: waiting for another ",
                              absl::FormatDuration(absl::Ceil(left, absl::Seconds(1))),
                              " instead of asking every API server: ", unknown);
  return waiting;
}

absl::StatusOr<Advanced> RotationManager::Migrate(const RingView& ring) {
  if (options_.cluster == nullptr) return NeedsCluster(ring);
  const uint32_t to = ring.rotation->to;
  KEKD_ASSIGN_OR_RETURN(std::string done, options_.cluster->Migrate(ring.Find(to)->key_id));
  std::string said = absl::StrCat("migrate: ", done);
  return Apply(ring,
               AdvanceRotation{.to = to, .step = RotationStep::kScan, .evidence = std::move(done)},
               std::move(said));
}

absl::StatusOr<Advanced> RotationManager::Scan(const RingView& ring) {
  if (options_.cluster == nullptr) return NeedsCluster(ring);
  const uint32_t to = ring.rotation->to;
  const std::string key_id = ring.Find(to)->key_id;
  KEKD_ASSIGN_OR_RETURN(const RotationCluster::Remainder left, options_.cluster->Scan(key_id));
  if (!left.gaps.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("scan: not everything could be looked at, so nothing is proved: ",
                     absl::StrJoin(left.gaps, "; ")));
  }
  if (left.stale == 0) {
    return Apply(ring,
                 AdvanceRotation{.to = to, .step = RotationStep::kDone, .evidence = left.seen},
                 absl::StrCat("scan: nothing is left under another key (", left.seen, ")"));
  }
  const std::string what = absl::StrCat(
      left.stale, " objects are still under another key: ", absl::StrJoin(left.samples, "; "));
  if (repeated_migrations_ >= kMaxRepeatedMigrations) {
    return absl::FailedPreconditionError(
        absl::StrCat("scan: ", what, "; they were written again ", kMaxRepeatedMigrations,
                     " times: look at what holds them, then 'kekctl rotate resume'"));
  }
  ++repeated_migrations_;
  KEKD_ASSIGN_OR_RETURN(const std::string done, options_.cluster->Migrate(key_id));
  return Advanced{.outcome = Advanced::Outcome::kStepped,
                  .said = absl::StrCat("scan: ", what, "; written again: ", done),
                  .ring = ring};
}

absl::StatusOr<Advanced> RotationManager::Abort(absl::string_view reason) {
  KEKD_ASSIGN_OR_RETURN(const RingView ring, options_.ring->Read());
  if (!ring.rotation.has_value() || !ring.rotation->IsRunning()) {
    return absl::FailedPreconditionError(
        absl::StrCat("no rotation of keyring \"", ring.name, "\" runs"));
  }
  const uint32_t to = ring.rotation->to;
  const bool promoted = ring.rotation->IsPromoted();
  KEKD_ASSIGN_OR_RETURN(RingView after,
                        options_.ring->Apply(AbortRotation{.to = to, .reason = std::string(reason)},
                                             ring.generation));
  return Advanced{
      .outcome = Advanced::Outcome::kEnded,
      .said =
          promoted
              ? absl::StrCat("the rotation was aborted. Key version ", to,
                             " stays the primary: a key_id that API servers have seen must not ",
                             "give way to a former one. What is stored under others goes on ",
                             "being read; 'kekctl migrate' writes it again")
              : absl::StrCat("the rotation was aborted; the primary is as it was. Key version ", to,
                             " was not promoted and stays: 'kekctl retire ", to,
                             "' destroys it once it has seen that nothing is stored under it, ",
                             "which a keyring that was rolled back can't know"),
      .ring = std::move(after)};
}

}  // namespace kekd
