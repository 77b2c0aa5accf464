#include "cluster/migration/migrator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
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
using ::testing::Gt;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const ApiResource kSecrets = {"", "v1", "secrets", "Secret", true};
const ApiResource kWidgets = {"example.com", "v1", "widgets", "Widget", false};

std::vector<std::string> Keys(int count, const char* prefix = "default/") {
  std::vector<std::string> keys;
  for (int i = 0; i < count; ++i) keys.push_back(absl::StrFormat("%ss%05d", prefix, i));
  return keys;
}

class MigratorTest : public ::testing::Test {
 protected:
  MigratorTest() {
    options_.page_size = 10;
    options_.concurrency = 3;
    options_.retries.first_pause = absl::Microseconds(10);
    options_.retries.longest_pause = absl::Milliseconds(1);
    options_.retries.patience = absl::Milliseconds(200);
    options_.progress_interval = absl::Milliseconds(1);
  }

  MigrationResult Run(const std::vector<ApiResource>& resources, MigrationCheckpoint from = {}) {
    return Migrator(client_, options_)
        .Run(resources, std::move(from), progress_, stop_.get_token(), deadline_);
  }

  FakeApiServer server_;
  ApiClient client_{server_};
  MigrationOptions options_;
  MigrationProgressFunction progress_;
  std::stop_source stop_;
  absl::Time deadline_ = absl::InfiniteFuture();
};

TEST_F(MigratorTest, HasEveryObjectOfEveryResourceWritten) {
  server_.Add(kSecrets, Keys(95));
  server_.Add(kWidgets, Keys(7, ""));
  const MigrationResult result = Run({kSecrets, kWidgets});
  EXPECT_THAT(result.status, IsOk());
  EXPECT_TRUE(result.Complete());
  EXPECT_THAT(server_.Stale(), IsEmpty());
  ASSERT_THAT(result.checkpoint.done, SizeIs(2));
  EXPECT_EQ(result.checkpoint.done[0].resource, "secrets");
  EXPECT_EQ(result.checkpoint.done[0].counts, (MigrationCounts{.written = 95}));
  EXPECT_EQ(result.checkpoint.done[1].resource, "widgets.example.com");
  EXPECT_EQ(result.checkpoint.done[1].counts, (MigrationCounts{.written = 7}));
}

TEST_F(MigratorTest, TellsWhatWasUpToDateFromWhatWasWritten) {
  server_.Add(kSecrets, Keys(25));
  ASSERT_TRUE(Run({kSecrets}).Complete());
  const MigrationResult again = Run({kSecrets});
  EXPECT_EQ(again.checkpoint.TotalCounts(), (MigrationCounts{.up_to_date = 25}));
}

TEST_F(MigratorTest, VisitsAResourceWithoutObjects) {
  server_.Add(kSecrets, {});
  const MigrationResult result = Run({kSecrets});
  EXPECT_TRUE(result.Complete());
  EXPECT_THAT(result.checkpoint.done, SizeIs(1));
}

TEST_F(MigratorTest, TakesWhatChangedOrWentMeanwhileForDone) {
  server_.Add(kSecrets, Keys(10));
  options_.concurrency = 1;
  server_.OnPatch([&](int count) {
    if (count != 1) return;
    server_.WriteByOther(kSecrets, "default/s00004");
    server_.Remove(kSecrets, "default/s00007");
  });
  const MigrationResult result = Run({kSecrets});
  EXPECT_TRUE(result.Complete());
  EXPECT_EQ(result.checkpoint.TotalCounts(), (MigrationCounts{.written = 8, .by_others = 2}));
  EXPECT_THAT(server_.Stale(), IsEmpty());
}

TEST_F(MigratorTest, GoesOnAtANewerRevisionWhenTheListExpires) {
  server_.Add(kSecrets, Keys(35));
  server_.OnPatch([&](int count) {
    if (count == 15) server_.ExpireTokens(/*with_another=*/true);
  });
  const MigrationResult result = Run({kSecrets});
  EXPECT_TRUE(result.Complete());
  EXPECT_THAT(server_.Stale(), IsEmpty());
  for (const auto& [key, count] : server_.patches()) EXPECT_EQ(count, 1) << key;
}

TEST_F(MigratorTest, ListsAnewWhenTheListExpiresForGoodAndWritesNothingTwice) {
  server_.Add(kSecrets, Keys(35));
  server_.OnPatch([&](int count) {
    if (count == 15) server_.ExpireTokens(/*with_another=*/false);
  });
  const MigrationResult result = Run({kSecrets});
  EXPECT_TRUE(result.Complete());
  EXPECT_EQ(result.checkpoint.TotalCounts().written, 35u);
  EXPECT_THAT(server_.Stale(), IsEmpty());
  for (const auto& [key, count] : server_.patches()) EXPECT_EQ(count, 1) << key;
}

TEST_F(MigratorTest, LeavesNothingOutOfAListThatIsNotSorted) {
  server_.Add(kSecrets, Keys(35));
  server_.Unsort();
  int looks = 0;
  progress_ = [&](const MigrationProgress&) {
    return ++looks == 1 ? absl::CancelledError("enough") : absl::OkStatus();
  };
  options_.progress_interval = absl::ZeroDuration();
  const MigrationResult first = Run({kSecrets});
  EXPECT_THAT(Run({kSecrets}, first.checkpoint).status, IsOk());
  EXPECT_THAT(server_.Stale(), IsEmpty());
}

TEST_F(MigratorTest, TellsWhatIsRefusedAndGoesOn) {
  server_.Add(kSecrets, Keys(20));
  server_.Refuse("default/s00003", StatusResponse(422, "Invalid", "policy p denied it", "s00003"));
  server_.Refuse("default/s00012",
                 StatusResponse(403, "Forbidden", "admission webhook \"w\" denied the request"));
  server_.Refuse("default/s00015", StatusResponse(500, "InternalError", "boom"));
  const MigrationResult result = Run({kSecrets});
  EXPECT_THAT(result.status, IsOk());
  EXPECT_FALSE(result.Complete());
  EXPECT_EQ(result.checkpoint.TotalCounts(), (MigrationCounts{.written = 17, .refused = 3}));
  ASSERT_THAT(result.checkpoint.refusals, SizeIs(3));
  EXPECT_EQ(result.checkpoint.refusals[0],
            (MigrationRefusal{"secrets", "default", "s00003", "policy p denied it (HTTP 422)"}));
  EXPECT_EQ(result.checkpoint.refusals[2].name, "s00015");
  // A refusal is believed, a failure is not at once.
  EXPECT_EQ(server_.patches()["default/s00003"], 1);
  EXPECT_EQ(server_.patches()["default/s00015"], options_.attempts);
}

TEST_F(MigratorTest, EndsWhenEveryWriteFailsAndDoesThemAllWhenItGoesOn) {
  server_.Add(kSecrets, Keys(30));
  server_.FailNext(HttpMethod::kPatch, 1000,
                   StatusResponse(500, "InternalError", "failed to encrypt DEK"));
  options_.failures_in_a_row = 5;
  const MigrationResult result = Run({kSecrets});
  EXPECT_THAT(result.status,
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("failed to encrypt DEK")));
  EXPECT_EQ(result.checkpoint.TotalCounts(), MigrationCounts{});
  EXPECT_THAT(result.checkpoint.refusals, IsEmpty());

  FakeApiServer well;
  well.Add(kSecrets, Keys(30));
  ApiClient client(well);
  const MigrationResult later =
      Migrator(client, options_).Run({{kSecrets}}, result.checkpoint, nullptr, {}, deadline_);
  EXPECT_TRUE(later.Complete());
  EXPECT_THAT(well.Stale(), IsEmpty());
}

TEST_F(MigratorTest, WaitsForAServerThatIsAwayOrBusy) {
  server_.Add(kSecrets, Keys(30));
  options_.retries.patience = absl::Minutes(1);
  HttpResponse busy = StatusResponse(429, "TooManyRequests", "later");
  busy.retry_after = absl::Milliseconds(1);
  server_.FailNext(HttpMethod::kPatch, 4, busy);
  server_.FailNext(HttpMethod::kPatch, 4, absl::UnavailableError("connection refused"));
  server_.FailNext(HttpMethod::kPatch, 4, StatusResponse(503, "ServiceUnavailable", "starting"));
  server_.FailNext(HttpMethod::kGet, 3, absl::UnavailableError("connection refused"));
  EXPECT_TRUE(Run({kSecrets}).Complete());
  EXPECT_THAT(server_.Stale(), IsEmpty());
}

TEST_F(MigratorTest, GivesUpOnAServerThatStaysAway) {
  server_.Add(kSecrets, Keys(30));
  options_.retries.patience = absl::Milliseconds(20);
  server_.OnPatch([&](int count) {
    if (count == 12) {
      server_.FailNext(HttpMethod::kPatch, 100'000, absl::UnavailableError("connection refused"));
    }
  });
  const MigrationResult result = Run({kSecrets});
  EXPECT_THAT(result.status, StatusIs(absl::StatusCode::kUnavailable, HasSubstr("refused")));
  EXPECT_THAT(result.checkpoint.TotalCounts().written, Gt(9u));
}

TEST_F(MigratorTest, BelievesADenialOnlyWhenItLasts) {
  server_.Add(kSecrets, Keys(5));
  const HttpResponse denied = StatusResponse(
      403, "Forbidden", "secrets \"s\" is forbidden: User \"u\" cannot patch resource \"secrets\"");
  server_.FailNext(HttpMethod::kPatch, 3, denied);
  EXPECT_TRUE(Run({kSecrets}).Complete());

  server_.MakeAllStale();
  server_.FailNext(HttpMethod::kPatch, 1000, denied);
  EXPECT_THAT(Run({kSecrets}).status,
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("cannot patch")));
}

TEST_F(MigratorTest, NeverTakesAMissingResourceForADeletedObject) {
  server_.Add(kSecrets, Keys(5));
  server_.FailNext(
      HttpMethod::kPatch, 2,
      StatusResponse(404, "NotFound", "the server could not find the requested resource"));
  const MigrationResult result = Run({kSecrets});
  EXPECT_TRUE(result.Complete());
  EXPECT_EQ(result.checkpoint.TotalCounts(), (MigrationCounts{.written = 5}));
}

TEST_F(MigratorTest, TellsAResourceThatCantBeListedAndGoesOn) {
  server_.Add(kSecrets, Keys(5));
  const MigrationResult result = Run({kWidgets, kSecrets});
  EXPECT_THAT(result.status, IsOk());
  EXPECT_FALSE(result.Complete());
  ASSERT_THAT(result.checkpoint.done, SizeIs(2));
  EXPECT_THAT(result.checkpoint.done[0].failure, HasSubstr("listing widgets.example.com"));
  EXPECT_THAT(server_.Stale(), IsEmpty());

  // It is tried again by who goes on.
  server_.Add(kWidgets, Keys(2, ""));
  const MigrationResult later = Run({kWidgets, kSecrets}, result.checkpoint);
  EXPECT_TRUE(later.Complete());
  EXPECT_THAT(server_.Stale(), IsEmpty());
}

// At every point where it may have been cut off, by the checkpoint that its owner has kept.
TEST_F(MigratorTest, GoesOnFromAnyCheckpointWithoutDoingAllAgain) {
  for (const int kept : {0, 1, 2, 5, 9}) {
    FakeApiServer server;
    server.Add(kSecrets, Keys(45));
    server.Add(kWidgets, Keys(12, ""));
    ApiClient client(server);
    options_.progress_interval = absl::ZeroDuration();
    std::string stored;
    int looks = 0;
    const MigrationResult first = Migrator(client, options_)
                                      .Run(
                                          {{kSecrets, kWidgets}}, {.target = "k2"},
                                          [&](const MigrationProgress& progress) {
                                            if (looks++ > kept) return absl::AbortedError("killed");
                                            stored = FormatCheckpoint(progress.checkpoint);
                                            return absl::OkStatus();
                                          },
                                          {}, deadline_);
    EXPECT_THAT(first.status, StatusIs(absl::StatusCode::kAborted, "killed"));
    const absl::StatusOr<MigrationCheckpoint> from = ParseCheckpoint(stored);
    ASSERT_THAT(from, IsOk());
    const uint64_t done = from->TotalCounts().total();
    server.ExpireTokens(/*with_another=*/kept % 2 == 0);
    const auto before = server.patches();
    const MigrationResult second =
        Migrator(client, options_).Run({{kSecrets, kWidgets}}, *from, nullptr, {}, deadline_);
    EXPECT_TRUE(second.Complete()) << second.status;
    EXPECT_THAT(server.Stale(), IsEmpty());
    EXPECT_EQ(second.checkpoint.TotalCounts().total(), 57u);
    EXPECT_EQ(second.checkpoint.target, "k2");
    int patches = 0;
    for (const auto& [key, count] : server.patches()) patches += count;
    for (const auto& [key, count] : before) patches -= count;
    EXPECT_EQ(static_cast<uint64_t>(patches), 57 - done);
  }
}

TEST_F(MigratorTest, StopsWhenItIsAskedTo) {
  server_.Add(kSecrets, Keys(200));
  server_.OnPatch([&](int count) {
    if (count == 20) stop_.request_stop();
  });
  const MigrationResult result = Run({kSecrets});
  EXPECT_THAT(result.status, StatusIs(absl::StatusCode::kCancelled, ::testing::_));
  EXPECT_LT(result.checkpoint.TotalCounts().total(), 30u);
  EXPECT_TRUE(Migrator(client_, options_)
                  .Run({{kSecrets}}, result.checkpoint, nullptr, {}, deadline_)
                  .Complete());
  EXPECT_THAT(server_.Stale(), IsEmpty());
}

TEST_F(MigratorTest, EndsAtItsDeadline) {
  server_.Add(kSecrets, Keys(200));
  deadline_ = absl::Now() - absl::Seconds(1);
  EXPECT_THAT(Run({kSecrets}).status, StatusIs(absl::StatusCode::kDeadlineExceeded, ::testing::_));
}

TEST_F(MigratorTest, TellsHowFarItIs) {
  server_.Add(kSecrets, Keys(60));
  server_.Add(kWidgets, Keys(40, ""));
  options_.progress_interval = absl::ZeroDuration();
  uint64_t last = 0;
  bool had_total = true;
  progress_ = [&](const MigrationProgress& progress) {
    EXPECT_GE(progress.done, last);
    EXPECT_GE(progress.total, progress.done);
    last = progress.done;
    had_total = had_total && progress.total == 100;
    return absl::OkStatus();
  };
  EXPECT_TRUE(Run({kSecrets, kWidgets}).Complete());
  EXPECT_EQ(last, 100u);
  EXPECT_TRUE(had_total);
}

TEST_F(MigratorTest, KeepsToItsRate) {
  server_.Add(kSecrets, Keys(21));
  options_.qps = 200;
  const absl::Time begin = absl::Now();
  EXPECT_TRUE(Run({kSecrets}).Complete());
  EXPECT_GE(absl::Now() - begin, absl::Milliseconds(95));
}

TEST_F(MigratorTest, NamesThePermissionsThatAreMissing) {
  EXPECT_THAT(CheckMayMigrate(client_, {kSecrets, kWidgets}, {}, {}, deadline_), IsOk());
  server_.Deny("patch secrets");
  server_.Deny("list widgets");
  server_.Deny("patch widgets");
  EXPECT_THAT(CheckMayMigrate(client_, {kSecrets, kWidgets}, {}, {}, deadline_),
              StatusIs(absl::StatusCode::kPermissionDenied,
                       HasSubstr("patch on secrets, list and patch on widgets.example.com")));
}

TEST(MigrationCheckpointTest, SurvivesBeingWrittenDown) {
  MigrationCheckpoint checkpoint = {.target = "prod.2.00ff",
                                    .done = {{"secrets", {1, 2, 3, 4}, "no"}},
                                    .resource = "widgets.example.com",
                                    .continue_token = "eyJ2",
                                    .through = "default/\"quoted\"",
                                    .counts = {5, 6, 7, 8},
                                    .refusals = {{"secrets", "ns", "n", "why"}}};
  const absl::StatusOr<MigrationCheckpoint> read = ParseCheckpoint(FormatCheckpoint(checkpoint));
  ASSERT_THAT(read, IsOk());
  EXPECT_EQ(*read, checkpoint);
}

TEST(MigrationCheckpointTest, RefusesWhatItIsNot) {
  EXPECT_THAT(ParseCheckpoint(""), StatusIs(absl::StatusCode::kInvalidArgument, ::testing::_));
  EXPECT_THAT(ParseCheckpoint("{}"), StatusIs(absl::StatusCode::kInvalidArgument, ::testing::_));
  EXPECT_THAT(ParseCheckpoint("{\"format\":\"kekd/migration-checkpoint/2\"}"),
              StatusIs(absl::StatusCode::kUnimplemented, ::testing::_));
}

}  // namespace
}  // namespace kekd
