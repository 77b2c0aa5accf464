#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "cluster/api_server/json_fields.h"
#include "cluster/migration/migrator.h"

namespace kekd {
namespace {

// Whether the API server's authorizers allow it, on all objects of the cluster. A server that does
// not say is not taken for a no.
absl::StatusOr<bool> MayDo(ApiClient& client, const ApiResource& resource, const char* verb,
                           const ApiRetries& retries, const std::stop_token& stop,
                           absl::Time deadline) {
  HttpRequest request;
  request.method = HttpMethod::kPost;
  request.path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
  request.content_type = "application/json";
  request.body = FormatJson(
      {{"apiVersion", "authorization.k8s.io/v1"},
       {"kind", "SelfSubjectAccessReview"},
       {"spec",
        {{"resourceAttributes",
          {{"group", resource.group}, {"resource", resource.resource}, {"verb", verb}}}}}});
  KEKD_ASSIGN_OR_RETURN(const ApiAnswer answer,
                        client.CallWithRetries(request, retries, stop, deadline));
  if (answer.http_status == 401) {
    return ToStatus(answer, absl::StrCat("asking ", client.server()));
  }
  if (!answer.ok()) return true;
  const nlohmann::json review = ParseJson(answer.body);
  const nlohmann::json* const allowed = FindField(review, {"status", "allowed"});
  return allowed == nullptr || !allowed->is_boolean() || allowed->get<bool>();
}

}  // namespace

absl::Status CheckMayMigrate(ApiClient& client, absl::Span<const ApiResource> resources,
                             const ApiRetries& retries, const std::stop_token& stop,
                             absl::Time deadline) {
  std::vector<std::string> missing;
  for (const ApiResource& resource : resources) {
    std::vector<std::string> verbs;
    for (const char* const verb : {"list", "patch"}) {
      KEKD_ASSIGN_OR_RETURN(const bool may, MayDo(client, resource, verb, retries, stop, deadline));
      if (!may) verbs.emplace_back(verb);
    }
    if (!verbs.empty()) {
      missing.push_back(absl::StrCat(absl::StrJoin(verbs, " and "), " on ", resource.name()));
    }
  }
  if (missing.empty()) return absl::OkStatus();
  return absl::PermissionDeniedError(
      absl::StrCat("the API server does not let this user ", absl::StrJoin(missing, ", "),
                   " (of the whole cluster): grant it by a ClusterRole, as manifests/rbac does"));
}

}  // namespace kekd
