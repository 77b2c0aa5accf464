// Which resources an API server has.
#ifndef KEKD_CLUSTER_API_SERVER_DISCOVERY_H_
#define KEKD_CLUSTER_API_SERVER_DISCOVERY_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cluster/api_server/api_client.h"

namespace kekd {

// A resource in the version of it that its server prefers and that can be listed and patched.
struct ApiResource {
  std::string group;     // empty: the core group
  std::string version;   // "v1"
  std::string resource;  // plural: "secrets"
  std::string kind;      // "Secret"
  bool namespaced = false;

  // "secrets", "widgets.example.com", as in an EncryptionConfiguration.
  std::string name() const;
  // Of all its objects: "/api/v1/secrets", "/apis/example.com/v1/widgets".
  std::string ListPath() const;
  // Of one of them.
  std::string ObjectPath(absl::string_view namespace_name, absl::string_view object_name) const;
};

// Something of the API that can't be looked at, and why.
struct DiscoveryProblem {
  std::string what;  // "metrics.k8s.io/v1beta1", "widgets.example.com"
  std::string why;
  // Objects of it are stored in the cluster's own etcd and can't be migrated; else they are
  // somewhere else, or it is not known.
  bool stored_here = false;

  friend bool operator==(const DiscoveryProblem&, const DiscoveryProblem&) = default;
};

struct ApiResources {
  std::vector<ApiResource> all;  // that can be listed and patched, by name
  // Of API groups whose own server does not answer, and of resources that can't be listed or
  // patched though their objects are stored.
  std::vector<DiscoveryProblem> problems;

  // By name ("secrets", "widgets.example.com"); null if there is none. A resource that two groups
  // serve from the same objects (events) is found under each of its names.
  const ApiResource* Find(absl::string_view name) const;
};

// Asks for aggregated discovery (apidiscovery.k8s.io/v2 or v2beta1), and group by group of a server
// that does not know it. A group that does not answer is a problem among the results, not an error.
// Definitions of custom resources with no version that is served are problems too; where these may
// not be read that is one.
absl::StatusOr<ApiResources> DiscoverResources(ApiClient& client, const ApiRetries& retries,
                                               const std::stop_token& stop, absl::Time deadline);

}  // namespace kekd

#endif  // KEKD_CLUSTER_API_SERVER_DISCOVERY_H_
