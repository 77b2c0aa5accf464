#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "base/durable_file.h"
#include "base/status_macros.h"
#include "cluster/api_server/api_client.h"
#include "cluster/api_server/curl_transport.h"
#include "cluster/api_server/discovery.h"
#include "cluster/api_server/kubeconfig.h"
#include "cluster/migration/migrator.h"
#include "cluster/migration/resource_selection.h"
#include "cluster/migration/storage_version_migration.h"
#include "cluster/scan.h"
#include "kms/config/version.h"
#include "kms/ctl/cluster_options.h"
#include "kms/ctl/commands.h"
#include "kms/ctl/etcd_options.h"
#include "kms/ctl/migrate_output.h"
#include "kms/ctl/scan_keys.h"
#include "kms/ctl/terminal.h"

namespace kekd {
namespace {

constexpr size_t kMaxCheckpointBytes = size_t{8} << 20;
// What can't be reached at the start is most likely a mistake; what goes away later comes back.
constexpr absl::Duration kFirstPatience = absl::Seconds(10);
constexpr absl::Duration kCheckpointInterval = absl::Seconds(2);

// The resources of which a running etcd has something encrypted.
absl::StatusOr<std::vector<std::string>> EncryptedInEtcd(const CommandContext& context,
                                                         const EtcdPlace& place) {
  KEKD_ASSIGN_OR_RETURN(const std::unique_ptr<EtcdSource> etcd, OpenEtcd(*context.fs, place));
  ReadRange range;
  if (!place.prefixes.empty()) range.prefixes = place.prefixes;
  Scanner scanner({.prefixes = range.prefixes, .foreign_providers = {}});
  Progress progress({.what = "looking what is encrypted in etcd", .style = context.progress});
  KEKD_ASSIGN_OR_RETURN(
      SourceFacts facts,
      etcd->Read(
          range, [&](const StoredObject& object) { return scanner.Visit(object); },
          [&](uint64_t done, uint64_t total) { progress.Update(done, total); }));
  const ScanReport report = std::move(scanner).Finish(std::move(facts));
  if (!report.complete()) {
    return absl::UnavailableError(
        "not all of etcd could be read: name the resources with --resources");
  }
  std::vector<std::string> names;
  for (const ScanGroup& group : report.groups) {
    const bool encrypted =
        group.kind != StorageKind::kPlaintext && group.kind != StorageKind::kUnrecognised;
    if (encrypted && !IsPast(group.place) && !absl::c_linear_search(names, group.resource)) {
      names.push_back(group.resource);
    }
  }
  if (names.empty()) return absl::NotFoundError("nothing in that etcd is encrypted");
  return names;
}

absl::StatusOr<ResourceSelection> ChooseResources(const CommandContext& context,
                                                  const MigrateVerb& verb,
                                                  const ApiResources& there) {
  if (!verb.resources.empty()) {
    return SelectResources(there, verb.resources, UnknownResources::kError);
  }
  std::vector<std::string> names;
  if (verb.etcd.has_value()) {
    KEKD_ASSIGN_OR_RETURN(names, EncryptedInEtcd(context, *verb.etcd));
  } else {
    KEKD_ASSIGN_OR_RETURN(names, ResourcesOfEncryptionConfig(*context.fs, verb.encryption_config));
  }
  absl::StatusOr<ResourceSelection> chosen =
      SelectResources(there, names, UnknownResources::kProblem);
  if (!chosen.ok() || !verb.etcd.has_value()) return chosen;
  // Etcd itself has objects of it: who can't have them written again can't say that all were.
  for (DiscoveryProblem& problem : chosen->problems) problem.stored_here = true;
  return chosen;
}

// What a checkpoint is good for: this API server, and the keys that are primary now.
std::string TargetOf(const CommandContext& context, const std::string& server, std::string& note) {
  std::vector<std::string> ids;
  const absl::StatusOr<ScanKeys> keys = LoadKeyIds(context, {});
  if (keys.ok() && keys->missing.empty()) ids = keys->catalog.PrimaryKeyIds();
  if (ids.empty()) {
    note =
        "which key is primary can't be read here: a checkpoint of before the last 'key promote' "
        "would be taken for a good one, so begin anew after one";
  }
  return absl::StrCat(server, " ", absl::StrJoin(ids, ","));
}

absl::StatusOr<MigrationCheckpoint> ReadCheckpoint(FileSystem& fs, const std::string& path,
                                                   const std::string& target) {
  MigrationCheckpoint fresh;
  fresh.target = target;
  if (path.empty()) return fresh;
  const absl::StatusOr<std::string> text = fs.ReadFile(path, kMaxCheckpointBytes);
  if (absl::IsNotFound(text.status())) return fresh;
  KEKD_RETURN_IF_ERROR(text.status());
  absl::StatusOr<MigrationCheckpoint> checkpoint = ParseCheckpoint(*text);
  if (!checkpoint.ok()) return WithContext(checkpoint.status(), path);
  if (checkpoint->target == target) return checkpoint;
  return absl::FailedPreconditionError(absl::StrCat(path, " is of a migration to \"",
                                                    checkpoint->target, "\", and this is one to \"",
                                                    target, "\": remove it to begin anew"));
}

// One run of the verb, once it is known who is asked.
class Migration final {
 public:
  Migration(const CommandContext& context, const MigrateVerb& verb, ApiClient& client)
      : context_(context), verb_(verb), client_(client) {}

  absl::StatusOr<CommandResult> Run() {
    ApiRetries first;
    first.patience = kFirstPatience;
    KEKD_ASSIGN_OR_RETURN(const ApiResources there,
                          DiscoverResources(client_, first, {}, absl::InfiniteFuture()));
    KEKD_ASSIGN_OR_RETURN(ResourceSelection chosen, ChooseResources(context_, verb_, there));
    outcome_.server = client_.server();
    outcome_.problems = std::move(chosen.problems);
    KEKD_RETURN_IF_ERROR(ChooseWay(there, chosen.resources));
    KEKD_RETURN_IF_ERROR(outcome_.by_controller ? RunByController(there, chosen.resources)
                                                : RunByClient(chosen.resources));
    return Conclude();
  }

 private:
  absl::Status ChooseWay(const ApiResources& there, const std::vector<ApiResource>& resources) {
    outcome_.by_controller = verb_.via == MigrationWay::kController;
    const ApiResource* const api = there.Find(kStorageVersionMigrations);
    if (outcome_.by_controller) {
      if (api != nullptr) return absl::OkStatus();
      return absl::FailedPreconditionError(
          "this API server has no StorageVersionMigrations: Kubernetes has them from 1.37 on, and "
          "from 1.35 where they are switched on; --via client needs none");
    }
    absl::Status may = CheckMayMigrate(client_, resources, {}, {}, absl::Now() + kVerbTime);
    if (may.ok() || verb_.via == MigrationWay::kClient || api == nullptr) return may;
    outcome_.by_controller = absl::IsPermissionDenied(may);
    return outcome_.by_controller ? absl::OkStatus() : may;
  }

  absl::Status RunByClient(const std::vector<ApiResource>& resources) {
    std::string note;
    const std::string target = TargetOf(context_, client_.server(), note);
    if (!verb_.checkpoint.empty()) AddNote(note);
    if (!note.empty() && !verb_.checkpoint.empty() && context_.fs->GetInfo(verb_.checkpoint).ok()) {
      return absl::FailedPreconditionError(absl::StrCat(
          "which key is primary can't be read here, so ", verb_.checkpoint,
          " may be of a migration to a former one: remove it to begin anew, or run this where "
          "kekd's configuration is"));
    }
    KEKD_ASSIGN_OR_RETURN(MigrationCheckpoint from,
                          ReadCheckpoint(*context_.fs, verb_.checkpoint, target));
    Migrator migrator(client_, {.qps = static_cast<double>(verb_.qps),
                                .concurrency = static_cast<int>(verb_.concurrency),
                                .retries = {}});
    Progress progress({.what = "migrating", .style = context_.progress});
    absl::Time next_save = absl::Now();
    MigrationResult result = migrator.Run(
        resources, std::move(from),
        [&](const MigrationProgress& now) {
          progress.Update(now.done, now.total);
          if (verb_.checkpoint.empty() || absl::Now() < next_save) return absl::OkStatus();
          next_save = absl::Now() + kCheckpointInterval;
          return Save(now.checkpoint);
        },
        {}, absl::InfiniteFuture());
    outcome_.complete = result.Complete();
    outcome_.status = std::move(result.status);
    outcome_.checkpoint = std::move(result.checkpoint);
    return KeepCheckpoint();
  }

  absl::Status Save(const MigrationCheckpoint& checkpoint) {
    return WithContext(ReplaceFileDurably(*context_.fs, verb_.checkpoint,
                                          AsBytes(FormatCheckpoint(checkpoint)), {.mode = 0600}),
                       "the checkpoint can't be kept");
  }

  // A run that is over needs none: the next visits everything, and what is up to date costs little.
  absl::Status KeepCheckpoint() {
    if (verb_.checkpoint.empty()) return absl::OkStatus();
    if (!outcome_.status.ok()) return Save(outcome_.checkpoint);
    const absl::Status removed = context_.fs->Remove(verb_.checkpoint);
    return absl::IsNotFound(removed) ? absl::OkStatus() : removed;
  }

  absl::Status RunByController(const ApiResources& there,
                               const std::vector<ApiResource>& resources) {
    if (!verb_.checkpoint.empty()) AddNote("the cluster's own controller needs no --checkpoint");
    const ApiResource& api = *there.Find(kStorageVersionMigrations);
    Progress progress({.what = "migrating resources", .style = context_.progress});
    outcome_.complete = true;
    for (size_t i = 0; i < resources.size(); ++i) {
      progress.Update(i, resources.size());
      const absl::Status done =
          MigrateByController(client_, api, resources[i], {}, {}, absl::InfiniteFuture());
      outcome_.checkpoint.done.push_back(
          {.resource = resources[i].name(), .counts = {}, .failure = std::string(done.message())});
      if (done.ok()) continue;
      outcome_.complete = false;
      const bool only_this = absl::IsFailedPrecondition(done) || absl::IsNotFound(done) ||
                             absl::IsInternal(done) || absl::IsInvalidArgument(done);
      if (only_this) continue;
      outcome_.status = done;
      break;
    }
    return absl::OkStatus();
  }

  CommandResult Conclude() {
    for (const DiscoveryProblem& problem : outcome_.problems) {
      outcome_.complete = outcome_.complete && !problem.stored_here;
    }
    result_.output = context_.format == OutputFormat::kJson
                         ? MigrationJson(outcome_)
                         : MigrationTable(outcome_, context_.colors);
    const MigrationCounts counts = outcome_.checkpoint.TotalCounts();
    if (!outcome_.status.ok()) {
      result_.exit_code = ExitCodeOf(AsPermission(outcome_.status));
      AddNote(std::string(outcome_.status.message()));
      AddNote(verb_.checkpoint.empty()
                  ? "hint: run it again; with --checkpoint FILE it goes on where it was"
                  : "hint: run it again, and it goes on where it was");
    } else if (!outcome_.complete) {
      result_.exit_code = kExitFailure;
      AddNote("not everything is written anew: former keys are still needed");
    } else if (!outcome_.by_controller && counts.written == 0 && counts.up_to_date != 0) {
      AddNote(
          "the API server calls every object up to date: if a key was promoted just now it may not "
          "know it yet; 'kekctl scan' says what is in etcd");
    }
    return std::move(result_);
  }

  void AddNote(const std::string& text) {
    if (text.empty()) return;
    absl::StrAppend(&result_.note, result_.note.empty() ? "" : "\n", text);
  }

  const CommandContext& context_;
  const MigrateVerb& verb_;
  ApiClient& client_;
  MigrationOutcome outcome_;
  CommandResult result_;
};

absl::StatusOr<CommandResult> MigrateAll(const CommandContext& context, const MigrateVerb& verb) {
  KubeconfigOptions options = KubeconfigOptionsFromEnvironment();
  options.path = verb.kubeconfig;
  options.context = verb.context;
  KEKD_ASSIGN_OR_RETURN(ApiServerAccess access, LoadKubeconfig(*context.fs, options, context.now));
  CurlTransportOptions transport_options;
  transport_options.user_agent = absl::StrCat("kekctl/", kKekdVersion);
  transport_options.allow_insecure = verb.allow_insecure;
  KEKD_ASSIGN_OR_RETURN(const std::unique_ptr<HttpTransport> transport,
                        CreateCurlTransport(*context.fs, std::move(access), transport_options));
  ApiClient client(*transport);
  return Migration(context, verb, client).Run();
}

}  // namespace

absl::StatusOr<CommandResult> Migrate(const CommandContext& context, const MigrateVerb& verb) {
  absl::StatusOr<CommandResult> result = MigrateAll(context, verb);
  if (!result.ok()) return AsPermission(result.status());
  return result;
}

}  // namespace kekd
