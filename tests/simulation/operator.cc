#include "tests/simulation/operator.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace kekd::testing {

using Outcome = RotationManager::Advanced::Outcome;

Operator::Run::Run(World& world, RotationManager::Options options, Mutation mutation,
                   bool has_cluster)
    : kekctl(world), ring(world, kekctl), cluster(world, kekctl, mutation), manager([&] {
        options.ring = &ring;
        options.cluster = has_cluster ? &cluster : nullptr;
        return std::move(options);
      }()) {}

Operator::Operator(World& world, std::string name, Mutation mutation)
    : world_(world), name_(std::move(name)), mutation_(mutation) {}

Operator::Run& Operator::CurrentRun() {
  if (run_ != nullptr && !run_->kekctl.was_killed() && run_on_ == world_.change_index()) {
    return *run_;
  }
  RotationManager::Options options;
  options.this_node = world_.change_node().name();
  options.proofs = proofs_;
  options.without_backup = without_backup_;
  options.copies_taken = copies_taken_;
  options.elapsed = [this] {
    // As if the wait had begun long ago.
    const bool waited = mutation_ == Mutation::kKeepsWait && elapsed_asked_++ > 0;
    return world_.now() + (waited ? RotationManager::kDocumentedWait : absl::ZeroDuration());
  };
  run_on_ = world_.change_index();
  const bool has_cluster = !world_.has_faults() || !world_.dice().OneIn(10);
  run_ = std::make_unique<Run>(world_, std::move(options), mutation_, has_cluster);
  return *run_;
}

void Operator::Act() {
  if (is_busy_) return;
  is_busy_ = true;
  Choose();
  if (mutation_ != Mutation::kNone) Mutate();
  is_busy_ = false;
}

void Operator::Choose() {
  Dice& dice = world_.dice();
  const size_t what = dice.Below(100);
  if (what < 60) {
    const absl::StatusOr<RotationManager::Advanced> advanced = Drive();
    const bool ended = advanced.ok() ? advanced->outcome == Outcome::kEnded
                                     : absl::IsFailedPrecondition(advanced.status());
    if (ended && dice.OneIn(4)) Begin().IgnoreError();
    // kekctl goes on waiting mostly.
    const bool waits = advanced.ok() && advanced->outcome == Outcome::kWaiting;
    if (waits && !dice.OneIn(3)) world_.PassTime(absl::Minutes(1));
    return;
  }
  if (what < 75) {
    world_.TakeCopy(dice.Below(world_.nodes().size()));
  } else if (what < 80) {
    TakeCopies();
  } else if (what < 84) {
    Abort();
  } else if (what == 84) {
    Compromise();
  } else if (what < 94) {
    const absl::StatusOr<RingView> ring = world_.change_node().View();
    if (ring.ok()) Retire(1 + static_cast<uint32_t>(dice.Below(ring->versions.size())));
  } else if (what < 96) {
    if (world_.change_node().has_power) world_.change_node().RecordBackup().IgnoreError();
  } else if (what == 96) {
    if (world_.has_faults() && dice.OneIn(4)) world_.RollBack();
  } else if (what == 97) {
    if (world_.has_faults()) world_.ReplaceChangeNode();
  } else {
    run_ = nullptr;  // he comes back tomorrow
  }
  world_.ReapDead();
}

absl::Status Operator::Begin() {
  Run& run = CurrentRun();
  BeginRotation begin;
  begin.create.backend = world_.backend();
  begin.who = name_;
  begin.reason = "simulation";
  begin.nodes = world_.NodeNames();
  return run.manager.Begin(begin).status();
}

absl::StatusOr<RotationManager::Advanced> Operator::Drive() {
  absl::StatusOr<RotationManager::Advanced> advanced = CurrentRun().manager.Advance();
  if (!advanced.ok()) {
    world_.Say(absl::StrCat(name_, ": ", advanced.status().ToString()));
    return advanced;
  }
  if (advanced->outcome == Outcome::kNeedsOperator) {
    world_.Say(absl::StrCat(name_, " is asked: ", advanced->said));
    DoWhatItSays(advanced->ring);
    run_ = nullptr;  // it has ended, and is run again
  }
  return advanced;
}

void Operator::Abort() {
  Run& run = CurrentRun();
  const absl::Status aborted = run.manager.Abort("simulation").status();
  world_.Say(absl::StrCat(name_, " aborts: ", aborted.ToString()));
}

void Operator::BringProof(const RingView& ring, const std::string& node) {
  const uint32_t to = ring.rotation->to;
  for (size_t i = 0; i < world_.nodes().size(); ++i) {
    Node& one = *world_.nodes()[i];
    if (one.name() != node) continue;
    if (mutation_ == Mutation::kSkipsProve) {
      absl::StatusOr<std::string> forged = world_.change_node().ForgeProof(to, node);
      if (forged.ok()) proofs_.push_back(*std::move(forged));
      return;
    }
    if (!one.has_power || !one.is_reachable) return;
    world_.TakeCopy(i);
    absl::StatusOr<std::string> proof = one.Prove(to);
    if (proof.ok()) proofs_.push_back(*std::move(proof));
  }
}

bool Operator::TakeCopies() {
  const absl::StatusOr<std::shared_ptr<const Keyring>> newest = world_.change_node().Stored();
  if (!newest.ok()) return false;
  bool all = true;
  for (size_t i = 0; i < world_.nodes().size(); ++i) {
    const Node& node = *world_.nodes()[i];
    if (i != world_.change_index()) world_.TakeCopy(i);
    all = all && node.serves() && node.Served()->keyring().generation() == (*newest)->generation();
  }
  return all;
}

void Operator::DoWhatItSays(const RingView& ring) {
  switch (ring.rotation->step) {
    case RotationStep::kProve:
      for (const std::string& node : ring.rotation->Unproved()) {
        if (!world_.has_faults() || world_.dice().Flag()) BringProof(ring, node);
      }
      return;
    case RotationStep::kPromote:
      if (world_.dice().Flag()) {
        without_backup_ = true;
      } else {
        world_.change_node().RecordBackup().IgnoreError();
        world_.ReapDead();
      }
      return;
    case RotationStep::kObserve:
      if (TakeCopies() || mutation_ == Mutation::kTrustsTime) copies_taken_ = ring.rotation->to;
      return;
    default:
      return;
  }
}

void Operator::Compromise() {
  Run& run = CurrentRun();
  const absl::StatusOr<RingView> ring = run.ring.Read();
  if (!ring.ok()) return;
  const auto version = static_cast<uint32_t>(1 + world_.dice().Below(ring->versions.size()));
  run.ring.Apply(MarkCompromised{version}, ring->generation).IgnoreError();
}

bool Operator::HasEvidenceAgainst(const RingView& ring, const RingView::Version& version) const {
  if (mutation_ == Mutation::kDestroysEarly) return false;
  for (const auto& node : world_.nodes()) {
    const absl::StatusOr<std::shared_ptr<const Keyring>> stored = node->Stored();
    if (!stored.ok() || (*stored)->generation() != ring.generation) return true;
  }
  for (const auto& server : world_.servers()) {
    if (!server->is_up()) continue;
    if (!server->can_be_asked || server->key_id() == version.key_id) return true;
  }
  if (!world_.etcd_can_be_read) return true;
  const auto uses = [&](const Etcd::Objects& objects) {
    return std::any_of(objects.begin(), objects.end(),
                       [&](const auto& object) { return object.second->key_id == version.key_id; });
  };
  if (uses(world_.etcd().objects)) return true;
  if (mutation_ == Mutation::kDestroysWithSnapshot) return false;
  const auto& snapshots = world_.etcd().snapshots;
  return std::any_of(snapshots.begin(), snapshots.end(),
                     [&](const Etcd::Snapshot& snapshot) { return uses(snapshot.objects); });
}

bool Operator::Retire(uint32_t number) {
  Run& run = CurrentRun();
  const absl::StatusOr<RingView> ring = run.ring.Read();
  if (!ring.ok()) return false;
  const RingView::Version* const version = ring->Find(number);
  if (version == nullptr || version->state == KeyState::kActive ||
      version->state == KeyState::kDestroyed) {
    return true;
  }
  if (HasEvidenceAgainst(*ring, *version)) return false;
  const absl::Status destroyed =
      run.ring.Apply(DestroyVersion{number, "nothing refers to it"}, ring->generation).status();
  world_.Say(absl::StrCat(name_, " retires ", number, ": ", destroyed.ToString()));
  return destroyed.ok();
}

void Operator::Mutate() {
  const absl::StatusOr<RingView> ring = world_.change_node().View();
  if (!ring.ok() || !ring->rotation.has_value()) return;
  const RotationRecord& rotation = *ring->rotation;
  switch (mutation_) {
    case Mutation::kMigratesEarly:
      if (rotation.step == RotationStep::kObserve) {
        KekctlRun run(world_);
        SimulatedCluster(world_, run, mutation_)
            .Migrate(ring->Find(rotation.to)->key_id)
            .IgnoreError();
      }
      return;
    case Mutation::kPromotesTwice:
      if (rotation.step != RotationStep::kDone || rotation.from == 0 ||
          ring->Find(rotation.from)->state != KeyState::kDeactivated) {
        return;
      }
      world_.change_node()
          .Force([&](const Keyring& now) {
            Keyring::Parts parts = now.parts();
            std::swap(parts.versions[rotation.from - 1].state,
                      parts.versions[rotation.to - 1].state);
            return Keyring::Create(std::move(parts));
          })
          .IgnoreError();
      return;
    case Mutation::kDestroysAborted:
      if (rotation.step == RotationStep::kAborted &&
          ring->Find(rotation.to)->state == KeyState::kPreActivation) {
        world_.change_node()
            .Apply(DestroyVersion{rotation.to, "it was aborted"}, ring->generation)
            .IgnoreError();
        world_.invariants().OnKeysDestroyed();
      }
      return;
    case Mutation::kForgetsCommit:
      if (world_.dice().OneIn(20) && world_.change_node().has_power) {
        const absl::StatusOr<std::string> before = world_.change_node().Record();
        Drive().IgnoreError();
        if (before.ok()) world_.change_node().RollBack(*before).IgnoreError();
      }
      return;
    default:
      return;
  }
}

void Operator::FinishRotation() {
  constexpr int kMaxSteps = 500;
  constexpr int kMaxErrorsInARow = 30;
  int errors = 0;
  for (int step = 0; step < kMaxSteps && !world_.failure().has_value(); ++step) {
    const absl::StatusOr<RotationManager::Advanced> advanced = Drive();
    world_.invariants().Check();
    if (!advanced.ok()) {
      const absl::StatusOr<RingView> ring = world_.change_node().View();
      if (ring.ok() && !ring->rotation.has_value()) {
        Begin().IgnoreError();
        continue;
      }
      if (ring.ok() && ring->Find(ring->rotation->to)->compromised) Abort();
      if (++errors > kMaxErrorsInARow) {
        return world_.Fail(absl::StrCat("wedged: ", advanced.status().ToString()));
      }
      run_ = nullptr;
      world_.PassTime(absl::Seconds(10));
      continue;
    }
    errors = 0;
    if (advanced->outcome == Outcome::kWaiting) {
      world_.Say(advanced->said);
      TakeCopies();
      world_.PassTime(advanced->wait);
    }
    if (advanced->outcome != Outcome::kEnded) continue;
    const std::string& primary = advanced->ring.Primary()->key_id;
    const bool has_stale =
        std::any_of(world_.etcd().objects.begin(), world_.etcd().objects.end(),
                    [&](const auto& object) { return object.second->key_id != primary; });
    if (advanced->ring.rotation->step == RotationStep::kDone && !has_stale) return;
    const absl::Status begun = Begin();
    if (!begun.ok()) return world_.Fail(absl::StrCat("no new rotation: ", begun.ToString()));
  }
  world_.Fail("wedged: the rotation does not end");
}

void Operator::Finish() {
  run_ = nullptr;
  proofs_.clear();
  FinishRotation();
  if (world_.failure().has_value()) return;
  if (!TakeCopies()) return world_.Fail("wedged: a node does not take the newest copy");
  world_.PassTime(Etcd::kRetention + absl::Minutes(1));
  const absl::StatusOr<RingView> ring = world_.change_node().View();
  for (const RingView::Version& version : ring->versions) {
    if (!TakeCopies() || !Retire(version.number)) {
      return world_.Fail(absl::StrCat("wedged: version ", version.number, " can't be retired"));
    }
    world_.invariants().Check();
  }
}

}  // namespace kekd::testing
