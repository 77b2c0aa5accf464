#include "cluster/object_key.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cluster/stored_object.h"

namespace kekd {
namespace {

TEST(ObjectKeyTest, TakesKeysApart) {
  struct Case {
    std::string key;
    std::string resource;
    std::string namespace_name;
    std::string name;
  };
  const std::vector<Case> cases = {
      {"/registry/secrets/default/token", "secrets", "default", "token"},
      {"/registry/configmaps/kube-system/x", "configmaps", "kube-system", "x"},
      {"/registry/deployments/ns/web", "deployments.apps", "ns", "web"},
      {"/registry/services/specs/ns/web", "services", "ns", "web"},
      {"/registry/services/endpoints/ns/web", "endpoints", "ns", "web"},
      {"/registry/services/other/web", "services", "other", "web"},
      {"/registry/minions/node-1", "nodes", "", "node-1"},
      {"/registry/controllers/ns/rc", "replicationcontrollers", "ns", "rc"},
      {"/registry/ingress/ns/i", "ingresses.networking.k8s.io", "ns", "i"},
      {"/registry/events/ns/pod.17", "events", "ns", "pod.17"},
      {"/registry/leases/kube-node-lease/n", "leases.coordination.k8s.io", "kube-node-lease", "n"},
      {"/registry/clusterroles/system:node", "clusterroles.rbac.authorization.k8s.io", "",
       "system:node"},
      {"/registry/masterleases/10.0.0.1", "masterleases", "", "10.0.0.1"},
      {"/registry/ranges/serviceips", "ranges", "", "serviceips"},
      {"/registry/example.com/widgets/ns/w", "widgets.example.com", "ns", "w"},
      {"/registry/example.com/gadgets/g", "gadgets.example.com", "", "g"},
      {"/registry/apiextensions.k8s.io/customresourcedefinitions/widgets.example.com",
       "customresourcedefinitions.apiextensions.k8s.io", "", "widgets.example.com"},
      {"/registry/apiregistration.k8s.io/apiservices/v1.apps", "apiservices.apiregistration.k8s.io",
       "", "v1.apps"},
      // A built-in resource that the table does not have: as the path has it.
      {"/registry/latests/ns/x", "latests", "ns", "x"},
      {"/kubernetes.io/secrets/ns/x", "secrets", "ns", "x"},
      {"/openshift.io/oauth/accesstokens/sha256~x", "oauthaccesstokens.oauth.openshift.io", "",
       "sha256~x"},
      {"/openshift.io/routes/ns/r", "routes.route.openshift.io", "ns", "r"},
      // Known to have no namespace: a name with more parts than it should have stays whole.
      {"/registry/minions/a/b", "nodes", "", "a/b"},
      {"/registry/secrets/ns/a/b", "secrets", "ns", "a/b"},
      {"/registry/health", "health", "", ""},
      // No resource.
      {"/registry//x", "(unknown)", "", "/x"},
      {"/registry/", "(unknown)", "", ""},
      {"/elsewhere/secrets/ns/x", "(unknown)", "", "/elsewhere/secrets/ns/x"},
      {"", "(unknown)", "", ""},
      {"/registry/secrets/", "secrets", "", ""},
      {"/registry/minions/", "nodes", "", ""},
      {"/registry/example.com/widgets", "example.com", "", "widgets"},
  };
  const std::vector<std::string> prefixes = ReadRange().prefixes;
  for (const Case& c : cases) {
    const ObjectKey key = ParseObjectKey(c.key, prefixes);
    EXPECT_EQ(ResourceName(key), c.resource) << c.key;
    EXPECT_EQ(key.namespace_name, c.namespace_name) << c.key;
    EXPECT_EQ(key.name, c.name) << c.key;
  }
}

TEST(ObjectKeyTest, LongestPrefixCounts) {
  const std::vector<std::string> prefixes = {"/a/", "/a/b/"};
  EXPECT_EQ(ParseObjectKey("/a/b/secrets/ns/x", prefixes).resource, "secrets");
  EXPECT_EQ(ParseObjectKey("/a/secrets/ns/x", prefixes).resource, "secrets");
}

TEST(ObjectKeyTest, KnowsWhatIsNeverEncrypted) {
  const std::vector<std::string> prefixes = ReadRange().prefixes;
  for (const char* key : {"/registry/masterleases/10.0.0.1", "/registry/peerserverleases/x",
                          "/registry/ranges/serviceips", "/registry/ranges/servicenodeports"}) {
    const ObjectKey parsed = ParseObjectKey(key, prefixes);
    EXPECT_TRUE(parsed.never_encrypted) << key;
    EXPECT_TRUE(IsNeverEncrypted(ResourceName(parsed))) << key;
  }
  EXPECT_FALSE(ParseObjectKey("/registry/leases/ns/x", prefixes).never_encrypted);
  EXPECT_FALSE(ParseObjectKey("/registry/events/ns/x", prefixes).never_encrypted);
  EXPECT_FALSE(ParseObjectKey("/openshift.io/ranges/x", prefixes).never_encrypted);
  EXPECT_FALSE(IsNeverEncrypted("secrets"));
  EXPECT_FALSE(IsNeverEncrypted("*"));
}

// Wherever an object's key is, the name that a scan shows for it leads back to that key.
TEST(EtcdKeysOfTest, LeadsBackToTheKey) {
  const std::vector<std::string> prefixes = {"/registry/", "/openshift.io/"};
  for (const std::string key :
       {"/registry/secrets/default/db", "/registry/services/specs/default/kubernetes",
        "/registry/services/endpoints/default/kubernetes", "/registry/minions/node-1",
        "/registry/ingress/default/web", "/registry/deployments/default/web",
        "/registry/clusterroles/system:node", "/registry/example.com/widgets/default/w",
        "/registry/apiregistration.k8s.io/apiservices/v1.apps", "/openshift.io/routes/default/web",
        "/openshift.io/oauth/clients/c"}) {
    const ObjectKey parsed = ParseObjectKey(key, prefixes);
    std::string name = ResourceName(parsed);
    for (const absl::string_view part : {parsed.namespace_name, parsed.name}) {
      if (!part.empty()) absl::StrAppend(&name, "/", part);
    }
    EXPECT_THAT(EtcdKeysOf(name, prefixes), ::testing::Contains(key)) << name;
  }
  EXPECT_THAT(EtcdKeysOf("services/default/web", prefixes),
              ::testing::Contains("/registry/services/specs/default/web"));
}

TEST(ObjectKeyTest, KineKeepsOneKeyOfItsOwnInClear) {
  const std::vector<std::string> prefixes = {"/registry/"};
  const ObjectKey health = ParseObjectKey("/registry/health", prefixes);
  EXPECT_TRUE(health.never_encrypted);
  EXPECT_EQ(ResourceName(health), "health");
  for (const char* key : {"/registry/health/", "/registry/health/a", "/registry/healthz"}) {
    EXPECT_FALSE(ParseObjectKey(key, prefixes).never_encrypted) << key;
  }
}

TEST(ObjectKeyTest, KnowsPartsThatNameAResource) {
  for (const char* part : {"secrets", "configmaps", "pods", "services", "minions", "nodes"}) {
    EXPECT_TRUE(NamesResource(part)) << part;
  }
  for (const char* part : {"", "registry", "kubernetes.io", "secret", "specs"}) {
    EXPECT_FALSE(NamesResource(part)) << part;
  }
}

}  // namespace
}  // namespace kekd
