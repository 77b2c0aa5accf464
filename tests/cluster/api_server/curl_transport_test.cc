#include "cluster/api_server/curl_transport.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/file_system.h"
#include "tests/cluster/api_server/tls_server.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace kekd {
namespace {

using ::kekd::testing::HttpText;
using ::kekd::testing::IsOk;
using ::kekd::testing::MakeCertificate;
using ::kekd::testing::StatusIs;
using ::kekd::testing::TempDirectory;
using ::kekd::testing::TestCertificate;
using ::kekd::testing::TlsServer;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

const TestCertificate& Loopback() {
  static const TestCertificate& certificate =
      *new TestCertificate(MakeCertificate("127.0.0.1", absl::Now() + absl::Hours(1)));
  return certificate;
}

ApiServerAccess AccessTo(const TlsServer& server, const std::string& ca) {
  ApiServerAccess access;
  access.server = absl::StrCat("https://127.0.0.1:", server.port());
  access.ca_pem = ca;
  access.ca_source = "/etc/ca.crt";
  return access;
}

absl::StatusOr<HttpResponse> Get(HttpTransport& transport,
                                 absl::Duration timeout = absl::Seconds(10)) {
  HttpRequest request;
  request.path = "/version?x=1";
  return transport.Send(request, absl::Now() + timeout);
}

absl::StatusOr<HttpResponse> GetOnce(ApiServerAccess access,
                                     const CurlTransportOptions& options = {},
                                     absl::Duration timeout = absl::Seconds(10)) {
  auto transport = CreateCurlTransport(FileSystem::System(), std::move(access), options);
  if (!transport.ok()) return transport.status();
  return Get(**transport, timeout);
}

TEST(CurlTransportTest, SendsRequestsOverOneConnection) {
  TlsServer server(Loopback(), [](const std::string&) {
    return HttpText(429, "{\"a\":1}", "Retry-After: 7\r\n");
  });
  auto transport =
      CreateCurlTransport(FileSystem::System(), AccessTo(server, Loopback().certificate_pem),
                          {.user_agent = "kekctl/9"});
  ASSERT_THAT(transport, IsOk());
  const absl::StatusOr<HttpResponse> response = Get(**transport);
  ASSERT_THAT(response, IsOk());
  EXPECT_EQ(response->status, 429);
  EXPECT_EQ(response->body, "{\"a\":1}");
  EXPECT_EQ(response->content_type, "application/json");
  EXPECT_EQ(response->retry_after, absl::Seconds(7));
  HttpRequest patch;
  patch.method = HttpMethod::kPatch;
  patch.path = "/api";
  patch.content_type = "application/merge-patch+json";
  patch.body = "{\"metadata\":{}}";
  EXPECT_THAT((*transport)->Send(patch, absl::Now() + absl::Seconds(10)), IsOk());
  EXPECT_EQ(server.connections(), 1);
  ASSERT_THAT(server.requests(), SizeIs(2));
  EXPECT_THAT(server.requests()[0], HasSubstr("GET /version?x=1 HTTP/1.1\r\n"));
  EXPECT_THAT(server.requests()[0], HasSubstr("User-Agent: kekctl/9\r\n"));
  EXPECT_THAT(server.requests()[1], HasSubstr("PATCH /api HTTP/1.1\r\n"));
  EXPECT_THAT(server.requests()[1], HasSubstr("application/merge-patch+json\r\n"));
  EXPECT_THAT(server.requests()[1], HasSubstr("\r\n\r\n{\"metadata\":{}}"));
  EXPECT_THAT(server.requests()[1], Not(HasSubstr("Authorization")));
}

TEST(CurlTransportTest, TrustsTheKubeconfigsAuthorityAlone) {
  TlsServer server(Loopback(), [](const std::string&) { return HttpText(200, "{}"); });
  const TestCertificate other = MakeCertificate("127.0.0.1", absl::Now() + absl::Hours(1));
  EXPECT_THAT(GetOnce(AccessTo(server, other.certificate_pem)),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       ::testing::AllOf(HasSubstr("/etc/ca.crt"), HasSubstr("another cluster"))));
  EXPECT_THAT(server.requests(), SizeIs(0));
}

TEST(CurlTransportTest, SaysThatACertificateHasExpired) {
  const TestCertificate old = MakeCertificate("127.0.0.1", absl::Now() - absl::Hours(1));
  TlsServer server(old, [](const std::string&) { return HttpText(200, "{}"); });
  EXPECT_THAT(GetOnce(AccessTo(server, old.certificate_pem)),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("has expired")));
}

TEST(CurlTransportTest, ExpectsTheNameThatItIsTold) {
  const TestCertificate named = MakeCertificate("kube.example.com", absl::Now() + absl::Hours(1));
  TlsServer server(named, [](const std::string&) { return HttpText(200, "{}"); });
  ApiServerAccess access = AccessTo(server, named.certificate_pem);
  EXPECT_THAT(GetOnce(AccessTo(server, named.certificate_pem)),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("another name")));
  access.tls_server_name = "kube.example.com";
  EXPECT_THAT(GetOnce(std::move(access)), IsOk());
}

TEST(CurlTransportTest, ObeysAnInsecureKubeconfigOnlyWhenToldTwice) {
  TlsServer server(Loopback(), [](const std::string&) { return HttpText(200, "{}"); });
  ApiServerAccess access = AccessTo(server, "");
  access.insecure_skip_tls_verify = true;
  EXPECT_THAT(GetOnce(AccessTo(server, "")), Not(IsOk()));
  EXPECT_THAT(
      CreateCurlTransport(FileSystem::System(), std::move(access), {}),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--insecure-skip-tls-verify")));
  ApiServerAccess again = AccessTo(server, "");
  again.insecure_skip_tls_verify = true;
  EXPECT_THAT(GetOnce(std::move(again), {.allow_insecure = true}), IsOk());
}

TEST(CurlTransportTest, SendsTokensAndImpersonation) {
  TlsServer server(Loopback(), [](const std::string&) { return HttpText(200, "{}"); });
  ApiServerAccess access = AccessTo(server, Loopback().certificate_pem);
  access.token = SecretBytes::CopyOf(AsBytes("tok"));
  access.as_user = "somebody";
  access.as_groups = {"a", "b"};
  access.as_extra = {{"ex/tra", {"1"}}};
  ASSERT_THAT(GetOnce(std::move(access)), IsOk());
  const std::string request = server.requests().at(0);
  EXPECT_THAT(request, HasSubstr("Authorization: Bearer tok\r\n"));
  EXPECT_THAT(request, HasSubstr("Impersonate-User: somebody\r\n"));
  EXPECT_THAT(request, HasSubstr("Impersonate-Group: a\r\n"));
  EXPECT_THAT(request, HasSubstr("Impersonate-Group: b\r\n"));
  EXPECT_THAT(request, HasSubstr("Impersonate-Extra-ex%2Ftra: 1\r\n"));
}

TEST(CurlTransportTest, ShowsItsClientCertificate) {
  TlsServer server(Loopback(), [](const std::string&) { return HttpText(200, "{}"); });
  const TestCertificate client = MakeCertificate("admin", absl::Now() + absl::Hours(1));
  ApiServerAccess access = AccessTo(server, Loopback().certificate_pem);
  access.client_certificate_pem = client.certificate_pem;
  access.client_key_pem = SecretBytes::CopyOf(AsBytes(client.key_pem));
  ASSERT_THAT(GetOnce(std::move(access)), IsOk());
  EXPECT_THAT(server.client_names(), ElementsAre("admin"));
}

TEST(CurlTransportTest, ReadsATokenFileAgainWhenItsTokenIsRefused) {
  TempDirectory folder;
  const std::string path = absl::StrCat(folder.path(), "/token");
  const auto write = [&](const std::string& text) {
    FileSystem::System().Remove(path).IgnoreError();
    auto file = FileSystem::System().CreateFile(path, 0600);
    ASSERT_THAT(file, IsOk());
    ASSERT_THAT((*file)->Append(AsBytes(text)), IsOk());
  };
  write("old\n");
  TlsServer server(Loopback(), [](const std::string& request) {
    return HttpText(absl::StrContains(request, "Bearer new\r\n") ? 200 : 401, "{}");
  });
  ApiServerAccess access = AccessTo(server, Loopback().certificate_pem);
  access.token_file = path;
  auto transport = CreateCurlTransport(FileSystem::System(), std::move(access), {});
  ASSERT_THAT(transport, IsOk());
  EXPECT_EQ(Get(**transport)->status, 401);
  write("new");
  EXPECT_EQ(Get(**transport)->status, 200);
}

TEST(CurlTransportTest, TellsACutConnectionAndASlowServer) {
  TlsServer cutting(Loopback(), [](const std::string&) { return std::nullopt; });
  EXPECT_THAT(GetOnce(AccessTo(cutting, Loopback().certificate_pem)),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("can't be reached")));
  TlsServer half(Loopback(), [](const std::string&) {
    return std::string("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{");
  });
  EXPECT_THAT(GetOnce(AccessTo(half, Loopback().certificate_pem), {}, absl::Milliseconds(300)),
              StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("no answer in time")));
  ApiServerAccess nobody;
  nobody.server = "https://127.0.0.1:1";
  EXPECT_THAT(GetOnce(std::move(nobody)),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("https://127.0.0.1:1")));
}

TEST(CurlTransportTest, TakesNoEndlessAnswer) {
  TlsServer server(Loopback(),
                   [](const std::string&) { return HttpText(200, std::string(100'000, 'x')); });
  EXPECT_THAT(GetOnce(AccessTo(server, Loopback().certificate_pem), {.max_answer_bytes = 99'999}),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("99999")));
  EXPECT_THAT(GetOnce(AccessTo(server, Loopback().certificate_pem), {.max_answer_bytes = 100'000}),
              IsOk());
}

TEST(CurlTransportTest, FollowsNobodyElsewhere) {
  TlsServer server(Loopback(), [](const std::string&) {
    return HttpText(302, "", "Location: https://elsewhere.example.com/\r\n");
  });
  const absl::StatusOr<HttpResponse> response =
      GetOnce(AccessTo(server, Loopback().certificate_pem));
  ASSERT_THAT(response, IsOk());
  EXPECT_EQ(response->status, 302);
}

TEST(CurlTransportTest, RefusesServersAndProxiesThatAreNone) {
  const auto create = [](const std::string& server, const std::string& proxy) {
    ApiServerAccess access;
    access.server = server;
    access.proxy_url = proxy;
    return CreateCurlTransport(FileSystem::System(), std::move(access), {}).status();
  };
  EXPECT_THAT(create("https://10.0.0.1:6443/path/", "socks5://127.0.0.1:1080"), IsOk());
  EXPECT_THAT(create("http://127.0.0.1:8001", ""), IsOk());
  for (const char* const server : {"", "10.0.0.1 6443", "ftp://a", "http://10.0.0.1",
                                   "https://user:password@a", "https://a/?x"}) {
    EXPECT_THAT(create(server, ""), StatusIs(absl::StatusCode::kInvalidArgument, ::testing::_))
        << server;
  }
  EXPECT_THAT(create("https://a", "gopher://b"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("proxy-url")));
}

}  // namespace
}  // namespace kekd
