#include "cluster/object_key.h"

#include <algorithm>
#include <cstddef>
#include <iterator>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace kekd {
namespace {

enum class Scope : bool { kNamespaced, kCluster };
enum class Encrypted : bool { kNever, kPossible };

struct Resource {
  absl::string_view path;  // in etcd, after the prefix
  absl::string_view plural;
  absl::string_view group;
  Scope scope = Scope::kNamespaced;
  Encrypted encrypted = Encrypted::kPossible;
};

constexpr absl::string_view kAdmission = "admissionregistration.k8s.io";
constexpr absl::string_view kCertificates = "certificates.k8s.io";
constexpr absl::string_view kFlowControl = "flowcontrol.apiserver.k8s.io";
constexpr absl::string_view kInternal = "internal.apiserver.k8s.io";
constexpr absl::string_view kNetworking = "networking.k8s.io";
constexpr absl::string_view kRbac = "rbac.authorization.k8s.io";
constexpr absl::string_view kResource = "resource.k8s.io";
constexpr absl::string_view kScheduling = "scheduling.k8s.io";
constexpr absl::string_view kStorage = "storage.k8s.io";
constexpr absl::string_view kMigration = "storagemigration.k8s.io";

// What kube-apiserver keeps under a path that does not name its group, by path (k8s.io/kubernetes,
// pkg/kubeapiserver and the resources of pkg/registry).
constexpr Resource kBuiltIn[] = {
    {"certificatesigningrequests", "certificatesigningrequests", kCertificates, Scope::kCluster},
    {"clusterrolebindings", "clusterrolebindings", kRbac, Scope::kCluster},
    {"clusterroles", "clusterroles", kRbac, Scope::kCluster},
    {"clustertrustbundles", "clustertrustbundles", kCertificates, Scope::kCluster},
    {"controllerrevisions", "controllerrevisions", "apps"},
    {"controllers", "replicationcontrollers", ""},
    {"cronjobs", "cronjobs", "batch"},
    {"csidrivers", "csidrivers", kStorage, Scope::kCluster},
    {"csinodes", "csinodes", kStorage, Scope::kCluster},
    {"csistoragecapacities", "csistoragecapacities", kStorage},
    {"daemonsets", "daemonsets", "apps"},
    {"deployments", "deployments", "apps"},
    {"deviceclasses", "deviceclasses", kResource, Scope::kCluster},
    {"devicetaintrules", "devicetaintrules", kResource, Scope::kCluster},
    {"endpointslices", "endpointslices", "discovery.k8s.io"},
    {"flowschemas", "flowschemas", kFlowControl, Scope::kCluster},
    {"horizontalpodautoscalers", "horizontalpodautoscalers", "autoscaling"},
    {"ingress", "ingresses", kNetworking},
    {"ingressclasses", "ingressclasses", kNetworking, Scope::kCluster},
    {"ipaddresses", "ipaddresses", kNetworking, Scope::kCluster},
    {"jobs", "jobs", "batch"},
    {"leasecandidates", "leasecandidates", "coordination.k8s.io"},
    {"leases", "leases", "coordination.k8s.io"},
    {"masterleases", "masterleases", "", Scope::kCluster, Encrypted::kNever},
    {"minions", "nodes", "", Scope::kCluster},
    {"mutatingadmissionpolicies", "mutatingadmissionpolicies", kAdmission, Scope::kCluster},
    {"mutatingadmissionpolicybindings", "mutatingadmissionpolicybindings", kAdmission,
     Scope::kCluster},
    {"mutatingwebhookconfigurations", "mutatingwebhookconfigurations", kAdmission, Scope::kCluster},
    {"namespaces", "namespaces", "", Scope::kCluster},
    {"networkpolicies", "networkpolicies", kNetworking},
    {"peerserverleases", "peerserverleases", "", Scope::kCluster, Encrypted::kNever},
    {"persistentvolumes", "persistentvolumes", "", Scope::kCluster},
    {"podcertificaterequests", "podcertificaterequests", kCertificates},
    {"poddisruptionbudgets", "poddisruptionbudgets", "policy"},
    {"podsecuritypolicy", "podsecuritypolicies", "policy", Scope::kCluster},
    {"priorityclasses", "priorityclasses", kScheduling, Scope::kCluster},
    {"prioritylevelconfigurations", "prioritylevelconfigurations", kFlowControl, Scope::kCluster},
    {"ranges", "ranges", "", Scope::kCluster, Encrypted::kNever},
    {"replicasets", "replicasets", "apps"},
    {"resourceclaims", "resourceclaims", kResource},
    {"resourceclaimtemplates", "resourceclaimtemplates", kResource},
    {"resourceslices", "resourceslices", kResource, Scope::kCluster},
    {"rolebindings", "rolebindings", kRbac},
    {"roles", "roles", kRbac},
    {"runtimeclasses", "runtimeclasses", "node.k8s.io", Scope::kCluster},
    {"servicecidrs", "servicecidrs", kNetworking, Scope::kCluster},
    {"services/endpoints", "endpoints", ""},
    {"services/specs", "services", ""},
    {"statefulsets", "statefulsets", "apps"},
    {"storageclasses", "storageclasses", kStorage, Scope::kCluster},
    {"storageversionmigrations", "storageversionmigrations", kMigration, Scope::kCluster},
    {"storageversions", "storageversions", kInternal, Scope::kCluster},
    {"validatingadmissionpolicies", "validatingadmissionpolicies", kAdmission, Scope::kCluster},
    {"validatingadmissionpolicybindings", "validatingadmissionpolicybindings", kAdmission,
     Scope::kCluster},
    {"validatingwebhookconfigurations", "validatingwebhookconfigurations", kAdmission,
     Scope::kCluster},
    {"volumeattachments", "volumeattachments", kStorage, Scope::kCluster},
    {"volumeattributesclasses", "volumeattributesclasses", kStorage, Scope::kCluster},
    {"workloads", "workloads", kScheduling},
};

constexpr bool IsSortedByPath() {
  for (size_t i = 1; i < std::size(kBuiltIn); ++i) {
    if (kBuiltIn[i - 1].path >= kBuiltIn[i].path) return false;
  }
  return true;
}
static_assert(IsSortedByPath(), "FindBuiltIn searches by halves");

// Those of the core group that are kept under their own name, and need no table.
constexpr absl::string_view kCore[] = {
    "configmaps",   "events",  "limitranges",    "persistentvolumeclaims", "pods",
    "podtemplates", "secrets", "resourcequotas", "serviceaccounts"};

// What OpenShift's own API servers keep under /openshift.io/. Those of the first lines are what an
// OpenShift cluster encrypts beside secrets and config maps.
constexpr absl::string_view kOpenShiftPrefix = "/openshift.io/";
constexpr Resource kOpenShift[] = {
    {"oauth/accesstokens", "oauthaccesstokens", "oauth.openshift.io", Scope::kCluster},
    {"oauth/authorizetokens", "oauthauthorizetokens", "oauth.openshift.io", Scope::kCluster},
    {"routes", "routes", "route.openshift.io"},
    {"buildconfigs", "buildconfigs", "build.openshift.io"},
    {"builds", "builds", "build.openshift.io"},
    {"deploymentconfigs", "deploymentconfigs", "apps.openshift.io"},
    {"groups", "groups", "user.openshift.io", Scope::kCluster},
    {"images", "images", "image.openshift.io", Scope::kCluster},
    {"imagestreams", "imagestreams", "image.openshift.io"},
    {"oauth/clientauthorizations", "oauthclientauthorizations", "oauth.openshift.io",
     Scope::kCluster},
    {"oauth/clients", "oauthclients", "oauth.openshift.io", Scope::kCluster},
    {"rangeallocations", "rangeallocations", "security.openshift.io", Scope::kCluster},
    {"templates", "templates", "template.openshift.io"},
    {"useridentities", "identities", "user.openshift.io", Scope::kCluster},
    {"users", "users", "user.openshift.io", Scope::kCluster},
};

// What kine (k3s) puts there itself, in clear: {"health":"true"}.
constexpr absl::string_view kKineHealth = "/registry/health";

// Takes the part up to the next '/' from the front, and the '/'.
absl::string_view TakePart(absl::string_view& rest) {
  const size_t slash = rest.find('/');
  const absl::string_view part = rest.substr(0, slash);
  rest.remove_prefix(slash == absl::string_view::npos ? rest.size() : slash + 1);
  return part;
}

// The first two parts if there are two ("services/specs"), for paths of the tables.
absl::string_view TwoParts(absl::string_view path) {
  const size_t first = path.find('/');
  if (first == absl::string_view::npos) return path;
  return path.substr(0, path.find('/', first + 1));
}

const Resource* FindByPath(absl::Span<const Resource> table, absl::string_view path) {
  const auto found =
      std::find_if(table.begin(), table.end(), [&](const Resource& r) { return r.path == path; });
  return found == table.end() ? nullptr : &*found;
}

const Resource* FindBuiltIn(absl::string_view path) {
  const auto* const found =
      std::lower_bound(std::begin(kBuiltIn), std::end(kBuiltIn), path,
                       [](const Resource& r, absl::string_view p) { return r.path < p; });
  return found == std::end(kBuiltIn) || found->path != path ? nullptr : found;
}

const Resource* FindResource(absl::string_view prefix, absl::string_view path) {
  const absl::string_view one = path.substr(0, path.find('/'));
  const absl::string_view two = TwoParts(path);
  if (prefix == kOpenShiftPrefix) {
    if (const Resource* found = FindByPath(kOpenShift, two)) return found;
    return FindByPath(kOpenShift, one);
  }
  if (const Resource* found = FindBuiltIn(one)) return found;
  return one == "services" ? FindBuiltIn(two) : nullptr;
}

absl::string_view LongestPrefix(absl::string_view key, absl::Span<const std::string> prefixes) {
  absl::string_view longest;
  for (const std::string& prefix : prefixes) {
    if (prefix.size() > longest.size() && absl::StartsWith(key, prefix)) longest = prefix;
  }
  return longest;
}

}  // namespace

ObjectKey ParseObjectKey(absl::string_view key, absl::Span<const std::string> prefixes) {
  const absl::string_view prefix = LongestPrefix(key, prefixes);
  absl::string_view rest = key.substr(prefix.size());
  ObjectKey parsed;
  if (key == kKineHealth) {
    parsed.resource = "health";
    parsed.never_encrypted = true;
    return parsed;
  }
  // A key of one part names no resource.
  if (prefix.empty() || rest.find('/') == absl::string_view::npos || rest.front() == '/') {
    parsed.name = rest;
    return parsed;
  }
  Scope scope = Scope::kNamespaced;
  if (const Resource* resource = FindResource(prefix, rest)) {
    rest.remove_prefix(std::min(rest.size(), resource->path.size() + 1));
    parsed.resource = resource->plural;
    parsed.group = resource->group;
    parsed.never_encrypted = resource->encrypted == Encrypted::kNever;
    scope = resource->scope;
  } else {
    const absl::string_view first = TakePart(rest);
    if (absl::StrContains(first, '.') && absl::StrContains(rest, '/')) {
      parsed.group = first;
      parsed.resource = TakePart(rest);
    } else {
      parsed.resource = first;
    }
  }
  if (scope == Scope::kNamespaced && absl::StrContains(rest, '/')) {
    parsed.namespace_name = TakePart(rest);
  }
  parsed.name = rest;
  return parsed;
}

std::vector<std::string> EtcdKeysOf(absl::string_view object,
                                    absl::Span<const std::string> prefixes) {
  const absl::string_view resource = object.substr(0, object.find('/'));
  const absl::string_view rest = object.substr(resource.size());
  std::vector<std::string> keys;
  for (const std::string& prefix : prefixes) {
    const absl::Span<const Resource> table = prefix == kOpenShiftPrefix
                                                 ? absl::Span<const Resource>(kOpenShift)
                                                 : absl::Span<const Resource>(kBuiltIn);
    for (const Resource& known : table) {
      const bool with_group =
          !known.group.empty() && resource == absl::StrCat(known.plural, ".", known.group);
      if (resource == known.plural || with_group) {
        keys.push_back(absl::StrCat(prefix, known.path, rest));
      }
    }
    const size_t dot = resource.find('.');
    keys.push_back(
        dot == absl::string_view::npos
            ? absl::StrCat(prefix, object)
            : absl::StrCat(prefix, resource.substr(dot + 1), "/", resource.substr(0, dot), rest));
  }
  return keys;
}

std::string ResourceName(const ObjectKey& key) {
  if (key.resource.empty()) return std::string(kUnknownResource);
  if (key.group.empty()) return std::string(key.resource.data(), key.resource.size());
  return absl::StrCat(key.resource, ".", key.group);
}

bool NamesResource(absl::string_view part) {
  if (std::find(std::begin(kCore), std::end(kCore), part) != std::end(kCore)) return true;
  return std::any_of(std::begin(kBuiltIn), std::end(kBuiltIn), [&](const Resource& resource) {
    return part == resource.plural || part == resource.path.substr(0, resource.path.find('/'));
  });
}

bool IsNeverEncrypted(absl::string_view resource_name) {
  const Resource* const resource = FindBuiltIn(resource_name);
  return resource != nullptr && resource->encrypted == Encrypted::kNever;
}

}  // namespace kekd
