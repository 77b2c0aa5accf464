#include "cluster/migration/resource_selection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/file_system.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace kekd {
namespace {

using ::kekd::testing::IsOk;
using ::kekd::testing::StatusIs;
using ::kekd::testing::TempDirectory;
using ::kekd::testing::WriteTestFile;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

ApiResources There() {
  ApiResources there;
  there.all = {{"", "v1", "configmaps", "ConfigMap", true},
               {"apps", "v1", "deployments", "Deployment", true},
               {"", "v1", "events", "Event", true},
               {"events.k8s.io", "v1", "events", "Event", true},
               {"", "v1", "secrets", "Secret", true},
               {"example.com", "v1", "widgets", "Widget", true}};
  there.problems = {{"old.example.com", "not served", true}, {"metrics.k8s.io/v1", "away", false}};
  return there;
}

std::vector<std::string> Select(std::vector<std::string> names,
                                UnknownResources unknown = UnknownResources::kError) {
  const absl::StatusOr<ResourceSelection> selection = SelectResources(There(), names, unknown);
  EXPECT_THAT(selection, IsOk());
  std::vector<std::string> selected;
  for (const ApiResource& one : selection->resources) selected.push_back(one.name());
  return selected;
}

TEST(SelectResourcesTest, TakesNamesAndWildcardsOnce) {
  EXPECT_THAT(Select({"secrets", "widgets.example.com", "secrets"}),
              ElementsAre("secrets", "widgets.example.com"));
  EXPECT_THAT(Select({"*.apps"}), ElementsAre("deployments.apps"));
  EXPECT_THAT(Select({"*.", "secrets"}), ElementsAre("configmaps", "events", "secrets"));
  // Events have two names.
  EXPECT_THAT(Select({"*.*"}), ElementsAre("configmaps", "deployments.apps", "events", "secrets",
                                           "widgets.example.com"));
}

TEST(SelectResourcesTest, TellsTheProblemsOfWhatIsMeant) {
  EXPECT_THAT(SelectResources(There(), {"*.*"}, UnknownResources::kError)->problems, SizeIs(2));
  EXPECT_THAT(SelectResources(There(), {"*.example.com"}, UnknownResources::kError)->problems,
              ElementsAre(DiscoveryProblem{"old.example.com", "not served", true}));
  EXPECT_THAT(SelectResources(There(), {"secrets"}, UnknownResources::kError)->problems, IsEmpty());
}

TEST(SelectResourcesTest, NamesWhatWasMostLikelyMeant) {
  const auto select = [](const std::string& name) {
    return SelectResources(There(), {name}, UnknownResources::kError).status();
  };
  EXPECT_THAT(select("widgets"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("widgets.example.com meant")));
  EXPECT_THAT(select("secret"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("secrets meant")));
  EXPECT_THAT(select("old.example.com"),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("not served")));
}

TEST(SelectResourcesTest, TellsWhatAConfigurationHasAndTheServerHasNot) {
  const absl::StatusOr<ResourceSelection> selection = SelectResources(
      There(), {"secrets", "gone.example.com", "old.example.com"}, UnknownResources::kProblem);
  ASSERT_THAT(selection, IsOk());
  EXPECT_THAT(selection->resources, SizeIs(1));
  ASSERT_THAT(selection->problems, SizeIs(2));
  EXPECT_EQ(selection->problems[0].what, "gone.example.com");
  EXPECT_TRUE(selection->problems[1].stored_here);
}

TEST(ResourcesOfEncryptionConfigTest, ReadsTheLists) {
  TempDirectory folder;
  const std::string path = folder.File("config");
  WriteTestFile(path,
                "kind: EncryptionConfiguration\nresources:\n- resources: [secrets, '*.apps']\n"
                "  providers:\n  - aescbc: {keys: [{name: a, secret: s3cret}]}\n"
                "- resources: ['*.*', secrets]\n  providers: [{identity: {}}]\n");
  const auto names = ResourcesOfEncryptionConfig(FileSystem::System(), path);
  ASSERT_THAT(names, IsOk());
  EXPECT_THAT(*names, ElementsAre("secrets", "*.apps", "*.*"));
  for (const char* const other : {"", "kind: Config\n", "kind: EncryptionConfiguration\n",
                                  "kind: EncryptionConfiguration\nresources:\n- providers: []\n",
                                  "kind: EncryptionConfiguration\nresources: []\n"}) {
    WriteTestFile(path, other);
    EXPECT_THAT(ResourcesOfEncryptionConfig(FileSystem::System(), path),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(path)))
        << other;
  }
}

}  // namespace
}  // namespace kekd
