#include "cluster/api_server/discovery.h"

#include <algorithm>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "cluster/api_server/json_fields.h"
#include "cluster/api_server/url_text.h"

namespace kekd {
namespace {

// Old servers pass over what they don't know and give the lists of versions.
constexpr char kAcceptDiscovery[] =
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
    "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,"
    "application/json";
constexpr char kDefinitions[] = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
// Each has its schema with it, up to a megabyte.
constexpr int kDefinitionsAPage = 20;

struct GroupVersion {
  std::string group;
  std::string version;

  std::string text() const { return group.empty() ? version : absl::StrCat(group, "/", version); }
  std::string path() const {
    return group.empty() ? absl::StrCat("/api/", version)
                         : absl::StrCat("/apis/", group, "/", version);
  }
};

bool HasVerb(const nlohmann::json& verbs, absl::string_view verb) {
  return absl::c_any_of(verbs, [&](const nlohmann::json& one) {
    return one.is_string() && absl::string_view(one.get_ref<const std::string&>()) == verb;
  });
}

// Puts together what the answers to several requests say.
class Discoverer final {
 public:
  Discoverer(ApiClient& client, const ApiRetries& retries, const std::stop_token& stop,
             absl::Time deadline)
      : client_(client), retries_(retries), stop_(stop), deadline_(deadline) {}

  absl::StatusOr<ApiResources> Discover() && {
    for (const char* const path : {"/api", "/apis"}) {
      KEKD_ASSIGN_OR_RETURN(const nlohmann::json answer, Get(path, kAcceptDiscovery));
      const std::string kind = TextField(answer, {"kind"});
      if (kind == "APIGroupDiscoveryList") {
        ReadAggregated(answer);
      } else if (kind == "APIVersions") {
        for (const nlohmann::json& version : ArrayField(answer, {"versions"})) {
          if (version.is_string()) KEKD_RETURN_IF_ERROR(AskFor({"", version}));
        }
      } else if (kind == "APIGroupList") {
        KEKD_RETURN_IF_ERROR(AskForGroups(answer));
      } else {
        return absl::InternalError(
            absl::StrCat(client_.server(), path,
                         " answers no list of API groups: is it a Kubernetes API server?"));
      }
    }
    KEKD_RETURN_IF_ERROR(FindUnserved());
    absl::c_sort(found_.all,
                 [](const ApiResource& a, const ApiResource& b) { return a.name() < b.name(); });
    return std::move(found_);
  }

 private:
  absl::StatusOr<nlohmann::json> Get(absl::string_view path, absl::string_view accept) {
    HttpRequest request;
    request.path = std::string(path);
    request.accept = std::string(accept);
    KEKD_ASSIGN_OR_RETURN(const ApiAnswer answer,
                          client_.CallWithRetries(request, retries_, stop_, deadline_));
    KEKD_RETURN_IF_ERROR(ToStatus(answer, absl::StrCat("asking ", client_.server(), path)));
    nlohmann::json json = ParseJson(answer.body);
    if (json.is_discarded()) {
      return absl::InternalError(absl::StrCat(client_.server(), path, " answers no JSON"));
    }
    return json;
  }

  void ReadAggregated(const nlohmann::json& list) {
    for (const nlohmann::json& group : ArrayField(list, {"items"})) {
      const std::string group_name = TextField(group, {"metadata", "name"});
      for (const nlohmann::json& version : ArrayField(group, {"versions"})) {
        const GroupVersion of = {group_name, TextField(version, {"version"})};
        if (TextField(version, {"freshness"}) == "Stale") {
          found_.problems.push_back(
              {of.text(),
               "the API server can't reach the server of this API group (its APIService "
               "says why): its resources are not known"});
        }
        for (const nlohmann::json& resource : ArrayField(version, {"resources"})) {
          Add(of, TextField(resource, {"resource"}), TextField(resource, {"responseKind", "kind"}),
              TextField(resource, {"scope"}) == "Namespaced", ArrayField(resource, {"verbs"}));
        }
      }
    }
  }

  absl::Status AskForGroups(const nlohmann::json& list) {
    for (const nlohmann::json& group : ArrayField(list, {"groups"})) {
      const std::string name = TextField(group, {"name"});
      const std::string preferred = TextField(group, {"preferredVersion", "version"});
      std::vector<std::string> versions;
      for (const nlohmann::json& version : ArrayField(group, {"versions"})) {
        versions.push_back(TextField(version, {"version"}));
      }
      std::stable_partition(versions.begin(), versions.end(),
                            [&](const std::string& version) { return version == preferred; });
      for (const std::string& version : versions) {
        KEKD_RETURN_IF_ERROR(AskFor({name, version}));
      }
    }
    return absl::OkStatus();
  }

  // One try: a group whose own server is away must not hold up the others.
  absl::Status AskFor(const GroupVersion& of) {
    HttpRequest request;
    request.path = of.path();
    const absl::StatusOr<ApiAnswer> answer =
        client_.Call(request, std::min(deadline_, absl::Now() + retries_.call_timeout));
    if (!answer.ok()) return answer.status();
    if (!answer->ok()) {
      found_.problems.push_back(
          {of.text(), absl::StrCat("its resources can't be listed: ",
                                   ToStatus(*answer, request.path).message())});
      return absl::OkStatus();
    }
    const nlohmann::json list = ParseJson(answer->body);
    for (const nlohmann::json& resource : ArrayField(list, {"resources"})) {
      const nlohmann::json* const namespaced = FindField(resource, {"namespaced"});
      Add(of, TextField(resource, {"name"}), TextField(resource, {"kind"}),
          namespaced != nullptr && namespaced->is_boolean() && namespaced->get<bool>(),
          ArrayField(resource, {"verbs"}));
    }
    return absl::OkStatus();
  }

  // The first version of a resource that can be used is the one that the server prefers of these.
  void Add(const GroupVersion& of, std::string resource, std::string kind, bool namespaced,
           const nlohmann::json& verbs) {
    // Subresources ("pods/status") have no objects of their own; what can't be listed has none that
    // are stored.
    if (resource.empty() || absl::StrContains(resource, '/') || !HasVerb(verbs, "list")) return;
    ApiResource found = {of.group, of.version, std::move(resource), std::move(kind), namespaced};
    if (found_.Find(found.name()) != nullptr) return;
    if (HasVerb(verbs, "patch")) {
      found_.all.push_back(std::move(found));
    } else if (HasVerb(verbs, "update")) {
      // What can't be updated is computed and not stored (componentstatuses, metrics).
      found_.problems.push_back({found.name(), "it can be updated but not patched", true});
    }
  }

  // Definitions with no version that is served: their objects are stored, and nobody reaches them.
  absl::Status FindUnserved() {
    if (found_.Find("customresourcedefinitions.apiextensions.k8s.io") == nullptr) {
      return absl::OkStatus();
    }
    std::string token;
    do {
      HttpRequest request;
      request.path = absl::StrCat(kDefinitions, "?limit=", kDefinitionsAPage);
      if (!token.empty()) absl::StrAppend(&request.path, "&continue=", EscapeUrlPart(token));
      KEKD_ASSIGN_OR_RETURN(const ApiAnswer answer,
                            client_.CallWithRetries(request, retries_, stop_, deadline_));
      if (!answer.ok()) {
        found_.problems.push_back(
            {"customresourcedefinitions.apiextensions.k8s.io",
             absl::StrCat("definitions with no version that is served would not be noticed: ",
                          answer.message)});
        return absl::OkStatus();
      }
      const nlohmann::json list = ParseJson(answer.body);
      for (const nlohmann::json& definition : ArrayField(list, {"items"})) NoteUnserved(definition);
      token = TextField(list, {"metadata", "continue"});
    } while (!token.empty());
    return absl::OkStatus();
  }

  void NoteUnserved(const nlohmann::json& definition) {
    const bool served = absl::c_any_of(
        ArrayField(definition, {"spec", "versions"}), [](const nlohmann::json& version) {
          const nlohmann::json* const field = FindField(version, {"served"});
          return field != nullptr && field->is_boolean() && field->get<bool>();
        });
    if (served) return;
    found_.problems.push_back(
        {TextField(definition, {"metadata", "name"}),
         "no version of this custom resource is served: its objects can't be reached by the API; "
         "serve one, or delete the definition with its objects",
         true});
  }

  ApiClient& client_;
  const ApiRetries& retries_;
  const std::stop_token& stop_;
  const absl::Time deadline_;
  ApiResources found_;
};

}  // namespace

std::string ApiResource::name() const {
  return group.empty() ? resource : absl::StrCat(resource, ".", group);
}

std::string ApiResource::ListPath() const {
  return absl::StrCat(GroupVersion{group, version}.path(), "/", resource);
}

std::string ApiResource::ObjectPath(absl::string_view namespace_name,
                                    absl::string_view object_name) const {
  return absl::StrCat(
      GroupVersion{group, version}.path(),
      namespace_name.empty() ? "" : absl::StrCat("/namespaces/", EscapeUrlPart(namespace_name)),
      "/", resource, "/", EscapeUrlPart(object_name));
}

const ApiResource* ApiResources::Find(absl::string_view name) const {
  const auto found =
      absl::c_find_if(all, [&](const ApiResource& one) { return one.name() == name; });
  return found == all.end() ? nullptr : &*found;
}

absl::StatusOr<ApiResources> DiscoverResources(ApiClient& client, const ApiRetries& retries,
                                               const std::stop_token& stop, absl::Time deadline) {
  return Discoverer(client, retries, stop, deadline).Discover();
}

}  // namespace kekd
