#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"
#include "kms/ctl/command_tree.h"
#include "kms/ctl/etcd_options.h"

namespace kekd {
namespace {

MigrationWay WayOf(const std::string& text) {
  if (text == "client") return MigrationWay::kClient;
  return text == "auto" ? MigrationWay::kAuto : MigrationWay::kController;
}

absl::StatusOr<Verb> ReadMigrate(const VerbArguments& given) {
  MigrateVerb verb;
  verb.kubeconfig = given.Text("--kubeconfig");
  verb.context = given.Text("--context");
  verb.allow_insecure = given.Has("--insecure-skip-tls-verify");
  if (given.Has("--resources")) {
    verb.resources = absl::StrSplit(given.Text("--resources"), ',', absl::SkipEmpty());
  }
  verb.encryption_config = given.Text("--encryption-config");
  KEKD_ASSIGN_OR_RETURN(verb.etcd, ReadLiveEtcdPlace(given));
  const int ways = (verb.resources.empty() ? 0 : 1) + (verb.encryption_config.empty() ? 0 : 1) +
                   (verb.etcd.has_value() ? 1 : 0);
  if (ways != 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        ways == 0 ? "which resources are meant is missing: give one of " : "give only one of ",
        "--resources LIST, --encryption-config FILE (the API server's own), or --endpoints with "
        "what belongs to it (those of which etcd has something encrypted)"));
  }
  KEKD_ASSIGN_OR_RETURN(verb.qps, given.ReadNumber<uint32_t>("--qps", 0, 100'000));
  KEKD_ASSIGN_OR_RETURN(verb.concurrency, given.ReadNumber<uint32_t>("--concurrency", 1, 256));
  verb.via = WayOf(given.Text("--via"));
  if (given.Has("--checkpoint")) verb.checkpoint = given.Path("--checkpoint");
  return verb;
}

}  // namespace

VerbSection MigrationVerbs() {
  return {
      .title = "Migration",
      .groups = {},
      .verbs = {{
          .path = "migrate",
          .summary = "have every object written anew under the key that is primary now",
          .description =
              "Asks the API server to write every object of the resources that is not stored as it "
              "would store it today: under a former key, by another provider, in plaintext. It "
              "sends a patch that changes nothing, and the API server itself leaves alone what is "
              "up to date; of objects only the metadata comes to kekctl. After 'key promote' wait "
              "until "
              "every API server knows the new key (it asks once a minute).\n\n"
              "Which API server, and who asks, is said by a kubeconfig, as for kubectl; its user "
              "needs the rights of manifests/rbac. With --checkpoint a run that was cut off goes "
              "on "
              "where it was; the file is removed at the end.\n\n"
              "Exits with 0 if all was written or up to date, with 1 if objects were refused or "
              "could not be reached, with 4 if the API server can't be reached or has gone away, "
              "with 6 without permission.",
          .options = WithLiveEtcdOptions(
              {{.name = "--resources",
                .value = "LIST",
                .help =
                    "of these resources, with commas between, as in an EncryptionConfiguration: "
                    "secrets, widgets.example.com, *.apps, *.*"},
               {.name = "--encryption-config",
                .value = "FILE",
                .help = "of the resources in this EncryptionConfiguration",
                .kind = ValueKind::kFile},
               {.name = "--kubeconfig",
                .value = "FILE",
                .help = "the kubeconfig, if not $KUBECONFIG or ~/.kube/config",
                .kind = ValueKind::kFile},
               {.name = "--context",
                .value = "NAME",
                .help = "a context of it, if not its current one"},
               {.name = "--insecure-skip-tls-verify",
                .help = "obey a kubeconfig that says so, and trust whoever answers"},
               {.name = "--via",
                .value = "WAY",
                .help = "who writes: kekctl (client), the cluster's own controller "
                        "(storage-version-migration; Kubernetes 1.35 and newer), or kekctl if its "
                        "user may and else the controller (auto)",
                .default_value = "auto",
                .choices = {"auto", "client", "storage-version-migration"}},
               {.name = "--qps",
                .value = "N",
                .help = "write at most so many objects a second; 0: as many as the server takes",
                .default_value = "0"},
               {.name = "--concurrency",
                .value = "N",
                .help = "write so many at a time",
                .default_value = "8"},
               {.name = "--checkpoint",
                .value = "FILE",
                .help = "keep in this file how far it is, and go on from it",
                .kind = ValueKind::kFile}}),
          .examples = {"migrate --resources secrets,configmaps,widgets.example.com",
                       "migrate --encryption-config config.yaml --checkpoint migration.json",
                       "migrate --resources '*.*' --qps 50 --kubeconfig admin.conf"},
          .read = ReadMigrate,
          .config = ConfigUse::kIfThere,
      }}};
}

}  // namespace kekd
