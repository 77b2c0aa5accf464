#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "base/monotonic.h"
#include "base/status_macros.h"
#include "kms/ctl/cluster_options.h"
#include "kms/ctl/commands.h"
#include "kms/ctl/etcd_options.h"
#include "kms/ctl/json_parts.h"
#include "kms/ctl/rotation_ring.h"

namespace kekd {
namespace {

// API servers have etcd compacted every 5 minutes, and what is older than 5 minutes.
constexpr absl::Duration kCompactionPatience = absl::Minutes(15);
constexpr absl::Duration kCompactionInterval = absl::Seconds(2);

std::string NameOf(const RingView& ring, uint32_t version) {
  return absl::StrCat(ring.name, ".", version);
}

absl::Status Confirm(const std::string& name, const std::string& typed) {
  std::string answer = typed;
  if (answer.empty()) {
    if (isatty(STDIN_FILENO) == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("there is no terminal to ask at: give --confirm ", name));
    }
    fprintf(stderr, "The key is destroyed for ever. Type its name, %s, to go on: ", name.c_str());
    std::getline(std::cin, answer);
  }
  if (absl::StripAsciiWhitespace(answer) == name) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("that is not the key's name, ", name, "; nothing was destroyed"));
}

absl::Status CheckUnused(const ClusterRotation::Uses& uses, const std::string& name) {
  if (!uses.left.gaps.empty()) {
    return absl::UnavailableError(
        absl::StrCat("not all of etcd could be looked at, so nothing is proved: ",
                     absl::StrJoin(uses.left.gaps, "; ")));
  }
  if (uses.left.stale == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "key version ", name, " is needed: ", uses.left.stale, " objects in etcd are under it: ",
      absl::StrJoin(uses.left.samples, "; "), "; 'kekctl migrate' has them written again"));
}

// Until etcd remembers nothing of before the revision at which nothing was under the key.
absl::Status AwaitCompaction(const CommandContext& context, const EtcdPlace& etcd,
                             int64_t revision) {
  const absl::Time limit = MonotonicNow() + kCompactionPatience;
  bool said = false;
  while (true) {
    KEKD_ASSIGN_OR_RETURN(const bool compacted, IsCompacted(*context.fs, etcd, revision));
    if (compacted) return absl::OkStatus();
    if (MonotonicNow() > limit) {
      return absl::FailedPreconditionError(absl::StrCat(
          "etcd still remembers its revision ", revision, " after ",
          absl::FormatDuration(kCompactionPatience),
          ": its history may hold objects under the "
          "key. Is compaction switched off (--etcd-compaction-interval of the API servers)?"));
    }
    if (!std::exchange(said, true)) {
      fprintf(stderr,
              "kekctl: waiting until etcd has compacted its history up to revision %lld; an API "
              "server has that done every 5 minutes\n",
              static_cast<long long>(revision));
    }
    absl::SleepFor(kCompactionInterval);
  }
}

// That no API server writes under another key than the primary: what is in etcd now would say
// nothing of what one writes next.
absl::Status CheckApiServers(const RetireVerb& verb, const RingView& ring,
                             ClusterRotation& cluster) {
  const RingView::Version& primary = *ring.Primary();
  KEKD_ASSIGN_OR_RETURN(const RotationCluster::Observation observed,
                        cluster.Observe(primary.key_id));
  if (!observed.waiting.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("these API servers don't encrypt under the primary yet: ",
                     absl::StrJoin(observed.waiting, ", ")));
  }
  const size_t nodes = ring.rotation.has_value() ? ring.rotation->nodes.size() : 1;
  const bool all_seen = observed.unknown.empty() && observed.seen.size() >= nodes;
  if (all_seen || verb.copies_taken == primary.number) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "not every API server says that it encrypts under the primary (",
      observed.unknown.empty() ? absl::StrCat(observed.seen.size(), " of ", nodes, " nodes")
                               : observed.unknown,
      "), and one whose node has an older copy of the keyring would go on under this key: once ",
      "every node serves the keyring as it is, say so with --copies-taken ", primary.number));
}

// Proves that nothing in etcd refers to the version, now and before, nor will; says what was looked
// at.
absl::StatusOr<std::string> ProveUnused(const CommandContext& context, const RetireVerb& verb,
                                        const RingView& ring, const std::string& name) {
  if (!verb.cluster.etcd.has_value() || !verb.cluster.HasApiServer()) {
    return absl::InvalidArgumentError(
        "whether anything is under the key, and nothing more will be, must be looked at: give "
        "--endpoints and --kubeconfig");
  }
  KEKD_ASSIGN_OR_RETURN(const std::unique_ptr<NamedCluster> cluster,
                        NamedCluster::Create(context, verb.cluster, ring.name, ""));
  ClusterRotation& rotation = cluster->rotation();
  KEKD_RETURN_IF_ERROR(CheckApiServers(verb, ring, rotation));
  KEKD_ASSIGN_OR_RETURN(const ClusterRotation::Uses now, rotation.FindUses(ring, verb.version));
  KEKD_RETURN_IF_ERROR(CheckUnused(now, name));
  if (!verb.backups_checked) {
    return absl::FailedPreconditionError(absl::StrCat(
        "nothing in etcd is under key version ", name,
        " now, but backups of etcd from before the "
        "rotation away from it need it: once they have expired or been destroyed, say so with "
        "--backups-checked"));
  }
  KEKD_RETURN_IF_ERROR(Confirm(name, verb.confirm));
  KEKD_RETURN_IF_ERROR(AwaitCompaction(context, *verb.cluster.etcd, now.revision));
  KEKD_RETURN_IF_ERROR(CheckApiServers(verb, ring, rotation));
  KEKD_ASSIGN_OR_RETURN(const ClusterRotation::Uses after, rotation.FindUses(ring, verb.version));
  KEKD_RETURN_IF_ERROR(CheckUnused(after, name));
  return absl::StrCat("none of ", after.left.seen, "; history before ", now.revision,
                      " is compacted; backups checked by the operator");
}

}  // namespace

absl::StatusOr<CommandResult> Retire(const CommandContext& context, const RetireVerb& verb) {
  CtlRing ring(context);
  KEKD_ASSIGN_OR_RETURN(const RingView view, ring.Read());
  const RingView::Version* const version = view.Find(verb.version);
  if (version == nullptr) {
    return absl::NotFoundError(
        absl::StrCat("keyring \"", view.name, "\" has no key version ", verb.version));
  }
  if (version->state == KeyState::kActive) {
    return absl::FailedPreconditionError(
        absl::StrCat("key version ", verb.version,
                     " is the primary: 'kekctl rotate' makes another one that first"));
  }
  const std::string name = NameOf(view, verb.version);
  std::string evidence;
  if (version->state != KeyState::kDestroyed) {
    if (view.Primary() == nullptr) return absl::FailedPreconditionError("there is no primary");
    KEKD_ASSIGN_OR_RETURN(evidence, ProveUnused(context, verb, view, name));
  } else {
    // What its device still holds of it.
    KEKD_RETURN_IF_ERROR(Confirm(name, verb.confirm));
    evidence = "it was destroyed before";
  }
  KEKD_ASSIGN_OR_RETURN(
      const RingView after,
      ring.Apply(DestroyVersion{.number = verb.version, .evidence = evidence}, view.generation));
  CommandResult result;
  result.note = ring.warning();
  if (!result.note.empty()) result.exit_code = kExitFailure;
  if (context.format == OutputFormat::kJson) {
    result.output = Dump(Json{{"keyring", after.name},
                              {"generation", after.generation},
                              {"version", verb.version},
                              {"keyId", version->key_id},
                              {"evidence", evidence},
                              {"warning", TextOrNull(ring.warning())}});
    return result;
  }
  result.output =
      absl::StrCat("destroyed key version ", name, " (", version->key_id, "): ", evidence,
                   "\nIts record stays. Backups of the keyring from before ",
                   "still hold a software key; they end it when they are destroyed.\n");
  return result;
}

}  // namespace kekd
