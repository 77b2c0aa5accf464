#include "cluster/rotation/cluster_rotation.h"

#include <set>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "cluster/api_server/discovery.h"
#include "cluster/api_server/json_fields.h"
#include "cluster/migration/resource_selection.h"
#include "cluster/scan.h"

namespace kekd {
namespace {

constexpr absl::Duration kCallTime = absl::Seconds(30);
constexpr absl::Duration kAskTime = absl::Seconds(8);  // of one API server of several
constexpr size_t kMaxSamples = 5;
constexpr absl::string_view kNamespaceKey = "/namespaces/kube-system";

// Short, for questions that a person waits for.
ApiRetries Patience() { return {.patience = kCallTime}; }

bool IsOurs(const ScanGroup& group, const std::string& keyring) {
  return group.key.has_value() && group.key->keyring == keyring;
}

std::string Escaped(absl::string_view text) { return absl::Utf8SafeCHexEscape(text); }

absl::Status NeedsEtcd() {
  return absl::FailedPreconditionError(
      "this needs to read etcd: give --endpoints with --cacert, --cert and --key, as etcdctl takes "
      "them");
}

absl::Status NeedsApiServer() {
  return absl::FailedPreconditionError("this needs an API server: give --kubeconfig");
}

void AddSample(RotationCluster::Remainder& left, const ScanGroup& group) {
  left.stale += group.objects;
  if (left.samples.size() >= kMaxSamples) return;
  left.samples.push_back(absl::StrCat(group.objects, " ", Escaped(group.resource), " under ",
                                      Escaped(group.key_id), " (", ToString(group.place), "), as ",
                                      Escaped(group.example_key)));
}

// Of KMS v2 and current, under this keyring and under the keys of others.
struct Shares {
  uint64_t ours = 0;
  uint64_t primary = 0;  // of ours
  std::string other;     // one of the others' keys
};

Shares SharesIn(const ScanReport& report, const std::string& keyring) {
  Shares shares;
  for (const ScanGroup& group : report.groups) {
    if (IsPast(group.place) || group.kind != StorageKind::kKmsV2) continue;
    if (!IsOurs(group, keyring)) {
      shares.other = group.key_id;
      continue;
    }
    shares.ours += group.objects;
    if (group.key->primary) shares.primary += group.objects;
  }
  return shares;
}

std::string SeenIn(const ScanReport& report) {
  uint64_t objects = 0;
  for (const ScanGroup& group : report.groups) objects += group.objects;
  return absl::StrCat(objects, " values in etcd at revision ", report.facts.revision);
}

}  // namespace

absl::StatusOr<ScanReport> ClusterRotation::ReadEtcd(std::string* namespace_value) const {
  KEKD_ASSIGN_OR_RETURN(const KeyCatalog catalog, options_.catalog());
  KEKD_ASSIGN_OR_RETURN(const std::unique_ptr<EtcdSource> etcd, options_.open_etcd());
  ReadRange range;
  range.prefixes = options_.prefixes;
  Scanner scanner({.prefixes = range.prefixes,
                   .catalog = &catalog,
                   .foreign_providers = options_.foreign_providers});
  KEKD_ASSIGN_OR_RETURN(SourceFacts facts, etcd->Read(
                                               range,
                                               [&](const StoredObject& object) {
                                                 if (namespace_value != nullptr &&
                                                     object.place == Place::kCurrent &&
                                                     absl::EndsWith(object.key, kNamespaceKey)) {
                                                   *namespace_value = std::string(object.value);
                                                 }
                                                 return scanner.Visit(object);
                                               },
                                               [&](uint64_t done, uint64_t total) {
                                                 if (options_.read_progress)
                                                   options_.read_progress(done, total);
                                               }));
  return std::move(scanner).Finish(std::move(facts));
}

std::vector<std::string> ClusterRotation::ResourcesIn(const ScanReport& report) const {
  if (!options_.resources.empty()) return options_.resources;
  std::set<std::string> names;
  for (const ScanGroup& group : report.groups) {
    if (IsOurs(group, options_.keyring) && !IsPast(group.place)) names.insert(group.resource);
  }
  return {names.begin(), names.end()};
}

absl::StatusOr<std::vector<ApiResource>> ClusterRotation::Resources(
    const std::vector<std::string>& names) const {
  const absl::Time deadline = absl::Now() + 4 * kCallTime;
  KEKD_ASSIGN_OR_RETURN(const ApiResources there,
                        DiscoverResources(*options_.client, Patience(), options_.stop, deadline));
  KEKD_ASSIGN_OR_RETURN(ResourceSelection selection,
                        SelectResources(there, names, UnknownResources::kProblem));
  if (selection.problems.empty()) return std::move(selection.resources);
  const auto told = [](std::string* out, const DiscoveryProblem& problem) {
    absl::StrAppend(out, Escaped(problem.what), ": ", Escaped(problem.why));
  };
  return absl::FailedPreconditionError(
      absl::StrCat("the API server can't write these, whose objects are encrypted: ",
                   absl::StrJoin(selection.problems, "; ", told)));
}

absl::Status ClusterRotation::CheckSameCluster(const std::string& namespace_value) const {
  // Encrypted namespaces tell nothing here; every cluster has this one.
  if (absl::StartsWith(namespace_value, "k8s:enc:")) return absl::OkStatus();
  HttpRequest request;
  request.path = "/api/v1/namespaces/kube-system";
  request.accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
  KEKD_ASSIGN_OR_RETURN(const ApiAnswer answer,
                        options_.client->CallWithRetries(request, Patience(), options_.stop,
                                                         absl::Now() + kCallTime));
  if (!answer.ok()) return ToStatus(answer, "get namespace kube-system");
  const std::string uid = TextField(ParseJson(answer.body), {"metadata", "uid"});
  if (!uid.empty() && absl::StrContains(namespace_value, uid)) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "the API server ", options_.client->server(),
      " and this etcd are of different clusters: namespace kube-system of the one has UID ",
      Escaped(uid), ", and the other has not; check --kubeconfig and --endpoints"));
}

absl::Status ClusterRotation::Preflight(const RingView& ring) {
  std::vector<std::string> names = options_.resources;
  if (options_.open_etcd != nullptr) {
    std::string namespace_value;
    KEKD_ASSIGN_OR_RETURN(const ScanReport report, ReadEtcd(&namespace_value));
    names = ResourcesIn(report);
    const Shares shares = SharesIn(report, options_.keyring);
    if (ring.Primary() != nullptr && shares.ours == 0) {
      return absl::FailedPreconditionError(absl::StrCat(
          "nothing in this etcd is encrypted under keyring \"", ring.name, "\"",
          shares.other.empty() ? ""
                               : absl::StrCat(", and something is under ", Escaped(shares.other)),
          ": it is another cluster's etcd, or encryption is not enabled yet, and then 'kekctl key ",
          "promote' is all there is to do"));
    }
    if (options_.client != nullptr) KEKD_RETURN_IF_ERROR(CheckSameCluster(namespace_value));
  }
  if (options_.client == nullptr || names.empty()) return absl::OkStatus();
  KEKD_ASSIGN_OR_RETURN(const std::vector<ApiResource> resources, Resources(names));
  return CheckMayMigrate(*options_.client, resources, Patience(), options_.stop,
                         absl::Now() + 4 * kCallTime);
}

absl::StatusOr<std::vector<std::string>> ClusterRotation::ApiServers() const {
  if (!options_.api_servers.empty()) return options_.api_servers;
  return ListApiServers(*options_.client, absl::Now() + kCallTime);
}

absl::StatusOr<size_t> ClusterRotation::CountApiServers() const {
  if (options_.client == nullptr) return NeedsApiServer();
  KEKD_ASSIGN_OR_RETURN(const std::vector<std::string> addresses, ApiServers());
  return addresses.size();
}

absl::StatusOr<RotationCluster::Observation> ClusterRotation::Observe(absl::string_view key_id) {
  Observation observation;
  if (options_.client == nullptr) {
    observation.unknown = "no API server is known (--kubeconfig)";
    return observation;
  }
  const absl::StatusOr<std::vector<std::string>> addresses = ApiServers();
  if (!addresses.ok()) {
    observation.unknown = std::string(addresses.status().message());
    return observation;
  }
  KEKD_ASSIGN_OR_RETURN(const KeyCatalog catalog, options_.catalog());
  KEKD_ASSIGN_OR_RETURN(const std::vector<ApiServerKey> keys,
                        AskApiServers(*addresses, options_.connect,
                                      catalog.KeyIdsOf(options_.keyring), key_id, kAskTime));
  std::vector<std::string> unknown;
  for (const ApiServerKey& key : keys) {
    switch (key.state) {
      case ApiServerKey::State::kCurrent:
        observation.seen.push_back(key.address);
        break;
      case ApiServerKey::State::kOther:
        observation.waiting.push_back(absl::StrCat(key.address, " (", key.why, ")"));
        break;
      case ApiServerKey::State::kUnknown:
        unknown.push_back(absl::StrCat(key.address, ": ", key.why));
        break;
    }
  }
  observation.unknown = absl::StrJoin(unknown, "; ");
  return observation;
}

absl::StatusOr<std::string> ClusterRotation::Migrate(absl::string_view key_id) {
  if (options_.client == nullptr) return NeedsApiServer();
  std::vector<std::string> names = options_.resources;
  if (names.empty()) {
    if (options_.open_etcd == nullptr) return NeedsEtcd();
    KEKD_ASSIGN_OR_RETURN(const ScanReport report, ReadEtcd(nullptr));
    names = ResourcesIn(report);
  }
  if (names.empty()) return "nothing is encrypted under this keyring";
  KEKD_ASSIGN_OR_RETURN(const std::vector<ApiResource> resources, Resources(names));
  MigrationCheckpoint from;
  if (options_.load_checkpoint) from = options_.load_checkpoint();
  if (from.target != key_id) from = MigrationCheckpoint();
  from.target = std::string(key_id);
  Migrator migrator(*options_.client, options_.migration);
  const MigrationResult result = migrator.Run(
      resources, std::move(from),
      [&](const MigrationProgress& progress) {
        if (options_.progress) options_.progress(progress);
        return options_.keep_checkpoint ? options_.keep_checkpoint(progress.checkpoint)
                                        : absl::OkStatus();
      },
      options_.stop, absl::InfiniteFuture());
  KEKD_RETURN_IF_ERROR(result.status);
  // Whatever was refused is to be tried again by the next run.
  if (options_.keep_checkpoint) {
    KEKD_RETURN_IF_ERROR(options_.keep_checkpoint(MigrationCheckpoint()));
  }
  const MigrationCounts counts = result.checkpoint.TotalCounts();
  if (result.Complete()) {
    return absl::StrCat(counts.written, " objects written, ", counts.up_to_date,
                        " were up to date, ", counts.by_others, " written by others (",
                        absl::StrJoin(names, ", "), ")");
  }
  std::vector<std::string> problems;
  for (const MigratedResource& resource : result.checkpoint.done) {
    if (!resource.failure.empty()) {
      problems.push_back(absl::StrCat(resource.resource, ": ", Escaped(resource.failure)));
    }
  }
  for (const MigrationRefusal& refusal : result.checkpoint.refusals) {
    if (problems.size() >= kMaxSamples) break;
    problems.push_back(absl::StrCat(refusal.resource, " ", Escaped(refusal.namespace_name), "/",
                                    Escaped(refusal.name), ": ", Escaped(refusal.reason)));
  }
  return absl::FailedPreconditionError(absl::StrCat(
      "not everything could be written again (", counts.refused, " objects were refused): ",
      absl::StrJoin(problems, "; "), "; mend that, then 'kekctl rotate resume'"));
}

absl::StatusOr<RotationCluster::Remainder> ClusterRotation::Scan(absl::string_view key_id) {
  if (options_.open_etcd == nullptr) return NeedsEtcd();
  KEKD_ASSIGN_OR_RETURN(const ScanReport report, ReadEtcd(nullptr));
  Remainder left{.seen = SeenIn(report)};
  AddUnknown(report, left);
  for (const ScanGroup& group : report.groups) {
    if (IsPast(group.place) || group.kind != StorageKind::kKmsV2) continue;
    if (group.freshness == Freshness::kUnknownKey) {
      left.gaps.push_back(absl::StrCat(group.objects, " objects under ", Escaped(group.key_id),
                                       ", which no keyring here knows"));
    } else if (IsOurs(group, options_.keyring) && group.key_id != key_id) {
      AddSample(left, group);
    }
  }
  return left;
}

absl::StatusOr<ClusterRotation::Uses> ClusterRotation::FindUses(const RingView& ring,
                                                                uint32_t version) {
  if (options_.open_etcd == nullptr) return NeedsEtcd();
  if (options_.client == nullptr) return NeedsApiServer();
  std::string namespace_value;
  KEKD_ASSIGN_OR_RETURN(const ScanReport report, ReadEtcd(&namespace_value));
  KEKD_RETURN_IF_ERROR(CheckSameCluster(namespace_value));
  if (SharesIn(report, options_.keyring).primary == 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        "nothing in this etcd is under the primary of keyring \"", ring.name,
        "\", so it may be another cluster's, or what is stored was not migrated: 'kekctl scan' ",
        "shows it"));
  }
  Uses uses{.left = {.seen = SeenIn(report)}, .revision = report.facts.revision};
  AddUnknown(report, uses.left);
  for (const ScanGroup& group : report.groups) {
    if (IsOurs(group, options_.keyring) && group.key->version == version) {
      AddSample(uses.left, group);
    }
  }
  return uses;
}

void ClusterRotation::AddUnknown(const ScanReport& report, Remainder& left) const {
  for (const Gap& gap : report.facts.gaps) {
    left.gaps.push_back(absl::StrCat(Escaped(gap.what), ": ", Escaped(gap.why)));
  }
  if (options_.prefixes != ReadRange().prefixes && report.facts.other_keys != 0) {
    left.gaps.push_back(
        absl::StrCat(report.facts.other_keys, " keys that begin with none of the prefixes given"));
  }
  for (const ScanGroup& group : report.groups) {
    const bool of_kms =
        group.kind == StorageKind::kKmsV2 || group.kind == StorageKind::kUnknownProvider;
    if (!of_kms || IsPast(group.place) || (group.undecodable == 0 && group.partial == 0)) continue;
    left.gaps.push_back(absl::StrCat(group.undecodable + group.partial, " ",
                                     Escaped(group.resource), " whose key can't be told, such as ",
                                     Escaped(group.example_key), ": 'kekctl scan' says why"));
  }
}

}  // namespace kekd
