#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "kms/ctl/cluster_options.h"
#include "kms/ctl/commands.h"
#include "kms/ctl/rotation_ring.h"

namespace kekd {
namespace {

// What still is under the version where it can be looked at, and where it can't.
absl::StatusOr<std::string> WhatIsLeft(ClusterRotation& cluster, uint32_t version) {
  KEKD_ASSIGN_OR_RETURN(const ClusterRotation::Uses uses, cluster.FindUses(version));
  std::string text;
  for (const std::string& gap : uses.left.gaps) {
    absl::StrAppend(&text, "could not be looked at: ", gap, "\n");
  }
  if (uses.left.stale != 0) {
    absl::StrAppend(&text, uses.left.stale,
                    " objects are still under it: ", absl::StrJoin(uses.left.samples, "; "), "\n");
  } else {
    absl::StrAppend(&text, "nothing in etcd is under it any more (", uses.left.seen, ")\n");
  }
  absl::StrAppend(&text, "etcd's history up to revision ", uses.revision,
                  ", its free pages and write-ahead log ('kekctl scan --data-dir DIR --history'),\n"
                  "and every backup of etcd from before may hold what was encrypted under it\n");
  return text;
}

}  // namespace

absl::StatusOr<CommandResult> Compromise(const CommandContext& context,
                                         const CompromiseVerb& verb) {
  CtlRing ring(context);
  KEKD_ASSIGN_OR_RETURN(RingView view, ring.Read());
  const RingView::Version* version = view.Find(verb.version);
  if (version == nullptr) {
    return absl::NotFoundError(
        absl::StrCat("keyring \"", view.name, "\" has no key version ", verb.version));
  }
  if (!version->compromised) {
    KEKD_ASSIGN_OR_RETURN(view, ring.Apply(MarkCompromised{verb.version}, view.generation));
    version = view.Find(verb.version);
  }
  const std::string marked =
      absl::StrCat("key version ", view.name, ".", verb.version, " is marked compromised\n");
  const bool runs = view.rotation.has_value() && view.rotation->IsRunning();
  if (runs && view.rotation->to == verb.version && !view.rotation->IsPromoted()) {
    return absl::FailedPreconditionError(
        absl::StrCat(marked, "and a rotation to it runs: 'kekctl rotate abort' destroys it"));
  }
  CommandResult result;
  if (version->state == KeyState::kActive || (runs && view.rotation->from == verb.version)) {
    RotateVerb rotate = verb.rotate;
    const bool away = runs && view.rotation->from == verb.version;
    rotate.action = away ? RotateVerb::Action::kResume : RotateVerb::Action::kRun;
    if (rotate.reason.empty()) {
      rotate.reason = absl::StrCat("key version ", verb.version, " is compromised");
    }
    KEKD_ASSIGN_OR_RETURN(result, Rotate(context, rotate));
  } else if (version->state == KeyState::kDeactivated && !verb.rotate.cluster.IsEmpty()) {
    KEKD_ASSIGN_OR_RETURN(const std::unique_ptr<NamedCluster> cluster,
                          NamedCluster::Create(context, verb.rotate.cluster, view.name,
                                               JoinPath(context.config->state_directory,
                                                        absl::StrCat(ring.uuid(), ".migration"))));
    KEKD_ASSIGN_OR_RETURN(const std::string done,
                          cluster->rotation().Migrate(view.Primary()->key_id));
    result.note = done;
  }
  result.note = absl::StrCat(marked, result.note);
  if (context.format == OutputFormat::kTable && verb.rotate.cluster.etcd.has_value()) {
    KEKD_ASSIGN_OR_RETURN(const std::unique_ptr<NamedCluster> cluster,
                          NamedCluster::Create(context, verb.rotate.cluster, view.name, ""));
    KEKD_ASSIGN_OR_RETURN(const std::string left, WhatIsLeft(cluster->rotation(), verb.version));
    absl::StrAppend(&result.output, result.output.empty() ? "" : "\n", left);
  }
  return result;
}

}  // namespace kekd
