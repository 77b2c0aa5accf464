#include "cluster/rotation/api_server_keys.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/cluster/api_server/fake_api_server.h"
#include "tests/support/status_matchers.h"

namespace kekd {
namespace {

using ::kekd::testing::FakeApiServer;
using ::kekd::testing::JsonResponse;
using ::kekd::testing::StatusIs;
using ::kekd::testing::StatusResponse;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;
using State = ApiServerKey::State;

constexpr char kSlices[] = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";

// As kube-apiserver 1.36 prints it.
std::string Sample(absl::string_view provider, absl::string_view hash, absl::string_view time) {
  return absl::StrCat(
      "apiserver_envelope_encryption_key_id_hash_status_last_timestamp_seconds{apiserver_id_hash="
      "\"sha256:aa\",key_id_hash=\"",
      hash, "\",provider_name=\"", provider, "\"} ", time, "\n");
}

HttpResponse Text(std::string body, int status = 200) {
  HttpResponse response;
  response.status = status;
  response.content_type = "text/plain";
  response.body = std::move(body);
  return response;
}

// A transport of its own to a server that lives elsewhere.
class Connection final : public HttpTransport {
 public:
  explicit Connection(FakeApiServer& server) : server_(server) {}
  absl::StatusOr<HttpResponse> Send(const HttpRequest& request, absl::Time deadline) override {
    return server_.Send(request, deadline);
  }
  const std::string& server() const override { return server_.server(); }

 private:
  FakeApiServer& server_;
};

class ApiServerKeysTest : public ::testing::Test {
 protected:
  ApiServerKey Ask(const std::string& metrics, HttpResponse ready = Text("ok")) {
    server_.Answer("/metrics", Text(metrics));
    server_.Answer("/readyz", std::move(ready));
    return Ask();
  }
  ApiServerKey Ask() {
    const auto keys = AskApiServers(
        {"10.0.0.1:6443"},
        [this](const std::string&) -> absl::StatusOr<std::unique_ptr<HttpTransport>> {
          return std::make_unique<Connection>(server_);
        },
        {"prod.1.aa", "prod.2.bb"}, "prod.2.bb", absl::Seconds(10));
    return keys->front();
  }

  FakeApiServer server_;
  const std::string former_ = *KeyIdHash("prod.1.aa");
  const std::string wanted_ = *KeyIdHash("prod.2.bb");
};

TEST_F(ApiServerKeysTest, NamesAKeyIdAsMetricsDo) {
  // printf %s kek-1 | sha256sum
  KEKD_ASSERT_OK_AND_ASSIGN(const std::string hash, KeyIdHash("kek-1"));
  EXPECT_EQ(hash, "sha256:6ad4ff2bfd375211dd97cbb809e358fe8af9271fce7034f1a54618486f0488a0");
}

TEST_F(ApiServerKeysTest, TheNewestKeyOfEachProviderCounts) {
  EXPECT_THAT(CurrentKeyIdHashes(Sample("kekd", former_, "1.7642e+09") + "# HELP x\n" +
                                 Sample("kekd", wanted_, "1.76421e+09") + "other{} 1\n" +
                                 Sample("aws", "sha256:00", "1.5e+09")),
              ElementsAre(Pair("aws", "sha256:00"), Pair("kekd", wanted_)));
  EXPECT_THAT(CurrentKeyIdHashes("apiserver_envelope_encryption_key_id_hash_status_last_timestamp_"
                                 "seconds{provider_name=\"kekd\" 1\n"),
              ElementsAre());
}

TEST_F(ApiServerKeysTest, IsCurrentOnceEveryProviderOfTheRingIs) {
  EXPECT_EQ(Ask(Sample("a", wanted_, "2")).state, State::kCurrent);
  EXPECT_EQ(Ask(Sample("a", former_, "1") + Sample("a", wanted_, "2")).state, State::kCurrent);
  EXPECT_EQ(Ask(Sample("a", former_, "2") + Sample("a", wanted_, "1")).state, State::kOther);
  EXPECT_EQ(Ask(Sample("a", wanted_, "2") + Sample("b", former_, "2")).state, State::kOther);
  EXPECT_EQ(Ask(Sample("a", wanted_, "2") + Sample("aws", "sha256:00", "3")).state,
            State::kCurrent);
}

TEST_F(ApiServerKeysTest, IsNotCurrentWhileItCanNotEncrypt) {
  const ApiServerKey key =
      Ask(Sample("a", wanted_, "2"), Text("[+]ping ok\n[-]kms-providers failed: reason\n", 500));
  EXPECT_EQ(key.state, State::kOther);
  EXPECT_THAT(key.why, HasSubstr("not ready"));
  EXPECT_EQ(Ask(Sample("a", wanted_, "2"), Text("[-]shutdown failed\n", 500)).state,
            State::kCurrent);
}

TEST_F(ApiServerKeysTest, WhatCanNotBeAskedIsUnknown) {
  EXPECT_THAT(Ask(Sample("aws", "sha256:00", "3")).why, HasSubstr("uses this keyring"));
  EXPECT_EQ(Ask("").state, State::kUnknown);
  server_.Answer("/metrics", StatusResponse(403, "Forbidden", "may not get path \"/metrics\""));
  EXPECT_EQ(Ask().state, State::kUnknown);
  EXPECT_THAT(Ask().why, HasSubstr("/metrics"));
}

TEST_F(ApiServerKeysTest, FindsEveryApiServer) {
  ApiClient client(server_);
  server_.Answer(kSlices, JsonResponse(R"({"items": [
    {"addressType": "IPv4", "ports": [{"name": "https", "port": 6443}],
     "endpoints": [{"addresses": ["10.0.0.2"]}, {"addresses": ["10.0.0.1"]}]},
    {"addressType": "IPv6", "ports": [{"name": "https", "port": 6443}],
     "endpoints": [{"addresses": ["fd00::1"]}]},
    {"addressType": "IPv4", "ports": [{"name": "metrics", "port": 1}],
     "endpoints": [{"addresses": ["10.0.0.9"]}]}]})"));
  KEKD_ASSERT_OK_AND_ASSIGN(const auto addresses, ListApiServers(client, absl::InfiniteFuture()));
  EXPECT_THAT(addresses, ElementsAre("10.0.0.1:6443", "10.0.0.2:6443", "[fd00::1]:6443"));
  server_.Answer(kSlices, StatusResponse(403, "Forbidden", "may not list endpointslices"));
  EXPECT_THAT(ListApiServers(client, absl::InfiniteFuture()),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("endpointslices")));
}

}  // namespace
}  // namespace kekd
