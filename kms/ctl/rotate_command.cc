#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "base/monotonic.h"
#include "base/status_macros.h"
#include "keystore/rotation/rotation_manager.h"
#include "kms/ctl/apply_transition.h"
#include "kms/ctl/cluster_options.h"
#include "kms/ctl/commands.h"
#include "kms/ctl/rotation_output.h"
#include "kms/ctl/rotation_ring.h"
#include "kms/ctl/table.h"

namespace kekd {
namespace {

using Advanced = RotationManager::Advanced;
using Action = RotateVerb::Action;

constexpr char kPreflight[] = "preflight";
constexpr char kGenerate[] = "generate";

// One line a step, for whoever watches: results go to standard output.
void Say(const std::string& text) { fprintf(stderr, "kekctl: %s\n", Printable(text).c_str()); }

// One run of `kekctl rotate`, which has the rotation of this host for itself.
class Rotation final {
 public:
  static absl::StatusOr<std::unique_ptr<Rotation>> Create(const CommandContext& context,
                                                          const RotateVerb& verb) {
    std::unique_ptr<Rotation> rotation(new Rotation(context, verb));
    KEKD_RETURN_IF_ERROR(rotation->Open());
    return rotation;
  }

  absl::StatusOr<CommandResult> Begin() {
    if (verb_.until == kPreflight) {
      KEKD_ASSIGN_OR_RETURN(const RingView ring, ring_.Read());
      if (cluster_ != nullptr) KEKD_RETURN_IF_ERROR(cluster_->rotation().Preflight(ring));
      return Result(ring, "preflight: a rotation could begin; nothing was changed", kExitOk);
    }
    BeginRotation begin{
        .number = verb_.version, .who = WhoAsks(), .reason = verb_.reason, .nodes = verb_.nodes};
    KEKD_RETURN_IF_ERROR(ChooseNodes(begin.nodes));
    if (begin.number == 0) {
      KEKD_ASSIGN_OR_RETURN(begin.create, AsPrimaryIs(context_, {.backend = verb_.backend,
                                                                 .custody = verb_.custody}));
    }
    KEKD_ASSIGN_OR_RETURN(Advanced advanced, manager_->Begin(begin));
    Say(advanced.said);
    if (verb_.until == kGenerate) return Stopped(advanced.ring);
    return Drive();
  }

  // What somebody else began, perhaps with another cluster in mind.
  absl::StatusOr<CommandResult> Resume() {
    KEKD_ASSIGN_OR_RETURN(const RingView ring, ring_.Read());
    if (cluster_ != nullptr && ring.rotation.has_value() && ring.rotation->IsRunning()) {
      KEKD_RETURN_IF_ERROR(WithContext(cluster_->rotation().Preflight(ring), "preflight"));
    }
    return Drive();
  }

  absl::StatusOr<CommandResult> Drive() {
    std::string said;
    while (true) {
      KEKD_ASSIGN_OR_RETURN(const RingView before, ring_.Read());
      if (IsFarEnough(before)) return Stopped(before);
      absl::StatusOr<Advanced> advanced = manager_->Advance();
      if (!advanced.ok()) return Hindered(advanced.status());
      switch (advanced->outcome) {
        case Advanced::Outcome::kStepped:
          Say(advanced->said);
          break;
        case Advanced::Outcome::kWaiting:
          if (advanced->said != said) Say(said = advanced->said);
          absl::SleepFor(advanced->wait);
          break;
        case Advanced::Outcome::kNeedsOperator:
          return Result(advanced->ring, advanced->said, kExitRefused);
        case Advanced::Outcome::kEnded:
          return Result(
              advanced->ring, "",
              advanced->ring.rotation->step == RotationStep::kDone ? kExitOk : kExitRefused);
      }
    }
  }

  absl::StatusOr<CommandResult> Abort() {
    KEKD_ASSIGN_OR_RETURN(const Advanced aborted, manager_->Abort(verb_.reason));
    return Result(aborted.ring, aborted.said, kExitOk);
  }

 private:
  Rotation(const CommandContext& context, const RotateVerb& verb)
      : context_(context), verb_(verb), ring_(context) {}

  absl::Status Open() {
    KEKD_ASSIGN_OR_RETURN(const RingView ring, ring_.Read());
    KEKD_ASSIGN_OR_RETURN(lock_, LockRotation(context_, ring_.uuid()));
    if (!verb_.cluster.IsEmpty()) {
      KEKD_ASSIGN_OR_RETURN(
          cluster_, NamedCluster::Create(context_, verb_.cluster, ring.name,
                                         JoinPath(context_.config->state_directory,
                                                  absl::StrCat(ring_.uuid(), ".migration"))));
    }
    manager_.emplace(
        RotationManager::Options{.ring = &ring_,
                                 .cluster = cluster_ == nullptr ? nullptr : &cluster_->rotation(),
                                 .this_node = Node(),
                                 .proofs = verb_.proofs,
                                 .without_backup = verb_.without_backup,
                                 .copies_taken = verb_.copies_taken,
                                 .elapsed = [] { return MonotonicNow() - absl::UnixEpoch(); }});
    return absl::OkStatus();
  }

  // Of a cluster that had several nodes none is left out unasked: what it can't decrypt it could
  // not serve.
  absl::Status ChooseNodes(std::vector<std::string>& nodes) {
    KEKD_ASSIGN_OR_RETURN(const RingView ring, ring_.Read());
    if (nodes.empty() && ring.rotation.has_value()) nodes = ring.rotation->nodes;
    if (nodes.empty()) nodes = {Node()};
    if (cluster_ == nullptr || !verb_.cluster.HasApiServer()) return absl::OkStatus();
    const absl::StatusOr<size_t> servers = cluster_->rotation().CountApiServers();
    if (!servers.ok() || *servers <= nodes.size()) return absl::OkStatus();
    return absl::FailedPreconditionError(absl::StrCat(
        "there are ", *servers, " API servers and only ", nodes.size(), " nodes that would prove (",
        absl::StrJoin(nodes, ", "), "): name all with --nodes; nothing was changed"));
  }

  std::string Node() const { return verb_.node.empty() ? ThisNode() : verb_.node; }

  bool IsFarEnough(const RingView& ring) const {
    const std::optional<RotationStep> until = RotationStepFromText(verb_.until);
    return until.has_value() && ring.rotation.has_value() && ring.rotation->IsRunning() &&
           ring.rotation->step > *until;
  }

  CommandResult Stopped(const RingView& ring) const {
    return Result(ring,
                  absl::StrCat("stopped after ", verb_.until,
                               "; 'kekctl rotate resume' goes on, 'rotate abort' ends it"),
                  kExitOk);
  }

  // The rotation stays where it is: whatever the error was, this goes on with it.
  absl::Status Hindered(const absl::Status& status) const {
    const absl::StatusOr<RingView> ring = RingAfter();
    if (!ring.ok() || !ring->rotation.has_value() || !ring->rotation->IsRunning()) return status;
    return absl::Status(
        status.code(),
        absl::StrCat(status.message(), ". The rotation waits at ", ToString(ring->rotation->step),
                     ": 'kekctl rotate resume' goes on, 'rotate abort' ends it"));
  }
  absl::StatusOr<RingView> RingAfter() const { return CtlRing(context_).Read(); }

  CommandResult Result(const RingView& ring, const std::string& next, ExitCode code) const {
    CommandResult result;
    result.output = context_.format == OutputFormat::kJson
                        ? RotationJson(ring, next)
                        : RotationTable(ring, next, absl::Now(), context_.colors);
    result.exit_code = code;
    return result;
  }

  const CommandContext& context_;
  const RotateVerb& verb_;
  CtlRing ring_;
  std::unique_ptr<FileLock> lock_;
  std::unique_ptr<NamedCluster> cluster_;  // null: none was named
  std::optional<RotationManager> manager_;
};

// What comes next, from the record alone: nobody is asked.
std::string NextOf(const RingView& ring) {
  if (!ring.rotation.has_value()) return "'kekctl rotate' begins one";
  if (!ring.rotation->IsRunning()) return "";
  return "'kekctl rotate resume' goes on with it, 'kekctl rotate abort' ends it";
}

absl::StatusOr<CommandResult> RotateStatus(const CommandContext& context) {
  KEKD_ASSIGN_OR_RETURN(const RingView ring, CtlRing(context).Read());
  CommandResult result;
  result.output = context.format == OutputFormat::kJson
                      ? RotationJson(ring, NextOf(ring))
                      : RotationTable(ring, NextOf(ring), context.now, context.colors);
  return result;
}

absl::StatusOr<CommandResult> RotateProve(const CommandContext& context, const RotateVerb& verb) {
  CtlRing ring(context);
  uint32_t version = verb.version;
  if (version == 0) {
    KEKD_ASSIGN_OR_RETURN(const RingView view, ring.Read());
    if (!view.rotation.has_value() || !view.rotation->IsRunning()) {
      return absl::FailedPreconditionError(
          "no rotation runs by this node's copy of the keyring: bring it the newest one "
          "(docs/procedures/several-nodes.sh take), or name the version with --to");
    }
    version = view.rotation->to;
  }
  const std::string node = verb.node.empty() ? ThisNode() : verb.node;
  KEKD_ASSIGN_OR_RETURN(const std::string proof, ring.ProveThisNode(version, node));
  CommandResult result;
  result.output = absl::StrCat(proof, "\n");
  return result;
}

absl::StatusOr<CommandResult> RotateNow(const CommandContext& context, const RotateVerb& verb) {
  if (verb.action == Action::kStatus) return RotateStatus(context);
  if (verb.action == Action::kProve) return RotateProve(context, verb);
  KEKD_ASSIGN_OR_RETURN(const std::unique_ptr<Rotation> rotation, Rotation::Create(context, verb));
  if (verb.action == Action::kAbort) return rotation->Abort();
  return verb.action == Action::kResume ? rotation->Resume() : rotation->Begin();
}

}  // namespace

absl::StatusOr<CommandResult> Rotate(const CommandContext& context, const RotateVerb& verb) {
  absl::StatusOr<CommandResult> result = RotateNow(context, verb);
  if (!result.ok()) return AsPermission(result.status());
  return result;
}

}  // namespace kekd
