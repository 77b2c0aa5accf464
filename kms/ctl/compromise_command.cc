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
absl::StatusOr<std::string> WhatIsLeft(const CommandContext& context, const ClusterPlace& place,
                                       const RingView& ring, uint32_t version) {
  KEKD_ASSIGN_OR_RETURN(const std::unique_ptr<NamedCluster> cluster,
                        NamedCluster::Create(context, place, ring.name, ""));
  KEKD_ASSIGN_OR_RETURN(const ClusterRotation::Uses uses,
                        cluster->rotation().FindUses(ring, version));
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

// Has what a former version encrypted written again, once no API server writes under it any more.
absl::StatusOr<std::string> MigrateAway(const CommandContext& context, const ClusterPlace& place,
                                        const RingView& ring, const std::string& uuid) {
  KEKD_ASSIGN_OR_RETURN(const std::unique_ptr<FileLock> lock, LockRotation(context, uuid));
  KEKD_ASSIGN_OR_RETURN(const std::unique_ptr<NamedCluster> cluster,
                        NamedCluster::Create(context, place, ring.name,
                                             JoinPath(context.config->state_directory,
                                                      absl::StrCat(uuid, ".migration"))));
  ClusterRotation& rotation = cluster->rotation();
  KEKD_RETURN_IF_ERROR(rotation.Preflight(ring));
  const std::string& key_id = ring.Primary()->key_id;
  KEKD_ASSIGN_OR_RETURN(const RotationCluster::Observation observed, rotation.Observe(key_id));
  if (!observed.waiting.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("these API servers don't encrypt under the primary yet: ",
                     absl::StrJoin(observed.waiting, ", "), "; repeat this in a minute"));
  }
  KEKD_ASSIGN_OR_RETURN(std::string done, rotation.Migrate(key_id));
  if (observed.unknown.empty()) return done;
  return absl::StrCat(done,
                      "; not every API server could be asked for its key: ", observed.unknown);
}

// Where a rotation to the version itself runs.
absl::Status IsRotatedTo(const RingView::Version& version) {
  return absl::FailedPreconditionError(absl::StrCat(
      "the version is marked compromised, and a rotation to it runs: 'kekctl rotate abort' ends "
      "that, then ",
      version.state == KeyState::kActive
          ? absl::StrCat("'kekctl compromise ", version.number, "' rotates away from it")
          : absl::StrCat("'kekctl retire ", version.number, "' destroys it")));
}

absl::StatusOr<CommandResult> CompromiseNow(const CommandContext& context,
                                            const CompromiseVerb& verb) {
  CtlRing ring(context);
  KEKD_ASSIGN_OR_RETURN(RingView view, ring.Read());
  if (view.Find(verb.version) == nullptr) {
    return absl::NotFoundError(
        absl::StrCat("keyring \"", view.name, "\" has no key version ", verb.version));
  }
  if (!view.Find(verb.version)->compromised) {
    KEKD_ASSIGN_OR_RETURN(view, ring.Apply(MarkCompromised{verb.version}, view.generation));
  }
  const RingView::Version& version = *view.Find(verb.version);
  const bool runs = view.rotation.has_value() && view.rotation->IsRunning();
  if (runs && view.rotation->to == version.number) return IsRotatedTo(version);

  const ClusterPlace& place = verb.rotate.cluster;
  CommandResult result;
  const bool away = runs && view.rotation->from == version.number;
  if (away || version.state == KeyState::kActive) {
    RotateVerb rotate = verb.rotate;
    rotate.action = away ? RotateVerb::Action::kResume : RotateVerb::Action::kRun;
    if (rotate.reason.empty()) {
      rotate.reason = absl::StrCat("key version ", version.number, " is compromised");
    }
    KEKD_ASSIGN_OR_RETURN(result, Rotate(context, rotate));
  } else if (version.state == KeyState::kDeactivated && place.HasApiServer()) {
    KEKD_ASSIGN_OR_RETURN(result.note, MigrateAway(context, place, view, ring.uuid()));
  }
  result.note =
      absl::StrCat("key version ", view.name, ".", version.number, " is marked compromised",
                   result.note.empty() ? "" : "\n", result.note);
  if (context.format == OutputFormat::kTable && result.exit_code == kExitOk &&
      place.etcd.has_value() && place.HasApiServer()) {
    KEKD_ASSIGN_OR_RETURN(const std::string left, WhatIsLeft(context, place, view, version.number));
    absl::StrAppend(&result.output, result.output.empty() ? "" : "\n", left);
  }
  return result;
}

}  // namespace

absl::StatusOr<CommandResult> Compromise(const CommandContext& context,
                                         const CompromiseVerb& verb) {
  absl::StatusOr<CommandResult> result = CompromiseNow(context, verb);
  if (!result.ok()) return AsPermission(result.status());
  return result;
}

}  // namespace kekd
