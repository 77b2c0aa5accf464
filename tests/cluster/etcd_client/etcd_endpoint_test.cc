#include "cluster/etcd_client/etcd_endpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "cluster/etcd_client/etcd_client.h"
#include "cluster/etcd_client/page_sizer.h"
#include "tests/support/status_matchers.h"

namespace kekd::testing {
namespace {

using ::testing::HasSubstr;

TEST(EtcdEndpointTest, TakesWhatEtcdctlTakes) {
  KEKD_ASSERT_OK_AND_ASSIGN(
      EtcdEndpoint endpoint,
      EtcdEndpoint::Parse("https://etcd-0.example:2379/", DefaultScheme::kHttp));
  EXPECT_TRUE(endpoint.tls);
  EXPECT_EQ(endpoint.Target(), "dns:///etcd-0.example:2379");
  KEKD_ASSERT_OK_AND_ASSIGN(endpoint,
                            EtcdEndpoint::Parse("http://[::1]:2379", DefaultScheme::kHttps));
  EXPECT_FALSE(endpoint.tls);
  EXPECT_EQ(endpoint.host, "::1");
  EXPECT_EQ(endpoint.Authority(), "[::1]:2379");
  for (const char* text : {"unix:///run/kine.sock", "unix:/run/kine.sock"}) {
    KEKD_ASSERT_OK_AND_ASSIGN(endpoint, EtcdEndpoint::Parse(text, DefaultScheme::kHttps));
    EXPECT_FALSE(endpoint.tls);
    EXPECT_EQ(endpoint.Target(), "unix:/run/kine.sock");
  }
}

TEST(EtcdEndpointTest, WithoutASchemeTheFilesDecide) {
  KEKD_ASSERT_OK_AND_ASSIGN(EtcdEndpoint endpoint,
                            EtcdEndpoint::Parse("127.0.0.1:2379", DefaultScheme::kHttp));
  EXPECT_FALSE(endpoint.tls);
  KEKD_ASSERT_OK_AND_ASSIGN(endpoint, EtcdEndpoint::Parse("127.0.0.1:2379", DefaultScheme::kHttps));
  EXPECT_TRUE(endpoint.tls);
}

TEST(EtcdEndpointTest, RefusesWhatIsNone) {
  for (const char* text : {"",
                           "localhost",
                           "https://",
                           "https://:2379",
                           "localhost:",
                           "localhost:etcd",
                           "localhost:0",
                           "localhost:65536",
                           "ftp://localhost:2379",
                           "https://localhost:2379/v3",
                           "user@host:2379",
                           "::1:2379",
                           "[::1:2379",
                           "unix://",
                           "a:1,b:2",
                           "localhost:2379?x",
                           "etcd\n:2379",
                           "a\\b:2379",
                           "[a:2379",
                           "[[::1]:2379",
                           "\xc3\xa9tcd:2379"}) {
    EXPECT_THAT(EtcdEndpoint::Parse(text, DefaultScheme::kHttp),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("endpoint '")))
        << text;
  }
  // gRPC's name for it would end at the zero byte.
  EXPECT_THAT(EtcdEndpoint::Parse(absl::string_view("etcd\0:2379", 10), DefaultScheme::kHttp),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("'etcd\\x00:2379'")));
}

TEST(KeyRangeTest, EndsBehindTheLastKeyWithThePrefix) {
  EXPECT_EQ(KeyRange::WithPrefix("/registry/").end, "/registry0");
  EXPECT_EQ(KeyRange::WithPrefix("a\xff\xff").end, "b");
  EXPECT_EQ(KeyRange::WithPrefix("\xff").end, std::string(1, '\0'));
  EXPECT_EQ(KeyRange::WithPrefix("").first, std::string(1, '\0'));
  EXPECT_TRUE(KeyRange::WithPrefix("").Contains("x"));
  EXPECT_TRUE(KeyRange::WithPrefix("/registry/").Contains("/registry/\xff"));
  EXPECT_FALSE(KeyRange::WithPrefix("/registry/").Contains("/registry0"));
  EXPECT_FALSE(KeyRange::Of("a").Contains("ab"));
}

TEST(PageSizerTest, AimsAtATargetAndGrowsSlowly) {
  PageSizer sizer;
  EXPECT_EQ(sizer.limit(), PageSizer::kFirstLimit);
  sizer.Came(50, 50 * 4096);
  EXPECT_EQ(sizer.limit(), 200);
  sizer.Came(200, 200 * 4096);
  EXPECT_EQ(sizer.limit(), 800);
  sizer.Came(800, 800 * 4096);
  EXPECT_EQ(sizer.limit(), 1024);
  sizer.Came(1024, 1024);
  EXPECT_EQ(sizer.limit(), PageSizer::kMaxLimit);
  sizer.Came(2, 12 << 20);
  EXPECT_EQ(sizer.limit(), 1);
  EXPECT_FALSE(sizer.Halve());
  sizer.Came(0, 0);
  EXPECT_EQ(sizer.limit(), 1);
}

}  // namespace
}  // namespace kekd::testing
