#include "cluster/migration/storage_version_migration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cluster/api_server/json_fields.h"
#include "tests/cluster/api_server/fake_api_server.h"
#include "tests/support/status_matchers.h"

namespace kekd {
namespace {

using ::kekd::testing::FakeApiServer;
using ::kekd::testing::IsOk;
using ::kekd::testing::JsonResponse;
using ::kekd::testing::StatusIs;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const ApiResource kSecrets = {"", "v1", "secrets", "Secret", true};
const ApiResource kMigrations = {"storagemigration.k8s.io", "v1", "storageversionmigrations",
                                 "StorageVersionMigration", false};

// Secrets of a fake, and a controller that has done when a Secret was written after it began.
class FakeController final : public HttpTransport {
 public:
  absl::StatusOr<HttpResponse> Send(const HttpRequest& request, absl::Time deadline) override {
    if (request.path.find("storageversionmigrations") == std::string::npos) {
      if (request.method == HttpMethod::kPatch && created) ++writes;
      return secrets.Send(request, deadline);
    }
    switch (request.method) {
      case HttpMethod::kPost:
        created = true;
        spec = ParseJson(request.body);
        return JsonResponse(R"({"metadata":{"name":"kekctl-migrate-x"}})");
      case HttpMethod::kDelete:
        deleted = request.path;
        return JsonResponse("{}");
      default:
        return JsonResponse(absl::StrCat(R"({"status":{"conditions":[)",
                                         writes >= writes_wanted ? last_condition : condition,
                                         "]}}"));
    }
  }
  const std::string& server() const override { return secrets.server(); }

  FakeApiServer secrets;
  std::string condition = R"({"type":"Running","status":"True"})";
  std::string last_condition =
      R"({"type":"Running","status":"False"},{"type":"Succeeded","status":"True"})";
  int writes_wanted = 1;
  bool created = false;
  int writes = 0;
  nlohmann::json spec;
  std::string deleted;
};

class MigrateByControllerTest : public ::testing::Test {
 protected:
  absl::Status Run() {
    return MigrateByController(client_, kMigrations, kSecrets, options_, stop_.get_token(),
                               absl::InfiniteFuture());
  }

  FakeController controller_;
  ApiClient client_{controller_};
  StorageVersionMigrationOptions options_ = {.retries = {},
                                             .poll_interval = absl::Milliseconds(1),
                                             .nudge_interval = absl::Milliseconds(2),
                                             .start_patience = absl::Milliseconds(50)};
  std::stop_source stop_;
};

TEST_F(MigrateByControllerTest, MakesOneSetsItGoingAndCleansUp) {
  controller_.secrets.Add(kSecrets, {"default/a", "default/b"});
  EXPECT_THAT(Run(), IsOk());
  EXPECT_EQ(TextField(controller_.spec, {"spec", "resource", "resource"}), "secrets");
  EXPECT_EQ(TextField(controller_.spec, {"apiVersion"}), "storagemigration.k8s.io/v1");
  EXPECT_THAT(controller_.deleted, HasSubstr("/storageversionmigrations/kekctl-migrate-x"));
}

TEST_F(MigrateByControllerTest, WritesAnObjectThatIsUpToDateByAnAnnotation) {
  controller_.secrets.Add(kSecrets, {"default/a"});
  controller_.secrets.WriteByOther(kSecrets, "default/a");
  controller_.writes_wanted = 3;
  EXPECT_THAT(Run(), StatusIs(absl::StatusCode::kAborted, HasSubstr("sets the cluster's")))
      << "the fake knows no annotations and calls them a conflict";
  EXPECT_EQ(controller_.writes, 2);
}

TEST_F(MigrateByControllerTest, NeedsNothingForNoObjects) {
  controller_.secrets.Add(kSecrets, {});
  EXPECT_THAT(Run(), IsOk());
  EXPECT_FALSE(controller_.created);
}

TEST_F(MigrateByControllerTest, TellsTheControllersReason) {
  controller_.secrets.Add(kSecrets, {"default/a"});
  controller_.last_condition = R"({"type":"Failed","status":"True","message":"it broke"})";
  EXPECT_THAT(Run(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("it broke")));
  EXPECT_NE(controller_.deleted, "");
}

TEST_F(MigrateByControllerTest, SaysThatNobodyTakesItUp) {
  controller_.secrets.Add(kSecrets, {"default/a"});
  controller_.condition = "";
  controller_.writes_wanted = 1000;
  controller_.secrets.OnPatch([&](int) { controller_.secrets.MakeAllStale(); });
  EXPECT_THAT(Run(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("StorageVersionMigrator")));
}

TEST_F(MigrateByControllerTest, StopsWhenItIsAskedTo) {
  controller_.secrets.Add(kSecrets, {"default/a"});
  controller_.writes_wanted = 1000;
  controller_.secrets.OnPatch([&](int) { stop_.request_stop(); });
  EXPECT_THAT(Run(), StatusIs(absl::StatusCode::kCancelled, ::testing::_));
  EXPECT_NE(controller_.deleted, "");
}

}  // namespace
}  // namespace kekd
