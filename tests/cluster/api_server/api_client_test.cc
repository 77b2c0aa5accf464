#include "cluster/api_server/api_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>

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
using ::testing::HasSubstr;

HttpRequest Get(const std::string& path) {
  HttpRequest request;
  request.path = path;
  return request;
}

class ApiClientTest : public ::testing::Test {
 protected:
  ApiAnswer AnswerTo(HttpResponse response) {
    server_.FailNext(HttpMethod::kGet, 1, std::move(response));
    return client_.Call(Get("/x"), absl::InfiniteFuture()).value();
  }

  FakeApiServer server_;
  ApiClient client_{server_};
  const ApiRetries quick_ = {.patience = absl::Seconds(5),
                             .first_pause = absl::Microseconds(10),
                             .longest_pause = absl::Milliseconds(1)};
};

TEST_F(ApiClientTest, ReadsTheStatusOfAFailure) {
  const ApiAnswer answer = AnswerTo(StatusResponse(409, "Conflict", "it was modified", "a"));
  EXPECT_FALSE(answer.ok());
  EXPECT_EQ(answer.reason, "Conflict");
  EXPECT_EQ(answer.about, "a");
  EXPECT_THAT(ToStatus(answer, "writing a"),
              StatusIs(absl::StatusCode::kAborted, "writing a: it was modified (HTTP 409)"));
}

TEST_F(ApiClientTest, ReadsWhereAnExpiredListGoesOn) {
  EXPECT_EQ(AnswerTo({.status = 410,
                      .content_type = "application/json",
                      .body = R"({"kind":"Status","reason":"Expired",
                                  "metadata":{"continue":"abc"}})"})
                .continue_token,
            "abc");
}

TEST_F(ApiClientTest, TakesThePauseFromTheHeaderOrTheStatus) {
  const std::string body = R"({"kind":"Status","details":{"retryAfterSeconds":7}})";
  EXPECT_EQ(AnswerTo({.status = 429, .body = body}).retry_after, absl::Seconds(7));
  EXPECT_EQ(AnswerTo({.status = 429, .retry_after = absl::Seconds(2), .body = body}).retry_after,
            absl::Seconds(2));
}

TEST_F(ApiClientTest, CutsAPageThatIsNoStatus) {
  const ApiAnswer answer = AnswerTo({.status = 502, .body = std::string(100'000, '<')});
  EXPECT_EQ(answer.message.size(), ApiAnswer::kMaxMessageBytes);
  EXPECT_THAT(ToStatus(answer, "x"), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("<<<")));
}

TEST_F(ApiClientTest, SaysWhatToDoAboutADenial) {
  EXPECT_THAT(ToStatus(AnswerTo(StatusResponse(401, "Unauthorized", "Unauthorized")), "x"),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("expired")));
  EXPECT_THAT(ToStatus(AnswerTo(StatusResponse(403, "Forbidden",
                                               "User \"u\" cannot list resource \"secrets\"")),
                       "x"),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("cannot list")));
}

TEST_F(ApiClientTest, TellsTheWordOfAnAuthorizerFromAnAdmissions) {
  EXPECT_TRUE(AnswerTo(StatusResponse(401, "Unauthorized", "Unauthorized")).IsDenial());
  EXPECT_TRUE(AnswerTo(StatusResponse(403, "Forbidden",
                                      "secrets \"a\" is forbidden: User \"u\" cannot patch "
                                      "resource \"secrets\" in API group \"\""))
                  .IsDenial());
  EXPECT_FALSE(
      AnswerTo(StatusResponse(403, "Forbidden", "admission webhook \"w\" denied the request: no"))
          .IsDenial());
}

TEST_F(ApiClientTest, KnowsWhatMaySucceedLater) {
  for (const int code : {429, 502, 503, 504}) {
    EXPECT_TRUE(AnswerTo(StatusResponse(code, "", "")).IsTransient()) << code;
  }
  for (const int code : {400, 401, 403, 404, 409, 410, 422, 500}) {
    EXPECT_FALSE(AnswerTo(StatusResponse(code, "", "")).IsTransient()) << code;
  }
  EXPECT_TRUE(
      AnswerTo(StatusResponse(500, "InternalError", "etcdserver: leader changed")).IsTransient());
  EXPECT_TRUE(AnswerTo(StatusResponse(500, "ServerTimeout", "try later")).IsTransient());
}

TEST_F(ApiClientTest, TriesAgainWhileTheServerIsAway) {
  server_.FailNext(HttpMethod::kGet, 3, absl::UnavailableError("refused"));
  server_.FailNext(HttpMethod::kGet, 2, StatusResponse(503, "", "starting"));
  server_.Answer("/x", JsonResponse("{}"));
  const absl::StatusOr<ApiAnswer> answer =
      client_.CallWithRetries(Get("/x"), quick_, {}, absl::InfiniteFuture());
  ASSERT_THAT(answer, IsOk());
  EXPECT_EQ(answer->body, "{}");
}

TEST_F(ApiClientTest, WaitsAsLongAsItIsTold) {
  server_.FailNext(HttpMethod::kGet, 1,
                   HttpResponse{.status = 429, .retry_after = absl::Milliseconds(50)});
  server_.Answer("/x", JsonResponse("{}"));
  const absl::Time begin = absl::Now();
  EXPECT_THAT(client_.CallWithRetries(Get("/x"), quick_, {}, absl::InfiniteFuture()), IsOk());
  EXPECT_GE(absl::Now() - begin, absl::Milliseconds(50));
}

TEST_F(ApiClientTest, GivesTheLastReasonWhenItsPatienceIsAtAnEnd) {
  server_.FailNext(HttpMethod::kGet, 100'000, absl::UnavailableError("refused"));
  ApiRetries retries = quick_;
  retries.patience = absl::Milliseconds(10);
  EXPECT_THAT(client_.CallWithRetries(Get("/x"), retries, {}, absl::InfiniteFuture()),
              StatusIs(absl::StatusCode::kUnavailable, "refused"));
}

TEST_F(ApiClientTest, NeverTriesAgainWhatWillNotChange) {
  server_.FailNext(HttpMethod::kGet, 1, absl::FailedPreconditionError("unknown CA"));
  server_.Answer("/x", JsonResponse("{}"));
  EXPECT_THAT(client_.CallWithRetries(Get("/x"), quick_, {}, absl::InfiniteFuture()),
              StatusIs(absl::StatusCode::kFailedPrecondition, "unknown CA"));
}

TEST_F(ApiClientTest, IsWokenFromAPause) {
  std::stop_source stop;
  server_.FailNext(HttpMethod::kGet, 1,
                   HttpResponse{.status = 429, .retry_after = absl::Minutes(1)});
  ApiRetries retries = quick_;
  retries.patience = absl::Minutes(10);
  const std::jthread stopper([&] { stop.request_stop(); });
  EXPECT_THAT(client_.CallWithRetries(Get("/x"), retries, stop.get_token(), absl::InfiniteFuture()),
              StatusIs(absl::StatusCode::kCancelled, ::testing::_));
}

}  // namespace
}  // namespace kekd
