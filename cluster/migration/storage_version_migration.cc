#include "cluster/migration/storage_version_migration.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "cluster/api_server/json_fields.h"
#include "cluster/migration/object_list.h"

namespace kekd {
namespace {

constexpr char kNudge[] = "kekd/nudge";
constexpr char kMergePatch[] = "application/merge-patch+json";

enum class Phase { kWaiting, kRunning, kSucceeded, kFailed };

// One migration of one resource.
class ControllerRun final {
 public:
  ControllerRun(ApiClient& client, const ApiResource& migrations, const ApiResource& resource,
                const StorageVersionMigrationOptions& options, const std::stop_token& stop,
                absl::Time deadline)
      : client_(client),
        migrations_(migrations),
        resource_(resource),
        options_(options),
        stop_(stop),
        deadline_(deadline) {}

  absl::Status Run() {
    KEKD_ASSIGN_OR_RETURN(const ObjectPage first, ListOne());
    if (first.objects.empty()) return absl::OkStatus();
    KEKD_RETURN_IF_ERROR(Create());
    absl::Status watched = Watch();
    // What it told is told; nobody has to clean up after it. One that can't be deleted harms none.
    HttpRequest remove;
    remove.method = HttpMethod::kDelete;
    remove.path = migrations_.ObjectPath("", name_);
    client_.CallWithRetries(remove, options_.retries, {}, absl::Now() + absl::Seconds(10))
        .IgnoreError();
    return watched;
  }

 private:
  absl::StatusOr<ApiAnswer> Ask(const HttpRequest& request, absl::string_view doing) {
    KEKD_ASSIGN_OR_RETURN(ApiAnswer answer,
                          client_.CallWithRetries(request, options_.retries, stop_, deadline_));
    KEKD_RETURN_IF_ERROR(ToStatus(answer, doing));
    return answer;
  }

  absl::StatusOr<ObjectPage> ListOne() {
    KEKD_ASSIGN_OR_RETURN(const ApiAnswer answer, Ask(ListRequest(resource_, 1, ""),
                                                      absl::StrCat("listing ", resource_.name())));
    return ParseObjectPage(answer.body);
  }

  absl::Status Create() {
    HttpRequest request;
    request.method = HttpMethod::kPost;
    request.path = migrations_.ListPath();
    request.content_type = "application/json";
    request.body = FormatJson(
        {{"apiVersion", absl::StrCat(migrations_.group, "/", migrations_.version)},
         {"kind", "StorageVersionMigration"},
         {"metadata", {{"generateName", "kekctl-migrate-"}}},
         {"spec", {{"resource", {{"group", resource_.group}, {"resource", resource_.resource}}}}}});
    // One attempt: a second could make a second one.
    KEKD_ASSIGN_OR_RETURN(
        const ApiAnswer answer,
        client_.Call(request, std::min(deadline_, absl::Now() + options_.retries.call_timeout)));
    KEKD_RETURN_IF_ERROR(ToStatus(answer, "making a StorageVersionMigration"));
    name_ = TextField(ParseJson(answer.body), {"metadata", "name"});
    // Without one, what is deleted at the end would be all there are.
    if (name_.empty()) {
      return absl::InternalError("the API server made a StorageVersionMigration without a name");
    }
    return absl::OkStatus();
  }

  absl::Status Watch() {
    const absl::Time begin = absl::Now();
    absl::Time next_nudge = begin;
    HttpRequest request;
    request.path = migrations_.ObjectPath("", name_);
    while (true) {
      KEKD_ASSIGN_OR_RETURN(const ApiAnswer answer,
                            Ask(request, absl::StrCat("reading StorageVersionMigration ", name_)));
      std::string said;
      switch (ReadPhase(ParseJson(answer.body), said)) {
        case Phase::kSucceeded:
          return absl::OkStatus();
        case Phase::kFailed:
          return absl::FailedPreconditionError(
              absl::StrCat("the cluster's migration of ", resource_.name(), " has failed: ", said));
        case Phase::kWaiting:
          if (absl::Now() - begin < options_.start_patience) break;
          return absl::FailedPreconditionError(
              "no controller takes the StorageVersionMigration up: kube-controller-manager needs "
              "its feature gate StorageVersionMigrator; --via client needs none");
        case Phase::kRunning:
          break;
      }
      if (absl::Now() >= deadline_) return absl::DeadlineExceededError("the time is up");
      if (absl::Now() >= next_nudge) {
        KEKD_RETURN_IF_ERROR(Nudge());
        next_nudge = absl::Now() + options_.nudge_interval;
      }
      if (!PauseUnlessStopped(options_.poll_interval, stop_)) {
        return absl::CancelledError("stopped");
      }
    }
  }

  static Phase ReadPhase(const nlohmann::json& migration, std::string& said) {
    Phase phase = Phase::kWaiting;
    for (const nlohmann::json& condition : ArrayField(migration, {"status", "conditions"})) {
      if (TextField(condition, {"status"}) != "True") continue;
      const std::string type = TextField(condition, {"type"});
      if (type == "Running" && phase == Phase::kWaiting) phase = Phase::kRunning;
      if (type == "Succeeded") phase = Phase::kSucceeded;
      if (type != "Failed") continue;
      phase = Phase::kFailed;
      said = TextField(condition, {"message"});
      if (said.empty()) said = TextField(condition, {"reason"});
    }
    return phase;
  }

  // One write of the resource.
  absl::Status Nudge() {
    KEKD_ASSIGN_OR_RETURN(const ObjectPage page, ListOne());
    if (page.objects.empty()) return absl::OkStatus();
    const ListedObject& object = page.objects.front();
    KEKD_ASSIGN_OR_RETURN(const ApiAnswer touched,
                          client_.CallWithRetries(TouchRequest(resource_, object), options_.retries,
                                                  stop_, deadline_));
    if (touched.http_status == 409 || touched.http_status == 404) return absl::OkStatus();
    // Whoever may not write waits for somebody who does.
    if (touched.IsDenial()) return absl::OkStatus();
    KEKD_RETURN_IF_ERROR(ToStatus(touched, Nudging(object)));
    if (ResourceVersionOf(touched.body) != object.resource_version) return absl::OkStatus();
    KEKD_RETURN_IF_ERROR(Annotate(object, absl::FormatTime(absl::Now(), absl::UTCTimeZone())));
    return Annotate(object, nullptr);
  }

  absl::Status Annotate(const ListedObject& object, nlohmann::json value) {
    HttpRequest request = TouchRequest(resource_, object);
    request.content_type = kMergePatch;
    request.body = FormatJson({{"metadata", {{"annotations", {{kNudge, std::move(value)}}}}}});
    KEKD_ASSIGN_OR_RETURN(const ApiAnswer answer,
                          client_.CallWithRetries(request, options_.retries, stop_, deadline_));
    if (answer.http_status == 404) return absl::OkStatus();
    return ToStatus(answer, Nudging(object));
  }

  std::string Nudging(const ListedObject& object) const {
    return absl::StrCat("writing ", resource_.name(), " ", object.SortKey(),
                        ", which sets the cluster's migration going");
  }

  ApiClient& client_;
  const ApiResource& migrations_;
  const ApiResource& resource_;
  const StorageVersionMigrationOptions& options_;
  const std::stop_token& stop_;
  const absl::Time deadline_;
  std::string name_;
};

}  // namespace

absl::Status MigrateByController(ApiClient& client, const ApiResource& migrations,
                                 const ApiResource& resource,
                                 const StorageVersionMigrationOptions& options,
                                 const std::stop_token& stop, absl::Time deadline) {
  return ControllerRun(client, migrations, resource, options, stop, deadline).Run();
}

}  // namespace kekd
