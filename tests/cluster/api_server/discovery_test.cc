#include "cluster/api_server/discovery.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/cluster/api_server/fake_api_server.h"
#include "tests/support/status_matchers.h"

namespace kekd {
namespace {

using ::kekd::testing::FakeApiServer;
using ::kekd::testing::IsOk;
using ::kekd::testing::JsonResponse;
using ::kekd::testing::StatusIs;
using ::kekd::testing::StatusResponse;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kDefinitions[] = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
constexpr char kAll[] = R"(["create","delete","get","list","patch","update","watch"])";

std::string Aggregated(absl::string_view items) {
  return absl::StrCat(R"({"kind":"APIGroupDiscoveryList","items":[)", items, "]}");
}

std::string Resource(absl::string_view name, absl::string_view kind, absl::string_view scope,
                     absl::string_view verbs) {
  return absl::StrCat(R"({"resource":")", name, R"(","responseKind":{"kind":")", kind,
                      R"("},"scope":")", scope, R"(","verbs":)", verbs, "}");
}

std::string Group(absl::string_view name, absl::string_view versions) {
  return absl::StrCat(R"({"metadata":{"name":")", name, R"("},"versions":[)", versions, "]}");
}

std::string Version(absl::string_view name, absl::string_view resources,
                    absl::string_view freshness = "Current") {
  return absl::StrCat(R"({"version":")", name, R"(","freshness":")", freshness,
                      R"(","resources":[)", resources, "]}");
}

class DiscoveryTest : public ::testing::Test {
 protected:
  ApiResources Discover() {
    absl::StatusOr<ApiResources> found = DiscoverResources(client_, {}, {}, absl::InfiniteFuture());
    EXPECT_THAT(found, IsOk());
    return found.ok() ? *std::move(found) : ApiResources();
  }

  static std::vector<std::string> Names(const ApiResources& resources) {
    std::vector<std::string> names;
    for (const ApiResource& one : resources.all) names.push_back(one.name());
    return names;
  }

  FakeApiServer server_;
  ApiClient client_{server_};
};

TEST_F(DiscoveryTest, FindsWhatCanBeListedAndPatchedInThePreferredVersion) {
  server_.Answer(
      "/api",
      JsonResponse(Aggregated(
          Group("", Version("v1", absl::StrCat(Resource("secrets", "Secret", "Namespaced", kAll),
                                               ",", Resource("nodes", "Node", "Cluster", kAll), ",",
                                               Resource("bindings", "Binding", "Namespaced",
                                                        R"(["create"])")))))));
  server_.Answer(
      "/apis",
      JsonResponse(Aggregated(Group(
          "example.com",
          absl::StrCat(
              Version("v2", Resource("widgets", "Widget", "Namespaced", kAll)), ",",
              Version("v1", absl::StrCat(Resource("widgets", "Widget", "Namespaced", kAll), ",",
                                         Resource("gadgets", "Gadget", "Cluster", kAll))))))));
  const ApiResources found = Discover();
  EXPECT_THAT(Names(found),
              ElementsAre("gadgets.example.com", "nodes", "secrets", "widgets.example.com"));
  EXPECT_THAT(found.problems, IsEmpty());
  const ApiResource& widgets = *found.Find("widgets.example.com");
  EXPECT_EQ(widgets.ListPath(), "/apis/example.com/v2/widgets");
  EXPECT_EQ(widgets.ObjectPath("a", "b/c"), "/apis/example.com/v2/namespaces/a/widgets/b%2Fc");
  EXPECT_EQ(widgets.kind, "Widget");
  EXPECT_TRUE(widgets.namespaced);
  EXPECT_EQ(found.Find("nodes")->ObjectPath("", "n1"), "/api/v1/nodes/n1");
  EXPECT_EQ(found.Find("nothing"), nullptr);
}

TEST_F(DiscoveryTest, TellsGroupsWhoseServerIsAway) {
  server_.Answer("/api", JsonResponse(Aggregated("")));
  server_.Answer(
      "/apis", JsonResponse(Aggregated(Group("metrics.k8s.io", Version("v1beta1", "", "Stale")))));
  const ApiResources found = Discover();
  ASSERT_EQ(found.problems.size(), 1u);
  EXPECT_EQ(found.problems[0].what, "metrics.k8s.io/v1beta1");
}

TEST_F(DiscoveryTest, AsksGroupByGroupWhereItMust) {
  server_.Answer("/api", JsonResponse(R"({"kind":"APIVersions","versions":["v1"]})"));
  server_.Answer("/api/v1",
                 JsonResponse(absl::StrCat(
                     R"({"kind":"APIResourceList","resources":[)",
                     R"({"name":"secrets","kind":"Secret","namespaced":true,"verbs":)", kAll,
                     R"(},{"name":"secrets/status","kind":"Secret","verbs":)", kAll, "}]}")));
  server_.Answer("/apis", JsonResponse(R"({"kind":"APIGroupList","groups":[
      {"name":"example.com","versions":[{"version":"v1"},{"version":"v2"}],
       "preferredVersion":{"version":"v2"}},
      {"name":"broken.io","versions":[{"version":"v1"}]}]})"));
  for (const char* const version : {"v1", "v2"}) {
    server_.Answer(
        absl::StrCat("/apis/example.com/", version),
        JsonResponse(absl::StrCat(
            R"({"resources":[{"name":"widgets","kind":"Widget","namespaced":false,"verbs":)", kAll,
            "}]}")));
  }
  server_.Answer("/apis/broken.io/v1", StatusResponse(503, "ServiceUnavailable", "away"));
  const ApiResources found = Discover();
  EXPECT_THAT(Names(found), ElementsAre("secrets", "widgets.example.com"));
  EXPECT_EQ(found.Find("widgets.example.com")->version, "v2");
  ASSERT_EQ(found.problems.size(), 1u);
  EXPECT_EQ(found.problems[0].what, "broken.io/v1");
  EXPECT_THAT(found.problems[0].why, HasSubstr("away"));
}

TEST_F(DiscoveryTest, TellsCustomResourcesOfWhichNoVersionIsServed) {
  server_.Answer("/api", JsonResponse(Aggregated("")));
  server_.Answer("/apis",
                 JsonResponse(Aggregated(
                     Group("apiextensions.k8s.io",
                           Version("v1", Resource("customresourcedefinitions",
                                                  "CustomResourceDefinition", "Cluster", kAll))))));
  server_.Answer(kDefinitions, JsonResponse(R"({"items":[
      {"metadata":{"name":"old.example.com"},"spec":{"versions":[{"name":"v1","served":false}]}},
      {"metadata":{"name":"new.example.com"},"spec":{"versions":[{"name":"v1","served":false},
                                                                 {"name":"v2","served":true}]}}]})"));
  const ApiResources found = Discover();
  ASSERT_EQ(found.problems.size(), 1u);
  EXPECT_EQ(found.problems[0].what, "old.example.com");
}

TEST_F(DiscoveryTest, SaysThatItIsNoApiServer) {
  server_.Answer("/api", JsonResponse(R"({"hello":"world"})"));
  EXPECT_THAT(DiscoverResources(client_, {}, {}, absl::InfiniteFuture()),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("is it a Kubernetes API server?")));
}

}  // namespace
}  // namespace kekd
