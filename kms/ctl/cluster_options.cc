#include "kms/ctl/cluster_options.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/durable_file.h"
#include "base/status_macros.h"
#include "cluster/api_server/curl_transport.h"
#include "cluster/api_server/kubeconfig.h"
#include "kms/config/version.h"
#include "kms/ctl/etcd_options.h"
#include "kms/ctl/scan_keys.h"
#include "kms/ctl/terminal.h"

namespace kekd {
namespace {

constexpr size_t kMaxCheckpointBytes = size_t{8} << 20;
constexpr absl::Duration kCheckpointInterval = absl::Seconds(2);

// A name that the certificate of every API server has.
constexpr char kApiServerName[] = "kubernetes.default.svc";

std::string UserAgent() { return absl::StrCat("kekctl/", kKekdVersion); }

absl::StatusOr<std::unique_ptr<HttpTransport>> Connect(const CommandContext& context,
                                                       const ClusterPlace& place,
                                                       const std::string& address) {
  KubeconfigOptions options = KubeconfigOptionsFromEnvironment();
  options.path = place.kubeconfig;
  options.context = place.context;
  KEKD_ASSIGN_OR_RETURN(ApiServerAccess access, LoadKubeconfig(*context.fs, options, absl::Now()));
  if (!address.empty()) {
    access.server = absl::StrCat("https://", address);
    access.tls_server_name = kApiServerName;
  }
  return CreateCurlTransport(*context.fs, std::move(access),
                             {.user_agent = UserAgent(), .allow_insecure = place.allow_insecure});
}

// Both may be lost: the run that has none visits everything.
MigrationCheckpoint LoadCheckpoint(FileSystem& fs, const std::string& path) {
  const absl::StatusOr<std::string> text = fs.ReadFile(path, kMaxCheckpointBytes);
  if (!text.ok()) return {};
  return ParseCheckpoint(*text).value_or(MigrationCheckpoint());
}

absl::Status KeepCheckpoint(FileSystem& fs, const std::string& path,
                            const MigrationCheckpoint& checkpoint) {
  if (checkpoint.target.empty()) {
    const absl::Status removed = fs.Remove(path);
    return absl::IsNotFound(removed) ? absl::OkStatus() : removed;
  }
  return ReplaceFileDurably(fs, path, AsBytes(FormatCheckpoint(checkpoint)), {.mode = 0600});
}

}  // namespace

std::vector<OptionDescription> WithClusterOptions(std::vector<OptionDescription> first) {
  std::vector<OptionDescription> all = std::move(first);
  for (OptionDescription& option : WithLiveEtcdOptions({})) all.push_back(std::move(option));
  all.push_back({.name = "--kubeconfig",
                 .value = "FILE",
                 .help = "the kubeconfig, as for kubectl: which API server, and who asks",
                 .kind = ValueKind::kFile});
  all.push_back(
      {.name = "--context", .value = "NAME", .help = "a context of it, if not its current one"});
  all.push_back({.name = "--insecure-skip-tls-verify",
                 .help = "obey a kubeconfig that says so, and trust whoever answers"});
  all.push_back({.name = "--api-servers",
                 .value = "LIST",
                 .help = "the addresses (HOST:PORT) of all API servers, with commas between, if "
                         "not those that the Service kubernetes has"});
  all.push_back({.name = "--resources",
                 .value = "LIST",
                 .help = "what is migrated, with commas between, as in an "
                         "EncryptionConfiguration; if not given, what etcd holds under the "
                         "keyring"});
  return all;
}

absl::StatusOr<ClusterPlace> ReadClusterPlace(const VerbArguments& given) {
  ClusterPlace place;
  place.kubeconfig = given.Text("--kubeconfig");
  place.context = given.Text("--context");
  place.allow_insecure = given.Has("--insecure-skip-tls-verify");
  KEKD_ASSIGN_OR_RETURN(place.etcd, ReadLiveEtcdPlace(given));
  place.api_servers = absl::StrSplit(given.Text("--api-servers"), ',', absl::SkipEmpty());
  place.resources = absl::StrSplit(given.Text("--resources"), ',', absl::SkipEmpty());
  return place;
}

absl::Status AsPermission(const absl::Status& status) {
  if (status.code() != absl::StatusCode::kUnauthenticated) return status;
  return absl::PermissionDeniedError(status.message());
}

absl::StatusOr<std::unique_ptr<NamedCluster>> NamedCluster::Create(const CommandContext& context,
                                                                   const ClusterPlace& place,
                                                                   std::string keyring,
                                                                   const std::string& checkpoint) {
  std::unique_ptr<NamedCluster> cluster(new NamedCluster());
  ClusterRotation::Options options;
  if (place.HasApiServer()) {
    KEKD_ASSIGN_OR_RETURN(cluster->transport_, Connect(context, place, ""));
    cluster->client_ = std::make_unique<ApiClient>(*cluster->transport_);
    options.client = cluster->client_.get();
    options.api_servers = place.api_servers;
    options.connect =
        [&context,
         place](const std::string& address) -> absl::StatusOr<std::unique_ptr<HttpTransport>> {
      if (place.allow_insecure && place.api_servers.empty()) {
        return absl::FailedPreconditionError(
            "an address that the cluster itself tells is not given the credentials unverified: "
            "name the API servers with --api-servers");
      }
      return Connect(context, place, address);
    };
  }
  if (place.etcd.has_value()) {
    options.open_etcd = [&context, etcd = *place.etcd] { return OpenEtcd(*context.fs, etcd); };
    if (!place.etcd->prefixes.empty()) options.prefixes = place.etcd->prefixes;
  }
  options.keyring = std::move(keyring);
  options.resources = place.resources;
  options.catalog = [&context]() -> absl::StatusOr<KeyCatalog> {
    // A rotation takes longer than one verb may wait for kekd.
    CommandContext now = context;
    now.now = absl::Now();
    KEKD_ASSIGN_OR_RETURN(ScanKeys keys, LoadKeyIds(now, {}));
    if (!keys.missing.empty()) return absl::UnavailableError(keys.missing.front().why);
    return std::move(keys.catalog);
  };
  options.load_checkpoint = [&context, checkpoint] {
    return LoadCheckpoint(*context.fs, checkpoint);
  };
  options.keep_checkpoint = [&context, checkpoint,
                             next = absl::InfinitePast()](const MigrationCheckpoint& now) mutable {
    if (!now.target.empty() && absl::Now() < next) return absl::OkStatus();
    next = absl::Now() + kCheckpointInterval;
    return WithContext(KeepCheckpoint(*context.fs, checkpoint, now),
                       "how far the migration is can't be kept");
  };
  options.progress = [progress = std::make_shared<Progress>(
                          Progress::Options{.what = "migrating", .style = context.progress})](
                         const MigrationProgress& now) { progress->Update(now.done, now.total); };
  options.read_progress = [progress = std::make_shared<Progress>(Progress::Options{
                               .what = "reading etcd", .style = context.progress})](
                              uint64_t done, uint64_t total) { progress->Update(done, total); };
  cluster->rotation_ = std::make_unique<ClusterRotation>(std::move(options));
  return cluster;
}

}  // namespace kekd
