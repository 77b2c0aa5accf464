// What an etcd key says of the object under it.
#ifndef KEKD_CLUSTER_OBJECT_KEY_H_
#define KEKD_CLUSTER_OBJECT_KEY_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace kekd {

// The API resource, namespace and name of an object as its key in etcd has them; views of the key
// and of constants. What they show is data: escape it where it is printed.
struct ObjectKey {
  absl::string_view resource;        // plural, as in the API: "secrets"; empty if it can't be told
  absl::string_view group;           // "apps"; empty for the core group
  absl::string_view namespace_name;  // its namespace; empty if the object has none
  absl::string_view name;            // may hold '/' where the key has more parts than are known
  // kube-apiserver encrypts this resource never, whatever its configuration says: leases of API
  // servers, allocated address ranges; nor kine its own /registry/health. Plaintext is no finding
  // there.
  bool never_encrypted = false;
};

// Takes a key apart that begins with one of `prefixes` (of several the longest; each ends in '/').
//
//   /registry/secrets/ns/name                    built-in: the path is the plural, of some
//   resources
//                                                an older name: services/specs, minions, …
//   /registry/example.com/widgets/ns/name        a first part with a dot is a group: custom
//                                                resources, CRDs, APIServices
//   /openshift.io/routes/ns/name                 OpenShift's own API servers
//
// A key does not say whether its resource has namespaces: one part after the resource is a name, of
// two or more the first is the namespace. So nothing with a namespace is taken for cluster-scoped,
// and a built-in resource that is known to be cluster-scoped keeps all parts as its name. The
// groups of built-in resources come from a table; one that is newer than it is shown without.
ObjectKey ParseObjectKey(absl::string_view key, absl::Span<const std::string> prefixes);

// The other way round: the keys under which an object may lie that is named
// RESOURCE/NAMESPACE/NAME, or RESOURCE/NAME without a namespace, with the resource as ResourceName
// has it or without its group. One for each prefix and each place where such a resource may be.
std::vector<std::string> EtcdKeysOf(absl::string_view object,
                                    absl::Span<const std::string> prefixes);

inline constexpr absl::string_view kUnknownResource = "(unknown)";

// "secrets", "deployments.apps", as in an EncryptionConfiguration; kUnknownResource without one.
std::string ResourceName(const ObjectKey& key);

// Whether Kubernetes keeps a resource of its own under such a part of a key: "secrets", "minions".
bool NamesResource(absl::string_view part);

// Whether kube-apiserver never encrypts the resource of this name (ResourceName).
bool IsNeverEncrypted(absl::string_view resource_name);

}  // namespace kekd

#endif  // KEKD_CLUSTER_OBJECT_KEY_H_
